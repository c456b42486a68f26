"""The record that an entry of the timeline tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from strawberry.types import Info

from gateway.departments.loaders import load_records
from gateway.graph.contract import Node
from gateway.graph.edges import edge
from gateway.graph.noun import NOUNS, Noun


def _nouns() -> dict[str, Noun]:
    """Resource → the noun whose facts become entries."""
    return {noun.contract.resource: noun for noun in NOUNS.values() if noun.contract.traits.timeline}


async def _records(roots: Sequence[Any], info: Info) -> Sequence[Any]:
    """The record of each entry; one call for each noun among them."""
    known, ids = _nouns(), dict[str, list[str]]()
    for root in roots:
        ids.setdefault(root.resource, []).append(root.record_id)
    told = [resource for resource in ids if resource in known]
    loaded = await asyncio.gather(*[load_records(info.context, known[resource], ids[resource], ()) for resource in told])
    found = {resource: iter(records) for resource, records in zip(told, loaded, strict=True)}
    return [next(found.get(root.resource, iter(())), None) for root in roots]


def edges() -> None:
    """Called when every noun is known."""
    description = "The record as it is now; null when you may not see it."
    methods = [noun.by_id for noun in _nouns().values()]
    NOUNS["TimelineEntry"].edge("record", edge(_records, {}, Node | None, description, *methods))
