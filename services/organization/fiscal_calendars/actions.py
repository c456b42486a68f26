"""What can be done with fiscal calendars, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from chassis.kernel.errors import CrmError, NotFound
from chassis.kernel.fiscal import Calendar
from chassis.rpc.call import Call
from chassis.rpc.noun import Noun
from services.organization.departments.store import Departments
from services.organization.fiscal_calendars.model import check_change, definition
from services.organization.fiscal_calendars.store import FiscalCalendars

Document = dict[str, Any]


@dataclass(frozen=True)
class Reckoning:
    """Looks at what is stored, not at the directory: whoever just changed a calendar sees the change."""

    calendars: FiscalCalendars
    departments: Departments

    async def of(self, call: Call, unit_id: str) -> Calendar:
        """The calendar of a unit; the company's where none is named. Raises NotFound for a unit that is not there."""
        units = await self._with_those_above(call, [unit_id] if unit_id else [])
        if unit_id and unit_id not in units:
            words, params = f"there is no department «{unit_id}»; check unit_id", {"rule": "reference.absent", "id": unit_id}
            raise NotFound(words, code="REFERENCE_NOT_FOUND", field="unit_id", params=params)
        stored = _by_unit(await self.calendars.of_units(call, {one for chain in units.values() for one in chain}))
        return _calendar(stored, units.get(unit_id, ()))

    async def judge(self, call: Call, batch: list[Document]) -> list[CrmError | None]:
        """For a batch of whole calendars: the refusal of each that would move a year that has begun."""
        units = await self._with_those_above(call, [document["unit_id"] for document in batch if document.get("unit_id")])
        stored = _by_unit(await self.calendars.of_units(call, {one for chain in units.values() for one in chain}))
        before = await self.calendars.batch_get(call, [document["_id"] for document in batch if document.get("_id")])
        return [self._refusal(call, before.get(document.get("_id", "")), document, stored, units) for document in batch]

    async def archive(self, noun: Noun, call: Call, *, version: int | None = None, fiscal_calendar_id: str) -> Document:
        """Take out of use; refused where its years have begun."""
        await self._may_come_or_go(call, await noun.load(call, "archive", {"fiscal_calendar_id": fiscal_calendar_id}, version))
        return await noun.archive(call, version=version, fiscal_calendar_id=fiscal_calendar_id)

    async def restore(self, noun: Noun, call: Call, *, version: int | None = None, fiscal_calendar_id: str) -> Document:
        """Take back into use; refused where its years have begun meanwhile."""
        before = await self.calendars.get(call, fiscal_calendar_id, "archive")
        if before.get("archive_time"):
            await self._may_come_or_go(call, before)
        return await noun.restore(call, version=version, fiscal_calendar_id=fiscal_calendar_id)

    async def _may_come_or_go(self, call: Call, document: Document) -> None:
        units = await self._with_those_above(call, [document["unit_id"]] if document.get("unit_id") else [])
        stored = _by_unit(await self.calendars.of_units(call, {one for chain in units.values() for one in chain}))
        if refusal := self._refusal(call, document, None, stored, units):
            raise refusal

    def _refusal(
        self, call: Call, before: Document | None, after: Document | None, stored: Mapping[str, list[Document]],
        units: Mapping[str, tuple[str, ...]],
    ) -> CrmError | None:  # fmt: skip
        one = after or before or {}
        unit = one.get("unit_id", "")
        others = [other for other in stored.get(unit, []) if other["_id"] != one.get("_id")]
        above = _calendar(stored, units.get(unit, ())[1:]) if unit else Calendar()
        today = _calendar(stored, units.get(unit, ())).falls_on(call.now, call.zone)
        try:
            check_change(before, after, others, above, today)
        except CrmError as refusal:
            return refusal
        return None

    async def _with_those_above(self, call: Call, units: list[str]) -> dict[str, tuple[str, ...]]:
        """Of units that are there: each with those above it, the nearest first."""
        found = await self.departments.batch_get(call, units, ("ancestor_ids",)) if units else {}
        return {unit: (unit, *reversed(row.get("ancestor_ids", []))) for unit, row in found.items()}


def _by_unit(documents: Iterable[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for document in documents:
        found.setdefault(document.get("unit_id", ""), []).append(document)
    return found


def _calendar(stored: Mapping[str, list[Document]], units: tuple[str, ...]) -> Calendar:
    """What counts for a unit: give it and those above it, the nearest first."""
    found = Calendar()
    for unit in ("", *reversed(units)):
        if unit in stored:
            found = Calendar.of(map(definition, stored[unit]), found)
    return found


def special(reckoning: Reckoning, noun: Noun) -> dict[str, Any]:
    """The verbs that are not the standard ones."""
    return {
        "ArchiveFiscalCalendar": partial(reckoning.archive, noun),
        "RestoreFiscalCalendar": partial(reckoning.restore, noun),
    }
