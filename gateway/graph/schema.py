"""Assembles Query, Mutation and Subscription from the contracts of every department, and what is special beside them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.types import Info

from chassis.access.tokens import claims_of
from chassis.kernel.errors import unauthenticated
from chassis.rpc import contract
from gateway.departments.errors import field_error
from gateway.departments.loaders import load_record
from gateway.graph import (
    access,
    aggregates,
    attachments,
    bulk,
    disclosure,
    jobs,
    judged,
    nodes,
    numbering,
    presence,
    rights,
    search,
    sizes,
    stars,
    suite,
    tags,
)  # fmt: skip
from gateway.graph.arguments import signed
from gateway.graph.contract import CONFIG, finish_all
from gateway.graph.edges import of_contract
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS
from gateway.graph.selection import selected


@cache
def _hung() -> list[Any]:
    """What is written by hand beside the contracts, every module in a department's folder here; with all edges hung on the types, once."""
    for noun in NOUNS.values():
        of_contract(noun)
    attachments.edges()
    rights.edges()
    stars.edges()
    folder = Path(__file__).parent
    found = sorted(path for department in contract.departments() for path in (folder / department).glob("[a-z]*.py"))
    special = [importlib.import_module(f"gateway.graph.{path.parent.name}.{path.stem}") for path in found]
    for module in special:
        getattr(module, "edges", list)()
    return special


def build(extensions: Sequence[Callable[[], SchemaExtension]] = ()) -> strawberry.Schema:
    """The schema; built once a process. `extensions` are for those who run it by Strawberry itself."""
    from gateway.graph import subscriptions

    special = _hung()
    queries: dict[str, Any] = {
        **nodes.queries(),
        "viewer": _viewer(),
        **suite.queries(),
        **access.queries(),
        **disclosure.queries(),
        **jobs.queries(),
        **attachments.queries(),
        **search.queries(),
        **aggregates.queries(),
        **numbering.queries(),
        **tags.queries(),
    }
    for module in special:
        queries |= getattr(module, "queries", dict)()
    mutations: dict[str, Any] = (
        jobs.mutations() | presence.mutations() | attachments.mutations() | numbering.mutations() | stars.mutations()
    )
    for module in special:
        mutations |= getattr(module, "mutations", dict)()
    for noun in NOUNS.values():
        noun.build()
        queries |= noun.queries()
        mutations |= noun.mutation_fields() | bulk.mutations(noun)
    query = _root("Query", queries, "Questions. Everything is filtered to what the caller may see.")
    mutation = _root("Mutation", mutations, "Commands, one transaction each. A refusal is in `errors`.")
    subscription = subscriptions.build()
    finish_all()
    schema = strawberry.Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=[noun.type for noun in NOUNS.values()],
        config=CONFIG,
        extensions=list(extensions),
    )
    judged.check(schema)
    sizes.check(schema._schema)
    return schema


def _root(name: str, fields: dict[str, Any], description: str) -> Any:
    # The graph's names are given as they are: camelCase already.
    for shown, field in fields.items():
        field.name = shown
    return strawberry.type(type(name, (), dict(fields)), name=name, description=description)


def _viewer() -> Any:
    async def resolve(info: Info) -> Any:
        noun, person_id = NOUNS["Person"], claims_of(info.context.token).get("sub", "")
        if not person_id:
            raise field_error(unauthenticated("There is no token."), "gateway")
        return await load_record(info.context, noun, str(person_id), selected(info, noun.descriptor))

    return strawberry.field(
        resolver=signed(resolve, {}, NOUNS["Person"].type | None), description="Who is signed in.", metadata=by(NOUNS["Person"].by_id)
    )
