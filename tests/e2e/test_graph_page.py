"""The graph page: served from local files, its saved operations fit the schema and run."""

from __future__ import annotations

import re
from pathlib import Path

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
    others = ("mutation SignIn", "mutation Refresh")
    documents = [text for text in saved() if not text.startswith(others) and "subscription Tickets" not in text]
    assert len(documents) == 4
    for text in documents:
        body = await crm.graph(text, name="北京")
        assert "errors" not in body, text


def test_the_sign_in_form_and_the_subscription_fit_the_schema() -> None:
    from graphql import build_schema, parse, validate

    schema = build_schema((GATEWAY / "schema.graphql").read_text())
    assert len(saved()) == 7
    for text in saved():
        assert validate(schema, parse(text)) == []
