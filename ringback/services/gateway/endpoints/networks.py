"""Where a request comes from, behind proxies that the operator declares."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from ringback.runtime.outgoing.addresses import Network

Address = IPv4Address | IPv6Address


def sender_address(
    peer: str | None, forwarded_for: Sequence[str], proxies: Sequence[Network]
) -> Address | None:
    """The address that the nearest declared proxies saw; None if it is not known.

    Each proxy appends the address of its own peer to X-Forwarded-For. So the list is read from its
    end, and only as far as declared proxies wrote it: anyone can write what comes before.
    """
    hops = [*(hop for value in forwarded_for for hop in value.split(",")), peer or ""]
    address = None
    for hop in reversed(hops):
        address = _address(hop)
        if address is None or not is_in(address, proxies):
            return address
    return address


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """An address, possibly with a port, as some proxies write it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
