from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import pytest
from AntiSSRF import IPAddressRanges
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.runtime.outgoing.addresses import AllowedAddresses

OF_MICROSOFT = [ip_network(text) for text in IPAddressRanges.recommended_v1]
NAT64 = IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "167.150.224.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "::ffff:8.8.8.8",
        # The way to a public IPv4 address from a network without IPv4.
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert AllowedAddresses().allows(address)


def test_all_other_addresses_are_refused() -> None:
    for address in [
        *("0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
        *("240.0.0.1", "255.255.255.255", "192.31.196.1", "192.52.193.1", "192.175.48.1"),
        # Services of clouds.
        *("168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1"),
        # Forms that contain a private IPv4 address.
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "::ffff:0:7f00:1", "2002:7f00:1::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110"),
        # 127.0.0.1 and 8.8.8.8 at the places of prefixes with 48, 56, 64 and 96 bits (RFC 6052).
        *("64:ff9b:1:7f00:0:100::", "64:ff9b:1:808:8:800::", "64:ff9b:1:7f:0:1::"),
        *("64:ff9b:1:0:7f:0:100:0", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808"),
        *("2002:a9fe:a9fe::1", "2002:808:808::1", "2001:0:808:808::1", "::808:808"),
        *("2001:db8::1", "3fff::1", "5f00::1", "100::1", "2001:20::1", "2620:4f:8000::1"),
        # Not addresses as the system writes them.
        *("2130706433", "127.1", "0177.0.0.1", "localhost", ""),
    ]:
        assert not AllowedAddresses().allows(address)


def test_a_declared_network_is_allowed_in_both_notations() -> None:
    allowed = AllowedAddresses((ip_network("10.2.0.0/16"), ip_network("fd00::/8")))

    assert allowed.allows("10.2.3.4")
    assert allowed.allows("::ffff:10.2.3.4")
    assert allowed.allows("fd00::1")
    assert not allowed.allows("10.3.0.1")
    assert not allowed.allows("64:ff9b::a02:304")


def test_without_the_public_internet_only_declared_networks_are_allowed() -> None:
    allowed = AllowedAddresses((ip_network("10.2.0.0/16"),), is_public_allowed=False)

    assert allowed.allows("10.2.3.4")
    assert not allowed.allows("8.8.8.8")


ADDRESSES = st.one_of(
    st.ip_addresses(),
    *(st.ip_addresses(network=network) for network in OF_MICROSOFT),
    *(st.ip_addresses(network=network) for network in (IPv6Network("2000::/3"), NAT64)),
)


def is_refused_by_microsoft(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address in NAT64:
        # The only difference: an address without IPv4 in between is as public as the one in it.
        address = IPv4Address(address.packed[-4:])
    return any(address in network for network in OF_MICROSOFT)


@given(ADDRESSES)
@example(ip_address("64:ff9b::808:808"))
def test_everything_that_microsoft_refuses_is_refused(address: IPv4Address | IPv6Address) -> None:
    if is_refused_by_microsoft(address):
        assert not AllowedAddresses().allows(str(address))


@given(ADDRESSES)
def test_everything_else_is_allowed_unless_it_is_not_assigned(
    address: IPv4Address | IPv6Address,
) -> None:
    is_assigned = address.version == 4 or address in IPv6Network("2000::/3") or address in NAT64
    if is_assigned and not is_refused_by_microsoft(address):
        assert AllowedAddresses().allows(str(address))


def test_both_ends_of_each_of_their_networks_are_refused() -> None:
    for network in OF_MICROSOFT:
        for address in (network[0], network[-1]):
            assert AllowedAddresses().allows(str(address)) is not is_refused_by_microsoft(address)
