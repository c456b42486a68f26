"""Where we may go to on the word of others, to receivers of webhooks and identity providers: the internet, and what the operator names beside it;
never what only our own machines can reach. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from chassis.kernel.addresses import Address, Network, networks_of
from chassis.kernel.errors import Invalid

# What ends in a number is an address in a form that only some resolvers read.
_NAME, _NUMBER = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"), re.compile(r"\d+|0x[0-9a-f]*")
_NAT64, _COMPATIBLE = ip_network("64:ff9b::/96"), ip_network("::/96")
# What not every Python knows to be none of the internet, and a cloud's own services on an address that looks like one of it (Azure).
_SPECIAL = tuple(ip_network(one) for one in ("192.0.0.0/24", "168.63.129.16/32", "64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16"))


LOOPBACK = networks_of("127.0.0.0/8, ::1/128")


@dataclass(frozen=True)
class Destinations:
    """What may be reached. `networks` are allowed beside the internet; loopback, and http to it, only in development."""

    networks: Sequence[Network] = ()
    development: bool = False

    def admits(self, text: str) -> bool:
        """Whether a connection to this address may be made."""
        address = _inner(ip_address(text.partition("%")[0]))
        if any(address in network for network in self.networks):
            return self.development or not address.is_loopback
        return _is_public(address)

    def check(self, url: str) -> None:
        """Refuse an address of a webhook that could never be sent to. Names are judged when they are resolved, at each attempt."""
        if words := self.flaw(url):
            raise Invalid(words, code="WEBHOOK_URL_REFUSED", field="url")

    def flaw(self, url: str) -> str:
        """Why an address could never be gone to; "" where nothing speaks against it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return "this is no address; write one like https://erp.example.com/hooks/crm"
        if not url.isascii() or not url.isprintable() or any(mark in url for mark in ' \\#@"<>'):
            return "write it in ASCII, without blanks, user, password and fragment; put a host's name in its xn-- form"
        literal = _literal(host)
        if literal is not None and not self.admits(host):
            return f"{host} is no address of the internet; the operator names others that may be reached (CRM_WEBHOOK_NETWORKS)"
        near = host == "localhost" or (literal is not None and literal.is_loopback)
        if parts.scheme != "https" and not (parts.scheme == "http" and near and self._loopback):
            return "nothing goes out but over TLS; write an address that begins with https://"
        if port == 0 or not (literal or (_NAME.fullmatch(host) and not _NUMBER.fullmatch(host.rpartition(".")[2]))):
            return "there is no host in it; write an address like https://erp.example.com/hooks/crm"
        if (port or 443) != 443 and (port or 0) < 1024:
            return f"port {port} is none of a web server's; use 443 or one from 1024 on"
        return ""

    @property
    def and_this_machine(self) -> Destinations:
        """The same, with this machine on a laptop: providers of development run beside it."""
        return replace(self, networks=(*self.networks, *LOOPBACK)) if self.development else self

    @property
    def _loopback(self) -> bool:
        return self.development and any(network.is_loopback for network in self.networks)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """The address that is meant: some of version 6 carry one of version 4 to which a gateway leads."""
    if isinstance(address, IPv4Address):
        return address
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        carried = IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local or address.is_loopback
    site = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not special and not site and not any(address in network for network in _SPECIAL)
