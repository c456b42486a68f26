"""Origins of web pages, as browsers send them: scheme, host, and the port where it is not the scheme's own. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": "80", "https": "443"}


def origins_of(text: str) -> frozenset[str]:
    """The origins of a setting, joined by commas. Raises ValueError for what a browser would never send."""
    found = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    for origin in found:
        scheme, _, rest = origin.partition("://")
        parts = urlsplit(origin)
        plain = scheme in _PORTS and parts.hostname and rest == parts.netloc and "@" not in rest and "*" not in rest
        if not plain or (parts.port is not None and str(parts.port) == _PORTS[scheme]):  # .port raises for one that is no number
            raise ValueError(origin)
    return found


def same(origin: str, host: str) -> bool:
    """Whether a page comes from the host that it asks. A proxy that ends TLS hides the scheme, so only host and port count."""
    parts = urlsplit(origin.lower())
    port = _PORTS.get(parts.scheme, "")
    return bool(parts.netloc) and parts.netloc.removesuffix(f":{port}") == host.lower().removesuffix(f":{port}")
