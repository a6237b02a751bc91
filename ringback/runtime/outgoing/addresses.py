"""Which IP addresses outgoing calls may connect to. Pure.

A URL that others chose, or whose DNS record others control, must not reach this machine, the
private network or a cloud's metadata service. `ipaddress.is_global` is not enough: it accepts
forms that contain a private IPv4 address, such as NAT64 and 6to4.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks with commas between them. Raises ValueError."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as exc:
        raise ValueError(f"{exc}; write networks as 10.0.0.0/8,2001:db8::/32") from None


_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        # Azure's platform service, which each of its machines reaches.
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    # Protocol assignments with Teredo, documentation, 6to4, documentation.
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""A network without IPv4 reaches IPv4 addresses by these. The last 32 bits are the address."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether this is the address of a host on the public internet."""
    if isinstance(address, IPv6Address):
        embedded = _embedded(address)
        if embedded is None:
            return address in _PUBLIC_V6 and not any(address in one for one in _NOT_PUBLIC_V6)
        address = embedded
    return not any(address in one for one in _NOT_PUBLIC_V4)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a connection to this one would reach; None if there is none."""
    return IPv4Address(address.packed[-4:]) if address in _NAT64 else address.ipv4_mapped


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """The public internet, unless `is_public_allowed` is false, and these networks."""

    networks: tuple[Network, ...] = ()
    is_public_allowed: bool = True

    def allows(self, text: str) -> bool:
        """Whether to connect to an address. False for a text that is not an IP address."""
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.networks):
            return True
        return self.is_public_allowed and is_public(address)
