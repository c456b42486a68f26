"""Registered documents, automatic persisted queries, conditional GET, compression, the budget: as a client meets them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cli.documents import register
from cli.engines import EngineError, free_port
from gateway.bootstrap import build
from gateway.operations.registered import document_id
from gateway.settings import Settings
from tests.support.installation import Installation

VIEWER = "query Viewer { viewer { name } }"
FOLDER = {"viewer.graphql": VIEWER, "deep/customers.gql": "query Some($n: Int!) { customers(first: $n) { nodes { name } } }"}


def folder_of(path: Path, texts: dict[str, str]) -> Path:
    """A folder with these files."""
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def closed(crm: Installation, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A second gateway of the same installation, in production, with two registered documents and a small budget."""
    path = tmp_path_factory.mktemp("documents")
    register(folder_of(path / "texts", FOLDER), path / "register.json")
    given = crm.plan.environment("gateway") | {
        "CRM_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
        "CRM_OPS_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    settings = replace(Settings.from_env(given), environment="production", documents=str(path / "register.json"), compress_bytes=300)
    gateway = build(settings)
    await gateway.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20, trust_env=False) as http:
        yield http
    await gateway.stop()


async def asked(http: httpx.AsyncClient, crm: Installation, role: str = "COORDINATOR", **body: Any) -> dict[str, Any]:
    """The answer to a POST."""
    found: dict[str, Any] = (await http.post("/graphql", json=body, headers=crm.bearer(role))).json()
    return found


async def test_a_registered_document_is_answered_by_its_id(crm: Installation, closed: httpx.AsyncClient) -> None:
    assert await asked(closed, crm, documentId=document_id(VIEWER)) == {"data": {"viewer": {"name": "人 COORDINATOR"}}}


async def test_a_registered_document_is_answered_by_its_text_too(crm: Installation, closed: httpx.AsyncClient) -> None:
    assert await asked(closed, crm, query=VIEWER) == {"data": {"viewer": {"name": "人 COORDINATOR"}}}


async def test_production_refuses_a_text_that_nobody_registered_and_asks_no_department(
    crm: Installation, closed: httpx.AsyncClient
) -> None:
    body = await asked(closed, crm, query="{ viewer { id } }")
    assert "data" not in body
    assert body["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_REGISTERED"
    assert "xietong documents register" in body["errors"][0]["message"]


async def test_who_may_introspect_may_ask_anything(crm: Installation, closed: httpx.AsyncClient) -> None:
    body = await asked(closed, crm, "ADMINISTRATOR", query="{ __schema { queryType { name } } viewer { name } }")
    assert body["data"] == {"__schema": {"queryType": {"name": "Query"}}, "viewer": {"name": "人 ADMINISTRATOR"}}


@pytest.mark.parametrize("role", ["", "forged.token.x", "SALES_REP"])
async def test_nobody_else_may_introspect_production(crm: Installation, closed: httpx.AsyncClient, role: str) -> None:
    body = await asked(closed, crm, role, query="{ __schema { queryType { name } } }")
    assert body["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_REGISTERED"


async def test_production_takes_no_new_text_with_its_hash(crm: Installation, closed: httpx.AsyncClient) -> None:
    text = "{ viewer { email } }"
    for body in ({"query": text, "documentId": document_id(text)}, {"documentId": document_id(text)}):
        answer = await asked(closed, crm, **body)
        assert answer["errors"][0]["extensions"]["code"] in ("DOCUMENT_NOT_REGISTERED", "PERSISTED_QUERY_NOT_FOUND")


@pytest.mark.parametrize("identity", ["sha256:12", "md5:" + "a" * 32, 7, "sha256:" + "G" * 64, "sha256:" + "a" * 64 + "\n"])
async def test_an_id_that_is_none_is_refused_precisely(crm: Installation, closed: httpx.AsyncClient, identity: object) -> None:
    body = await asked(closed, crm, documentId=identity)
    assert body["errors"][0]["message"] == "«documentId» must be sha256: and 64 hexadecimal digits"


async def test_a_register_that_grows_is_read_again(crm: Installation, tmp_path: Path) -> None:
    from gateway.operations import registered

    register(folder_of(tmp_path / "a", {"one.graphql": VIEWER}), tmp_path / "register.json")
    found = registered.Register(str(tmp_path / "register.json"), open_to_texts=False)
    assert found.has(VIEWER)
    more = "{ __typename }"
    assert register(folder_of(tmp_path / "b", {"two.graphql": more}), tmp_path / "register.json") == 2
    found._looked = 0.0
    assert (found.has(VIEWER), found.text(document_id(more))) == (True, more)
    (tmp_path / "register.json").write_text('{"sha256:00": "{ x }"}')
    found._looked = 0.0
    assert found.has(VIEWER)


def test_documents_at_fault_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    texts = {
        "good.graphql": VIEWER,
        "bad.graphql": "{ viewer { nme } }",
        "worse.graphql": "{ viewer {",
        "wide.graphql": "{ " + "a: __typename " * 30 + "}",
    }
    with pytest.raises(EngineError) as refused:
        register(folder_of(tmp_path / "texts", texts), tmp_path / "register.json")
    words = str(refused.value)
    assert "3 documents are refused, nothing is written" in words
    assert "bad.graphql:1:12: Cannot query field 'nme' on type 'Person'" in words
    assert "worse.graphql:1:11" in words
    assert "repeats 30 exceeds the limit of 25" in words
    assert not (tmp_path / "register.json").exists()


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no document"):
        register(tmp_path, tmp_path / "register.json")


async def test_a_get_of_a_registered_query_is_answered_again_only_when_it_changed(crm: Installation, closed: httpx.AsyncClient) -> None:
    address = f"/graphql?documentId={document_id(FOLDER['deep/customers.gql'])}&variables={json.dumps({'n': 100})}"
    first = await closed.get(address, headers=crm.bearer("COORDINATOR"))
    again = await closed.get(address, headers={**crm.bearer("COORDINATOR"), "If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in first.headers["vary"]
    await crm.data('mutation { customerCreate(input: {kind: COMPANY, name: "新客"}) { errors { code } } }')
    changed = await closed.get(address, headers={**crm.bearer("COORDINATOR"), "If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.headers["etag"] != first.headers["etag"]) == (200, True)
    other = await closed.get(address, headers={**crm.bearer("SALES_REP"), "If-None-Match": changed.headers["etag"]})
    assert other.status_code == 200


async def test_persisted_queries_of_clients_in_development(crm: Installation) -> None:
    text = "query Apq { viewer { name } }"
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}
    headers = crm.bearer("COORDINATOR")
    unknown = (await crm.http.post("/graphql", json={"extensions": extensions}, headers=headers)).json()
    sent = (await crm.http.post("/graphql", json={"extensions": extensions, "query": text}, headers=headers)).json()
    known = (await crm.http.get("/graphql", params={"extensions": json.dumps(extensions)}, headers=headers)).json()
    wrong = (await crm.http.post("/graphql", json={"extensions": extensions, "query": VIEWER}, headers=headers)).json()
    assert unknown["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert sent == known == {"data": {"viewer": {"name": "人 COORDINATOR"}}}
    assert "the hash is not that of the text" in wrong["errors"][0]["message"]


async def test_a_large_answer_is_compressed_where_the_client_takes_it(crm: Installation, closed: httpx.AsyncClient) -> None:
    body = {"query": FOLDER["deep/customers.gql"], "variables": {"n": 100}}
    for number in range(8):
        await crm.data(
            f'mutation {{ customerCreate(input: {{kind: COMPANY, name: "压缩客户有限责任公司 {number}"}}) {{ errors {{ code }} }} }}'
        )
    plain = await closed.post("/graphql", json=body, headers={**crm.bearer("COORDINATOR"), "Accept-Encoding": "identity, gzip;q=0"})
    async with closed.stream("POST", "/graphql", json=body, headers={**crm.bearer("COORDINATOR"), "Accept-Encoding": "br, gzip"}) as reply:
        raw = b"".join([part async for part in reply.aiter_raw()])
        assert reply.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content)


async def test_tokens_in_a_payload_are_never_compressed(crm: Installation) -> None:
    again = (
        'mutation { customerCreate(input: {kind: COMPANY, name: "'
        + "长" * 190
        + '"}) { customer { '
        + " ".join(f"n{i}: name" for i in range(20))
        + " } } }"
    )
    reply = await crm.http.post("/graphql", json={"query": again}, headers={**crm.bearer("COORDINATOR"), "Accept-Encoding": "gzip"})
    assert len(reply.content) > 8192
    assert "content-encoding" not in reply.headers


async def test_a_caller_above_the_budget_hears_429_and_when_to_come_back(crm: Installation) -> None:
    given = crm.plan.environment("gateway") | {
        "CRM_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
        "CRM_OPS_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    gateway = build(replace(Settings.from_env(given), most_cost_per_minute=200))
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20, trust_env=False) as http:
            body = {"query": "{ customers(first: 90) { nodes { name } } }", "extensions": {"cost": True}}
            replies = [await http.post("/graphql", json=body, headers=crm.bearer("COORDINATOR")) for _ in range(4)]
            other = await http.post("/graphql", json=body, headers=crm.bearer("SALES_REP"))
            anonymous = [await http.post("/graphql", json=body, headers=crm.bearer(f"forged{n}")) for n in range(4)]
    finally:
        await gateway.stop()
    refused = next(reply for reply in replies if reply.status_code == 429)
    error = refused.json()["errors"][0]["extensions"]
    assert (error["limit"], error["retryable"], error["most"]) == ("budget", True, 200)
    assert 1 <= int(refused.headers["retry-after"]) <= 121  # at most a minute until the next, and one until this is past
    assert replies[0].json()["extensions"] == {"cost": {"asked": 181, "left": 19}}
    assert other.status_code == 200
    assert 429 in {reply.status_code for reply in anonymous}
