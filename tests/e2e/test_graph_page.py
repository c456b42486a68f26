"""The graph page: served from local files, its saved operations fit the schema and run."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from gateway.doors.app import build_app
from gateway.doors.websocket import GraphSocket
from tests.support.installation import Installation

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"
STATIC = GATEWAY / "doors" / "static"


def saved() -> list[str]:
    """The documents of the saved operations, and those of the sign-in form."""
    return re.findall(r"`((?:#|query|mutation|subscription)[^`]*\})`", (STATIC / "graphiql.js").read_text())


async def test_the_page_and_everything_on_it_comes_from_this_server(crm: Installation) -> None:
    page = await crm.http.get("/graphql", headers={"Accept": "text/html"})
    assert page.status_code == 200
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert path.startswith("/static/")
        assert (await crm.http.get(path)).status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_every_saved_operation_runs(crm: Installation) -> None:
    others = ("mutation SignIn", "mutation Refresh", "mutation SignOut")
    documents = [text for text in saved() if not text.startswith(others) and "subscription Tickets" not in text]
    assert len(documents) == 4
    for text in documents:
        body = await crm.graph(text, name="北京")
        assert "errors" not in body, text


def test_the_sign_in_form_and_the_subscription_fit_the_schema() -> None:
    from graphql import build_schema, parse, validate

    schema = build_schema((GATEWAY / "schema.graphql").read_text())
    assert len(saved()) == 8
    for text in saved():
        assert validate(schema, parse(text)) == []


async def test_in_production_the_root_is_a_short_page_in_both_languages(crm: Installation) -> None:
    gateway = crm.suite["gateway"]
    http = gateway.app.app.http
    app = build_app(
        gateway.schema, http, GraphSocket(gateway.operations, gateway.clients, gateway.live), http, http, frozenset(), explore=False
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.example") as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "POST /graphql" in page.text
        assert "这里" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert not re.findall(r'(?:src|href)="', page.text)
        assert (await client.get("/graphql", headers={"Accept": "text/html"})).status_code == 406


def test_every_word_of_the_page_stands_in_both_languages() -> None:
    words = (STATIC / "words.js").read_text()
    chinese, english = (set(re.findall(r"(?:^| )(\w+): \"", part, re.MULTILINE)) for part in words.split("  en: {"))
    assert chinese == english
    used = set(re.findall(r'data-words="(\w+)"', (STATIC / "graphiql.html").read_text()))
    assert used <= english
    assert {"SECOND_FACTOR_REQUIRED", "PASSWORD_CHANGE_REQUIRED", "signOut"} <= english
