"""Whose address counts: of a chain of proxies the right-most that is nobody's we trust; of version 6 the holder's network."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel.addresses import address_of, client_of, holder_of, networks_of
from chassis.runtime.proxies import told
from chassis.runtime.settings import SettingsError
from gateway.settings import Settings

TRUSTED = networks_of("10.0.0.0/8, 2001:db8:1::/48, 127.0.0.1/32")
PEER = ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ({}, "10.0.0.1", "http"),
        ({"x-forwarded-for": "203.0.113.9"}, "203.0.113.9", "http"),
        ({"x-forwarded-for": "198.51.100.1, 203.0.113.9"}, "203.0.113.9", "http"),
        ({"x-forwarded-for": "198.51.100.1, 203.0.113.9, 10.9.9.9"}, "203.0.113.9", "http"),
        ({"x-forwarded-for": "10.2.2.2, 10.9.9.9"}, "10.2.2.2", "http"),
        ({"x-forwarded-for": "203.0.113.9, unknown"}, "10.0.0.1", "http"),
        ({"x-forwarded-for": "203.0.113.9, nonsense, 10.9.9.9"}, "10.9.9.9", "http"),
        ({"x-forwarded-for": "203.0.113.9:5123", "x-forwarded-proto": "https"}, "203.0.113.9", "https"),
        ({"x-forwarded-for": "[2001:db8::5]:5123"}, "2001:db8::5", "http"),
        ({"x-forwarded-for": "::ffff:203.0.113.9"}, "203.0.113.9", "http"),
        ({"x-forwarded-for": " , "}, "10.0.0.1", "http"),
        ({"forwarded": 'for="[2001:db8::5]:80";proto=https;by=10.0.0.1'}, "2001:db8::5", "https"),
        ({"forwarded": "for=198.51.100.1, For=203.0.113.9"}, "203.0.113.9", "http"),
        ({"forwarded": "for=203.0.113.9, for=_hidden"}, "10.0.0.1", "http"),
        ({"forwarded": "for=203.0.113.9, proto=https"}, "10.0.0.1", "https"),
        ({"forwarded": "for=203.0.113.9", "x-forwarded-for": "198.51.100.1, 203.0.113.9"}, "203.0.113.9", "http"),
        ({"forwarded": "for=198.51.100.77", "x-forwarded-for": "203.0.113.9"}, "10.0.0.1", "http"),  # one of them is the client's own
        ({"x-forwarded-proto": "gopher"}, "10.0.0.1", "http"),
        ({"x-real-ip": "203.0.113.9", "proxy": "203.0.113.9"}, "10.0.0.1", "http"),
    ],
)  # fmt: skip
def test_a_trusted_proxy_tells_the_client(headers: dict[str, str], client: str, scheme: str) -> None:
    scope: dict[str, Any] = {
        "type": "http", "scheme": "http", "client": ("10.0.0.1", 4000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    found = told(scope, PEER, TRUSTED)
    assert (found["client"][0], found["scheme"]) == (client, scheme)


def test_several_lines_of_a_header_are_one_list() -> None:
    lines = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"203.0.113.9, 10.1.1.1")]
    assert told({"type": "http", "client": ("10.0.0.1", 1), "headers": lines}, PEER, TRUSTED)["client"][0] == "203.0.113.9"


@given(st.lists(st.ip_addresses().map(str) | st.text(max_size=20), max_size=6), st.ip_addresses())
def test_whatever_the_client_writes_before_its_address_changes_nothing(forged: list[str], client: Any) -> None:
    """The proxy adds, at the right, the address that it saw: what stands left of it is the client's own."""
    seen = str(client)
    one = client_of(PEER, [seen], TRUSTED)
    if not any(one in network for network in TRUSTED):
        assert client_of(PEER, [*forged, seen], TRUSTED) == one


@given(st.lists(st.ip_addresses().map(str), max_size=6))
def test_who_is_no_trusted_proxy_is_not_believed(forged: list[str]) -> None:
    peer = ip_address("203.0.113.1")
    assert client_of(peer, forged, TRUSTED) == peer
    assert client_of(peer, forged, ()) == peer


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:a:b::1", "2001:db8:a:b::/64"),
        ("2001:db8:a:b:ffff:ffff:ffff:ffff", "2001:db8:a:b::/64"), ("2001:db8:a:c::1", "2001:db8:a:c::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("", ""), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_an_address_is_counted_under_its_holder(text: str, holder: str) -> None:
    assert holder_of(text) == holder


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert address_of(text) is None or ip_address(str(address_of(text)))
    assert isinstance(holder_of(text), str)


@pytest.mark.parametrize("networks", ["10.0.0.0/33", "everything", "10.0.0.1/8", "10.0.0.0/8;192.168.0.0/16"])
def test_a_network_that_is_none_is_refused_at_the_start(networks: str) -> None:
    with pytest.raises(SettingsError, match="CRM_TRUSTED_PROXIES"):
        Settings.from_env({"CRM_TRUSTED_PROXIES": networks})
