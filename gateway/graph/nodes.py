"""Records of any kind by their ids: one, or up to a hundred at once, one call for each kind among them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.loaders import load_record, load_records
from gateway.graph import attachments, jobs
from gateway.graph.arguments import signed
from gateway.graph.contract import Node, from_global
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS
from gateway.graph.selection import selected
from gateway.graph.sizes import ROWS

MOST = 100
# What every department has alike, by the name in its ids: a record of those is loaded by whoever made its id.
ALIKE = {jobs.NAME: jobs.loaded, attachments.NAME: attachments.loaded}


def queries() -> dict[str, Any]:
    """The fields of Query."""
    return {"node": _one(), "nodes": _several()}


def _judged() -> dict[str, Any]:
    return by(*(noun.by_id for noun in NOUNS.values()), jobs.BY_ID, attachments.BY_ID)


def _one() -> Any:
    async def resolve(info: Info, id: strawberry.ID) -> Any:
        try:
            kind, identity = from_global(str(id))
        except CrmError as error:
            raise field_error(error, "gateway") from None
        if kind in ALIKE:
            return await ALIKE[kind](info.context, identity)
        noun = NOUNS.get(kind)
        if noun is None or noun.by_id is None:
            return None
        return await load_record(info.context, noun, identity, ())

    words = "Any record by its id; null when there is none that you may see."
    return strawberry.field(resolver=signed(resolve, {"id": (strawberry.ID, ...)}, Node | None), description=words, metadata=_judged())


def _several() -> Any:
    async def resolve(info: Info, ids: Sequence[strawberry.ID]) -> Any:
        try:
            asked = list(_asked([str(one) for one in ids]))
        except CrmError as error:
            raise field_error(error, "gateway") from None
        kinds = list(dict.fromkeys(kind for kind, _ in asked))
        loaded = await asyncio.gather(*[_of_kind(info, kind, [identity for of, identity in asked if of == kind]) for kind in kinds])
        left = {kind: iter(found) for kind, found in zip(kinds, loaded, strict=True)}
        return [next(left[kind]) for kind, _ in asked]

    words = (
        f"Records of any kind by their ids, up to {MOST}, in the order asked; null in the place of one that is not there for you. One call "
        "for each kind."
    )
    return strawberry.field(
        resolver=signed(resolve, {"ids": (list[strawberry.ID], ...)}, list[Node | None]),
        description=words,
        metadata={**_judged(), ROWS: MOST},
    )


def _asked(ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(ids) > MOST:
        raise Invalid(
            f"ids has {len(ids)} entries; ask for {MOST} at most", field="ids", params={"rule": "repeated.max_items", "limit": str(MOST)}
        )
    for index, one in enumerate(ids):
        yield from_global(one, field=f"ids[{index}]")


async def _of_kind(info: Info, kind: str, ids: list[str]) -> Sequence[Any]:
    """One value for each id: the record, None for what is not to be seen, the failure of a department that does not answer."""
    context: Context = info.context
    if kind in ALIKE:
        return await asyncio.gather(*[ALIKE[kind](context, identity) for identity in ids], return_exceptions=True)
    noun = NOUNS.get(kind)
    if noun is None or noun.by_id is None:
        return [None] * len(ids)
    return [None if _hidden(one) else one for one in await load_records(context, noun, ids, selected(info, noun.descriptor))]


def _hidden(found: Any) -> bool:
    """Whether no role of the caller reads any record of the kind, which here is no failure."""
    return isinstance(found, GraphQLError) and (found.extensions or {}).get("code") == "NOT_ALLOWED"
