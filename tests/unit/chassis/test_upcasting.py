"""Facts of older shapes are read as ones of today; those of a newer build are not guessed at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default

from chassis.messaging import reactions
from chassis.messaging.envelope import Event, decode, encode
from chassis.messaging.reactions import Reaction
from chassis.messaging.upcasting import must_reach_today, understood
from chassis.rpc.documents import message_class


def _parcel_made() -> Any:
    """An event of no department whose shape is 3 by now: its weight was in kilograms first, then in grams, then in milligrams."""
    file = FileDescriptorProto(
        name="crm/shapes/v1/parcel_events.proto", package="crm.shapes.v1", syntax="proto3", dependency=["crm/common/v1/annotations.proto"]
    )
    parcel = file.message_type.add(name="Parcel")
    for number, (name, kind) in enumerate((("id", "STRING"), ("version", "INT64"), ("weight", "INT64")), 1):
        parcel.field.add(name=name, number=number, type=f"TYPE_{kind}", label="LABEL_OPTIONAL")
    made = file.message_type.add(name="ParcelMade")
    made.field.add(
        name="parcel", number=1, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".crm.shapes.v1.Parcel", label="LABEL_OPTIONAL"
    )
    made.options.Extensions[annotations_pb2.subject] = "crm.shapes.v1.parcel.made"
    made.options.Extensions[annotations_pb2.schema_version] = 3
    Default().AddSerializedFile(file.SerializeToString())
    return Default().FindMessageTypeByName("crm.shapes.v1.ParcelMade")


MADE = _parcel_made()


def _thousandfold(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "parcel": {**body["parcel"], "weight": body["parcel"]["weight"] * 1000}}


UPCASTERS = {("ParcelMade", 1): _thousandfold, ("ParcelMade", 2): _thousandfold}


def _fact(shape: int, weight: int) -> Event:
    """As it comes from a stream, written by a build that knew `shape` shapes."""
    record = {"_id": "p1", "version": 1, "weight": weight}
    event = encode(message_class(MADE), record, id="e1", time=datetime(2026, 11, 26, tzinfo=UTC), actor_id="")
    return decode(event.headers() | {"ce-schemaversion": str(shape)}, event.payload)


def test_a_fact_tells_the_shape_in_which_it_was_written() -> None:
    event = encode(message_class(MADE), {"_id": "p1", "version": 1}, id="e1", time=datetime(2026, 11, 26, tzinfo=UTC), actor_id="")
    assert event.headers()["ce-schemaversion"] == "3"
    assert decode(event.headers(), event.payload).shape == 3


@pytest.mark.parametrize(("shape", "weight"), [(1, 2), (2, 2_000), (3, 2_000_000)])
def test_facts_of_every_shape_mean_the_same(shape: int, weight: int) -> None:
    event = understood(_fact(shape, weight), UPCASTERS)
    assert (event.record["weight"], event.shape) == (2_000_000, 3)


def test_a_fact_without_a_shape_is_one_of_the_first() -> None:
    event = _fact(1, 2)
    headers = {name: value for name, value in event.headers().items() if name != "ce-schemaversion"}
    assert understood(decode(headers, event.payload), UPCASTERS).record["weight"] == 2_000_000


def test_a_fact_of_a_newer_shape_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match=r"ParcelMade has shape 4, this build knows 3; update this department"):
        understood(_fact(4, 1), UPCASTERS)


def test_a_reaction_that_cannot_read_an_older_shape_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    must_reach_today("somebody", [MADE], (), UPCASTERS)
    must_reach_today("somebody", [MADE], ("Envelope",), {})  # does not hear parcels
    with pytest.raises(RuntimeError, match=r"does not say how shape 2 is read; give it upcasters=\{\('ParcelMade', 2\)"):
        must_reach_today("somebody", [MADE], ("Parcel",), {("ParcelMade", 1): _thousandfold})

    async def nothing(call: Any, events: Any) -> None: ...

    monkeypatch.setattr(reactions, "know", lambda department: [MADE])
    with pytest.raises(RuntimeError, match=r"reaction «weights» hears crm\.shapes\.v1\.ParcelMade"):
        Reaction("weights", "shapes", ("Parcel",), nothing, ("weights",))
