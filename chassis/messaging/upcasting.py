"""Facts of an older shape, read as ones of today. A contract raises `schema_version` where a field of an event gets another meaning; whoever
reacts to such facts says here how those of the shape before are to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default

from chassis.messaging.envelope import Event

Body = dict[str, Any]
# (type without its package, shape) → the body as the next shape has it; pure, for facts are read more than once.
Upcasters = Mapping[tuple[str, int], Callable[[Body], Body]]


@cache
def shape_of(type_: str) -> int:
    """The shape in which this build's contract has an event: 1, 2, 3 …"""
    return shape(Default().FindMessageTypeByName(type_))


def shape(descriptor: Descriptor) -> int:
    """The same, of its descriptor."""
    return int(descriptor.GetOptions().Extensions[annotations_pb2.schema_version]) or 1


def understood(event: Event, upcasters: Upcasters) -> Event:
    """The fact in today's shape. Raises ValueError for one of a build that is newer than this one: what it means is not known here."""
    today = shape_of(event.type)
    if event.shape > today:
        raise ValueError(
            f"{event.type} has shape {event.shape}, this build knows {today}; update this department, then «xietong events retry» the fact"
        )
    body: Body = dict(event.body)
    for number in range(event.shape, today):
        body = upcasters[event.name, number](body)
    return replace(event, body=body, shape=today) if event.shape < today else event


def must_reach_today(who: str, events: Sequence[Descriptor], aggregates: Sequence[str], upcasters: Upcasters) -> None:
    """Refuse to start where a fact that is heard has older shapes that nobody says how to read. Raises RuntimeError."""
    for event in events:
        if aggregates and event.fields[0].message_type.name not in aggregates:
            continue
        missing = [number for number in range(1, shape(event)) if (event.name, number) not in upcasters]
        if missing:
            raise RuntimeError(
                f"{who} hears {event.full_name}, which has shape {shape(event)}, and does not say how shape {missing[0]} is read; "
                f"give it upcasters={{({event.name!r}, {missing[0]}): …}}"
            )
