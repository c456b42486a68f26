"""Which origins a setting may name, and when a page comes from the host that it asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel.origins import origins_of, same
from chassis.runtime.settings import SettingsError
from gateway.settings import Settings

HOSTS = st.lists(st.sampled_from(["a", "crm", "x1", "my-crm", "example"]), min_size=1, max_size=3).map(".".join)


def test_none_are_allowed_by_default() -> None:
    assert origins_of("") == frozenset()
    assert origins_of(" , ") == frozenset()


def test_several_are_joined_by_commas_and_read_without_regard_to_case() -> None:
    assert origins_of("https://CRM.example.com, http://localhost:5173") == {"https://crm.example.com", "http://localhost:5173"}


@pytest.mark.parametrize(
    "wrong",
    ["*", "null", "crm.example.com", "https://", "https://*.example.com", "https://crm.example.com/", "https://crm.example.com/app", "ftp://a.example",
     "https://crm.example.com:443", "http://a.example:80", "https://a:b@c.example", "https://a.example:x", "https://a.example?b", "https://a.example#b"],
)  # fmt: skip
def test_what_a_browser_never_sends_as_an_origin_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        origins_of(f"https://good.example,{wrong}")


def test_the_gateway_does_not_start_with_an_origin_that_never_matches() -> None:
    needed = {f"CRM_{name}_ADDRESS": "127.0.0.1:1" for name in ("ORGANIZATION", "CUSTOMER", "SALES", "MARKETING", "SUPPORT")}
    environ = {**needed, "CRM_NATS_URL": "nats://127.0.0.1:1"}
    assert Settings.from_env(environ).origins == frozenset()
    assert Settings.from_env({**environ, "CRM_ALLOWED_ORIGINS": "https://a.example"}).origins == {"https://a.example"}
    with pytest.raises(SettingsError, match=r"CRM_ALLOWED_ORIGINS='\*' cannot be used"):
        Settings.from_env({**environ, "CRM_ALLOWED_ORIGINS": "*"})


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://crm.example.com", "crm.example.com", True),
        ("https://crm.example.com", "CRM.example.com:443", True),
        ("http://127.0.0.1:8400", "127.0.0.1:8400", True),
        ("http://[::1]:8400", "[::1]:8400", True),
        ("http://127.0.0.1:8401", "127.0.0.1:8400", False),
        ("https://crm.example.com.evil.example", "crm.example.com", False),
        ("https://evil.example", "crm.example.com", False),
        ("null", "crm.example.com", False),
        ("null", "", False),
        ("https://", "", False),
    ],
)
def test_a_page_is_of_the_host_that_it_asks_by_host_and_port(origin: str, host: str, expected: bool) -> None:
    assert same(origin, host) is expected


@given(host=HOSTS, other=HOSTS, port=st.sampled_from(["", ":8400"]), scheme=st.sampled_from(["http", "https"]))
def test_the_same_host_and_port_are_the_same_and_no_others(host: str, other: str, port: str, scheme: str) -> None:
    assert same(f"{scheme}://{host}{port}", f"{host}{port}")
    assert same(f"{scheme}://{host}{port}", f"{other}{port}") is (host == other)
    assert origins_of(f"{scheme}://{host}{port}") == {f"{scheme}://{host}{port}"}
