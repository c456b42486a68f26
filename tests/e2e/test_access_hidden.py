"""Hunt: hide, mask or only-read EVERY limitable field; no answer may be INTERNAL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type, is_leaf_type

from gateway.bootstrap import shared_schema
from services.organization.access import catalogue
from tests.e2e.test_access_roles import holder, role
from tests.e2e.test_graph_edges import ROOTS
from tests.e2e.world import fill, installation
from tests.support.installation import Engines, Installation
from tests.support.samples import sample

SCHEMA = shared_schema()._schema
ALSO = {
    "Product": "products(first: #) { nodes { @ } }",
    "Pipeline": "pipelines(first: #) { nodes { @ } }",
    "Article": "articles(first: #) { nodes { @ } }",
    "RoleDefinition": "roleDefinitions(first: #) { nodes { @ } }",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async for found in _world(engines, tmp_path_factory.mktemp("hidden")):
        yield found


async def _world(engines: Engines, folder: Any) -> AsyncIterator[Installation]:
    async with installation(engines, folder) as crm:
        await fill(crm)
        await crm.ask("CreateArticle", role="COORDINATOR", title="t", body="b", category="x", language=1)
        acts = [(resource, "read", "ALL") for resource, names in catalogue.actions().items() if "read" in names and resource != "directory"]
        for access in ("HIDDEN", "MASKED", "READ"):
            limits = [(resource, field, access) for resource, names in catalogue.fields().items() for field in names]
            found = await role(crm, f"全 {access}", acts, limits)
            await holder(crm, access, found["id"])
        await crm.settled()
        yield crm


def scalars(kind: Any, depth: int) -> str:
    found = ["__typename"] if isinstance(kind, GraphQLUnionType) else []
    for name, field in getattr(kind, "fields", {}).items():
        if any(str(a.type).endswith("!") for a in field.args.values()):
            continue
        inner = get_named_type(field.type)
        if is_leaf_type(inner):
            found.append(name)
        elif isinstance(inner, (GraphQLObjectType, GraphQLInterfaceType)) and depth:
            text = scalars(inner, depth - 1)
            first = "(first: 2)" if "first" in field.args else ""
            if text:
                found.append(f"{name}{first} {{ {text} }}")
    return " ".join(found)


CASES = sample([(name, access) for name in sorted(ROOTS | ALSO) for access in ("HIDDEN", "MASKED", "READ")], 10, "hidden")


@pytest.mark.parametrize(("name", "access"), CASES)
async def test_no_internal(world: Installation, name: str, access: str) -> None:
    kind = SCHEMA.type_map[name]
    bad = []
    for field, definition in kind.fields.items():  # type: ignore[union-attr]
        inner = get_named_type(definition.type)
        depth = 3
        if is_leaf_type(inner):
            text = field
        else:
            if any(str(a.type).endswith("!") for a in definition.args.values()):
                continue
            first = "(first: 2)" if "first" in definition.args else ""
            body = None
            for depth in (2, 1, 0):
                body = scalars(inner, depth)
                if body and len(body) < 2500:
                    break
            if not body:
                body = "__typename"
            text = f"{field}{first} {{ {body} }}"
        query = "{" + (ROOTS | ALSO)[name].replace("#", "3").replace("@", text) + "}"
        if "filter: {name" in query or "filter: {kind" in query:
            import re

            query = re.sub(r", filter: \{[a-zA-Z]+: \{[^}]*\}\}", "", query)
        out = await world.graph(query, access)
        for error in out.get("errors", []):
            bad.append(
                (field, error["extensions"].get("code") if "extensions" in error else None, error["message"][:160], error.get("path"))
            )
    assert not bad, bad[:5]
