"""PreferenceService: everybody's own, so no policy decides beyond whose they are."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import preference_service_pb2 as contract

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from services.organization.preferences import model, store

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["PreferenceService"]


def service() -> Service:
    """The handlers."""
    return Service(DESCRIPTOR, {"ListPreferences": _list, "SetPreference": _set}, {})


async def _list(call: Call, request: Any) -> Any:
    rows = await store.of(call, _person(call), list(request.keys))
    return contract.ListPreferencesResponse(preferences=[_told(row) for row in rows])


async def _set(call: Call, request: Any) -> Any:
    """Of two at once the later one stays: a conflict makes this run again, which reads what the other one wrote."""
    person_id = _person(call)
    if not request.HasField("value"):
        store.remove(call, person_id, request.key)
        return contract.SetPreferenceResponse()
    model.check(request.value)
    before = next(iter(await store.of(call, person_id, [request.key])), None)
    if before is None:
        await store.seat(call, person_id)
        model.has_room(await store.count(call, person_id))
    return contract.SetPreferenceResponse(preference=_told(store.put(call, before, person_id, request.key, request.value)))


def _person(call: Call) -> str:
    return model.person_of(call.caller.person_id, is_person=call.caller.person_id in call.directory.members)


def _told(row: dict[str, Any]) -> Any:
    return to_message(row, contract.Preference.DESCRIPTOR)
