"""Network addresses of clients: what one is counted under, and which of those that a chain of proxies tells is the client's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_ONE_HOLDER = 64  # bits of an address of version 6 that a provider gives to one customer, who chooses the others freely


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks of a setting: CIDR forms joined by commas. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def address_of(text: str) -> Address | None:
    """The address in a text, with or without port, brackets and zone; one of version 4 inside of version 6 is the former. None for no address."""
    plain = text.strip().strip('"')
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        found = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def holder_of(text: str) -> str:
    """What is counted of an address: itself, or the /64 around one of version 6. A text that is no address is counted as it is."""
    found = address_of(text)
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found) >> (128 - _ONE_HOLDER) << (128 - _ONE_HOLDER), _ONE_HOLDER)))
    return text if found is None else str(found)


def client_of(peer: Address, told: Sequence[str], trusted: Sequence[Network]) -> Address:
    """Who asks: the right-most of the addresses told that is no trusted proxy's. Where one cannot be read, the proxy that told it."""
    client = peer
    for text in reversed(told):
        if not trusts(client, trusted):
            break
        found = address_of(text)
        if found is None:
            break
        client = found
    return client


def trusts(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether an address is a trusted proxy's."""
    return any(address in network for network in trusted)
