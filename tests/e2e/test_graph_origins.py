"""Pages of other origins: by setting alone, with a preflight, over HTTP and WebSocket; programs, which send no origin, as ever."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.installation import Installation

PAGE, OTHER = "https://console.example.com", "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
QUERY = {"query": "{ __typename }"}


@pytest.fixture
def allowing(crm: Installation) -> Iterator[Installation]:
    """The installation, with one origin allowed."""
    app = crm.suite["gateway"].app
    app.allowed = frozenset((PAGE,))
    yield crm
    app.allowed = frozenset()


async def preflight(crm: Installation, origin: str) -> httpx.Response:
    return await crm.http.request("OPTIONS", "/graphql", headers={"Origin": origin, **ASKS})


def allows(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_no_page_of_another_origin_may_ask_by_default(crm: Installation) -> None:
    refused = await preflight(crm, PAGE)
    assert refused.status_code == 403
    assert "may not ask here" in refused.text and "CRM_ALLOWED_ORIGINS" in refused.text
    chinese = await crm.http.request("OPTIONS", "/graphql", headers={"Origin": PAGE, "Accept-Language": "zh-CN", **ASKS})
    assert chinese.text.startswith("此来源的网页不能在这里查询")
    assert "Accept-Language" in chinese.headers["vary"]
    asked = await crm.http.post("/graphql", json=QUERY, headers={"Origin": PAGE})
    assert asked.json() == {"data": {"__typename": "Query"}}
    assert allows(refused) == allows(asked) == {}


async def test_a_page_of_an_allowed_origin_may_ask(allowing: Installation) -> None:
    found = await preflight(allowing, PAGE)
    assert (found.status_code, found.content) == (204, b"")
    told = allows(found)
    assert told["access-control-allow-origin"] == PAGE
    assert "POST" in told["access-control-allow-methods"]
    sent = {name.strip().lower() for name in told["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type", "idempotency-key", "if-none-match", "x-purpose", "x-request-id"} <= sent
    assert "Origin" in found.headers["vary"]
    for request in (allowing.http.post("/graphql", json=QUERY, headers={"Origin": PAGE}),
                    allowing.http.get("/graphql", params=QUERY, headers={"Origin": PAGE}),
                    allowing.http.post("/graphql", content=b"no json", headers={"Origin": PAGE, "Content-Type": "application/json"})):  # fmt: skip
        response = await request
        assert allows(response) == {
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": "Content-Disposition, ETag, Retry-After, X-Request-Id",
        }
        assert "Origin" in response.headers["vary"]


async def test_a_browser_sends_no_credentials_of_its_own(allowing: Installation) -> None:
    assert "access-control-allow-credentials" not in (await preflight(allowing, PAGE)).headers


async def test_others_are_refused_beside_it_and_caches_keep_them_apart(allowing: Installation) -> None:
    assert (await preflight(allowing, OTHER)).status_code == 403
    for origin in (OTHER, "null", PAGE + ":8443", PAGE.replace("https", "http")):
        response = await allowing.http.post("/graphql", json=QUERY, headers={"Origin": origin})
        assert allows(response) == {}
        assert "Origin" in response.headers["vary"]


async def test_options_without_a_page_tells_what_may_be_sent(crm: Installation) -> None:
    response = await crm.http.request("OPTIONS", "/graphql")
    assert (response.status_code, response.headers["allow"]) == (204, "GET, POST, OPTIONS")


@pytest.mark.parametrize(("origin", "let_in"), [(PAGE, True), (OTHER, False), ("own", True), (None, True)])
async def test_over_a_websocket_the_same_pages_are_let_in(allowing: Installation, origin: str | None, let_in: bool) -> None:
    host = f"127.0.0.1:{allowing.plan.gateway_port}"
    page = f"http://{host}" if origin == "own" else origin
    opening = connect(f"ws://{host}/graphql", subprotocols=["graphql-transport-ws"], origin=page)  # type: ignore[list-item,arg-type]
    if let_in:
        async with opening as connection:
            assert connection.subprotocol == "graphql-transport-ws"
        return
    with pytest.raises(InvalidStatus) as refused:
        async with opening:
            pass
    assert refused.value.response.status_code == 403


async def test_the_root_leads_a_browser_to_the_page(crm: Installation) -> None:
    response = await crm.http.get("/", headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["location"]) == (302, "/graphql")
