"""Records of another department, looked at with the caller's own token: what they may not see does not exist for them.

What is only shown to them by a sharing contract is not theirs to build on: work on a customer would open it to them for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.access.caller import ALL
from chassis.kernel.errors import Conflict, CrmError, Invalid, NotAllowed, NotFound
from chassis.rpc.call import Call
from chassis.rpc.channels import DEFAULT_SECONDS, Channel
from chassis.rpc.contract import contract_of
from chassis.rpc.documents import to_document
from chassis.rpc.service import request_class

BATCH = 100


class RemoteRecords:
    """The records of a noun that another department owns, by its BatchGet; `fields` is what is needed of them beside: no more is read.

    `rule` refuses what a record is in no state to be referred to by a field: given the record, of these fields, and the field's name."""

    def __init__(
        self,
        channel: Channel,
        record: type[Message],
        fields: Sequence[str] = (),
        rule: Callable[[dict[str, Any], str], CrmError | None] | None = None,
    ) -> None:
        contract = contract_of(record.DESCRIPTOR)
        if contract.batch_get is None:
            raise RuntimeError(f"{contract.record.full_name} cannot be asked for by ids: its contract has no BatchGet")
        self.channel, self.method, self.rows = channel, contract.batch_get, contract.resource
        self.noun, self.words, self.rule = contract.name, contract.words, rule
        self.fields = [name for name in ("id", "archive_time", "customer_id", *fields) if name in contract.record.fields_by_name]

    async def batch_get(self, call: Call, ids: Iterable[str]) -> dict[str, Any]:
        """Messages by id. Raises Unavailable when the department does not answer."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Any] = {}
        for start in range(0, len(wanted), BATCH):
            request = request_class(self.method)(ids=wanted[start : start + BATCH], read_mask=FieldMask(paths=self.fields))
            seconds = min(DEFAULT_SECONDS, call.milliseconds_left / 1000)  # the caller's deadline, passed on
            answer = await self.channel.call(
                self.method.containing_service,
                self.method.name,
                request,
                token=call.caller.token,
                request_id=call.request_id,
                seconds=seconds,
                by_roles=True,
            )
            found |= {message.id: message for message in getattr(answer, self.rows)}
            if "resolved_ids" in answer.DESCRIPTOR.fields_by_name:
                found |= {asked: found[counts] for asked, counts in answer.resolved_ids.items()}
        return found

    async def _seen(self, call: Call, ids: Iterable[str]) -> dict[str, Any]:
        """Messages by id, of those that the caller may see; none where their roles let them see none at all."""
        wanted = list(ids)
        try:
            return await self.batch_get(call, wanted) if wanted else {}
        except NotAllowed:
            return {}

    async def refusals(self, call: Call, documents: list[dict[str, Any]], field: str) -> list[CrmError | None]:
        """A refusal for each document whose reference is not to be had.

        An import is not asked about: its references are reckoned from natural keys, and may come in after it. Who may not read all such
        records is asked about all the same, for work on a record opens it.
        """
        if call.method.startswith("BatchUpsert") and self._open(call):
            return [None] * len(documents)
        found = await self._seen(call, (identity for document in documents for identity in named(document, field)))
        return [next(filter(None, (self._refusal(one, field, found, each) for one in named(each, field))), None) for each in documents]

    def _open(self, call: Call) -> bool:
        """Whether the caller may read every record of the noun."""
        return call.directory.scope(call.caller.roles, self.rows, "read") == ALL or call.caller.is_service

    def _refusal(self, identity: str, field: str, found: dict[str, Any], document: Mapping[str, Any]) -> CrmError | None:
        if identity not in found:
            return absent(self.words, identity, field)
        archived = "archive_time" in found[identity].DESCRIPTOR.fields_by_name and found[identity].HasField("archive_time")
        if archived:
            return out_of_use(self.words, field)
        record = to_document(found[identity])
        return elsewhere(self.words, record, document, field) or (self.rule(record, field) if self.rule else None)


def named(document: Mapping[str, Any], field: str) -> list[str]:
    """The ids that a field of a document holds: one, several or none."""
    value = document.get(field) or ()
    return [value] if isinstance(value, str) else list(value)


def absent(words: str, identity: str, field: str) -> NotFound:
    """The refusal of a reference to a record that is not there for the caller."""
    params = {"rule": "reference.absent", "id": identity}
    return NotFound(
        f"there is no {words} «{identity}» that you may see; check {field}", code="REFERENCE_NOT_FOUND", field=field, params=params
    )


def elsewhere(words: str, record: Mapping[str, Any], document: Mapping[str, Any], field: str) -> Invalid | None:
    """The refusal of a reference to what belongs to another customer than the record that names it; None where it fits or neither says."""
    own, other = document.get("customer_id"), record.get("customer_id")
    if field == "customer_id" or not own or not other or own == other:
        return None
    words = f"the {words} is another customer's; choose one of this customer, or correct customer_id"
    return Invalid(words, code="REFERENCE_OF_ANOTHER_CUSTOMER", field=field)


def out_of_use(words: str, field: str) -> Conflict:
    """The refusal of a reference to an archived record."""
    return Conflict(f"the {words} is archived; restore it first", code="ARCHIVED", field=field, retryable=False)


def first_of(*refusals: list[CrmError | None]) -> list[CrmError | None]:
    """For each document the first refusal of several checks."""
    return [next((found for found in each if found), None) for each in zip(*refusals, strict=True)]
