"""One file on its way in: records go out in batches, every row ends with an outcome, and what stops the import is told with what happened before."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm.common.v1 import outcome_pb2
from crm.common.v1.outcome_pb2 import UpsertOutcome as Outcome

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source
from chassis.rpc.contract import contract_of
from chassis.rpc.documents import personal_fields
from cli.batches import Batches, batched, targets
from cli.imports import sheet as sheets
from cli.imports.reader import Broken, Layout, rows
from cli.imports.recipe import File
from cli.imports.records import Builder, Built, Refused
from cli.imports.sheet import ROW_OUTCOMES, Sheet
from cli.imports.survey import Survey
from cli.words import Progress

_PAUSE_SECONDS = 2.5
_INNER = re.compile(r"(\w+)\[(\d+)\]\.(\w+)")
# What waits for records further down in the file, at most.
_MOST_LATE = 5_000
RESULTS = {value.number: value.name.removeprefix("UPSERT_RESULT_") for value in outcome_pb2.UpsertResult.DESCRIPTOR.values}
_REFUSED = outcome_pb2.UPSERT_RESULT_REFUSED
# What ends an import, whatever is in its rows.
_ENDS = ("NOT_ALLOWED", "UNAUTHENTICATED", "JOB_STATE_NOT_ALLOWED", "JOB_ROWS_DIFFER", "JOBS_FULL")
Tell = Callable[[int, str, str], object]


@dataclass
class Rehearsal:
    """What a dry run would have made so far, over all files: ids that may be referred to, and who has values that are unique."""

    ids: set[int] = field(default_factory=set)
    taken: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def made(self, resource: str, message: Any, identity: str) -> None:
        """A record would be there."""
        self.ids.add(hash(identity))
        for name, value, _ in _unique_values(resource, message):
            self.taken.setdefault((resource, name, value), message.source_key)

    def refusal(self, resource: str, message: Any) -> Outcome | None:
        """As the department would refuse it after the records before it were stored."""
        for name, value, code in _unique_values(resource, message):
            if self.taken.get((resource, name, value), message.source_key) != message.source_key:
                text = f"another record already has this value as {name}; correct one of them"
                return Outcome(source_key=message.source_key, result=_REFUSED, error_code=code, error_message=text, error_field=name)
        return None

    def supposed(self, items: list[Built], outcomes: list[Outcome]) -> dict[int, Built]:
        """By place, the records that miss what would be there by then, without that reference."""
        return {
            index: known
            for index, (item, outcome) in enumerate(zip(items, outcomes, strict=True))
            if outcome.error_code == "REFERENCE_NOT_FOUND" and (known := self._without(item, outcome.error_field))
        }

    def _without(self, item: Built, path: str) -> Built | None:
        message = type(item.message)()
        message.CopyFrom(item.message)
        holder, name = _holder(message, path)
        value = getattr(holder, name) if name in holder.DESCRIPTOR.fields_by_name else None
        if not isinstance(value, str) or not value or hash(value) not in self.ids:
            return None
        holder.ClearField(name)
        return replace(item, message=message)


def _holder(message: Any, path: str) -> tuple[Any, str]:
    """The message that holds a field, and the field's name: customer_id, lines[2].product_id."""
    inner = _INNER.fullmatch(path)
    return (getattr(message, inner[1])[int(inner[2])], inner[3]) if inner else (message, path)


def _unique_values(resource: str, message: Any) -> list[tuple[str, str, str]]:
    """(field, value as it is compared, code) of what no two records may share."""
    descriptor = targets()[resource].record.DESCRIPTOR
    personal = personal_fields(descriptor)
    found = ((name, str(getattr(message, name)), code) for name, code in contract_of(descriptor).unique.items())
    return [(name, "".join(value.casefold().split()) if name in personal else value, code) for name, value, code in found if value]


class Import:
    """One file. `tell` takes row, column and reason of each refused row; `rehearsal` is there in a dry run."""

    def __init__(
        self, batches: Batches, part: File, layout: Layout, survey: Survey, tell: Tell, rehearsal: Rehearsal | None
    ) -> None:  # fmt: skip
        self.batches, self.part, self.layout, self.survey, self.tell, self.rehearsal = batches, part, layout, survey, tell, rehearsal
        self.sheet = Sheet(f"{layout.path.name} ({part.label})")
        self.sheet.describe(part, layout, survey)
        self.builder = Builder(part, survey)
        self.waiting: dict[str, list[Built]] = {}
        self.flying: list[Built] = []
        self.late: list[tuple[Built, Outcome]] = []
        self.order = list(dict.fromkeys(record.resource for record in part.records))
        self.ranks = bytearray(survey.last + 1)
        self.stopped: BaseException | None = None

    async def run(self) -> Sheet:
        """Stream the file through. What stops it is kept in `stopped`; the sheet tells what happened before."""
        try:
            await self._stream()
            if self.rehearsal is None:
                await sheets.read_back(self.batches, self.part, self.sheet)
        except (CrmError, asyncio.CancelledError) as stop:
            self.stopped = stop
            self.sheet.ended = stop.message if isinstance(stop, CrmError) else "stopped by hand"
            self.sheet.stored.clear()
            self._forget_open_rows()
        self._reckon()
        return self.sheet

    async def _stream(self) -> None:
        progress = Progress(self.layout.path.name, self.survey.rows)
        for number, row in rows(self.layout):
            self.ranks[number] = 1
            if isinstance(row, Broken):
                self._refuse([number], "", row.reason)
            else:
                self.sheet.count(self.part, row)
                for found in self.builder.take(number, row):
                    self._keep(found)
            progress.add(1)
            if any(len(built) >= self.batches.rows for built in self.waiting.values()):
                await self._send()
        await self._send()
        await self._send_late()
        progress.end()

    def _reckon(self) -> None:
        outcomes = {name: self.ranks.count(index) for index, name in enumerate(ROW_OUTCOMES, 1)}
        self.sheet.reckon(outcomes, self.survey.rows)
        if self.builder.left_out:
            self.sheet.notes.append(f"{self.builder.left_out:,} rows were left out for another row of their key counts (duplicates)")

    def _forget_open_rows(self) -> None:
        """Of rows whose records were not answered for nothing is known."""
        built = [*self.flying, *(item for item, _ in self.late), *(item for items in self.waiting.values() for item in items)]
        for number in (*(number for item in built for number in item.rows), *self.builder.waiting):
            if self.ranks[number] < len(ROW_OUTCOMES):
                self.ranks[number] = 0

    def _keep(self, found: Built | Refused) -> None:
        if isinstance(found, Refused):
            self._refuse(found.rows, found.column, found.reason)
        else:
            self.waiting.setdefault(found.resource, []).append(found)

    def _refuse(self, numbers: Sequence[int], column: str, reason: str) -> None:
        for number in numbers:
            self.ranks[number] = len(ROW_OUTCOMES)
            self.tell(number, column, reason)

    async def _send(self) -> None:
        """Everything that waits, what is referred to first."""
        for resource in self.order:
            if self.waiting.get(resource):
                await self._upsert(resource)
        if len(self.late) > _MOST_LATE:
            await self._send_late()

    async def _upsert(self, resource: str) -> None:
        self.flying = self.waiting.pop(resource)
        if self.rehearsal:
            outcomes = await self._rehearsed(resource, self.flying, self.rehearsal)
        else:
            outcomes = await self._outcomes(resource, self.flying)
            await self._again_for_people(resource, outcomes)
        for item, outcome in zip(self.flying, outcomes, strict=True):
            if outcome.error_code == "REFERENCE_NOT_FOUND":
                self.late.append((item, outcome))  # it may come further down in the file
            else:
                self._end(item, outcome)
        self.flying = []

    async def _again_for_people(self, resource: str, outcomes: list[Outcome]) -> None:
        """People who were imported a moment ago are not known everywhere yet."""
        late = [
            index
            for index, outcome in enumerate(outcomes)
            if outcome.error_code == "REFERENCE_NOT_FOUND" and outcome.error_field in ("owner_id", "manager_id")
        ]
        if late:
            await asyncio.sleep(_PAUSE_SECONDS)
            again = await self._outcomes(resource, [self.flying[index] for index in late])
            for index, outcome in zip(late, again, strict=True):
                outcomes[index] = outcome

    def _end(self, item: Built, outcome: Outcome) -> None:
        """What became of a record, and so of its rows."""
        result = RESULTS[outcome.result]
        self.sheet.outcomes.setdefault(item.resource, Counter())[result] += 1
        self.sheet.changed_fields.update(outcome.changed_fields)
        if result == "REFUSED":
            self._refuse(item.rows, outcome.error_field, f"{outcome.error_code}: {outcome.error_message}")
            return
        rank = ROW_OUTCOMES.index(result) + 1
        for number in item.rows:
            self.ranks[number] = max(self.ranks[number], rank)
        if self.rehearsal:
            self.rehearsal.made(item.resource, item.message, outcome.id)

    async def _send_late(self) -> None:
        """Records whose references were not there yet, until none of them gets any further."""
        moved = True
        while self.late and moved:
            late, self.late = self.late, []
            for resource in self.order:
                if items := [item for item, _ in late if item.resource == resource]:
                    self.waiting[resource] = items
                    await self._upsert(resource)
            moved = len(self.late) < len(late)
        for item, outcome in self.late:
            self._end(item, outcome)
        self.late = []

    async def _rehearsed(self, resource: str, built: list[Built], rehearsal: Rehearsal) -> list[Outcome]:
        """In a dry run: the whole batch again and again, without the references to what would be there by then, until none of them is missed.
        What cannot be without such a reference would be made."""
        items, outcomes = list(built), await self._outcomes(resource, built)
        left_out: dict[int, set[str]] = {}
        while known := rehearsal.supposed(items, outcomes):
            for index, item in known.items():
                items[index] = item
                left_out.setdefault(index, set()).add(outcomes[index].error_field)
            outcomes = await self._outcomes(resource, items)
        for index, fields in left_out.items():
            if outcomes[index].result == _REFUSED and outcomes[index].error_field in fields:
                key = items[index].message.source_key
                outcomes[index] = Outcome(source_key=key, id=from_source(resource, key), result=outcome_pb2.UPSERT_RESULT_CREATED)
        return outcomes

    async def _outcomes(self, resource: str, built: list[Built]) -> list[Outcome]:
        """An outcome for each. In a dry run values that are taken by then are refused here; such rows are sent apart from the others, only to
        hear of the faults that a run would name before."""
        if self.rehearsal is None:
            return await self._sent(resource, [item.message for item in built])
        known = [self.rehearsal.refusal(resource, item.message) for item in built]
        taken = iter(await self._sent(resource, [item.message for item, refusal in zip(built, known, strict=True) if refusal]))
        rest = iter(await self._sent(resource, [item.message for item, refusal in zip(built, known, strict=True) if not refusal]))
        return [_first(next(taken), refusal) if refusal else next(rest) for refusal in known]

    async def _sent(self, resource: str, messages: list[Any]) -> list[Outcome]:
        return [outcome for batch in batched(messages, self.batches.rows) for outcome in await self._whole(resource, batch)]

    async def _whole(self, resource: str, batch: list[Any]) -> list[Outcome]:
        """A batch; where the department fails on it as a whole, halves of it, down to the row on which it fails."""
        try:
            return await self.batches.upsert(resource, batch, dry_run=self.rehearsal is not None)
        except CrmError as error:
            if error.retryable or error.code in _ENDS:
                raise
            if len(batch) > 1:
                half = len(batch) // 2
                return [*await self._whole(resource, batch[:half]), *await self._whole(resource, batch[half:])]
            key = batch[0].source_key
            return [Outcome(source_key=key, result=_REFUSED, error_code=error.code, error_message=error.message, error_field=error.field)]


def _first(found: Outcome, taken: Outcome) -> Outcome:
    """Which refusal of a row whose value is taken a run would tell: what the row breaks by itself comes before, what it refers to after."""
    return found if found.result == _REFUSED and found.error_code != "REFERENCE_NOT_FOUND" else taken
