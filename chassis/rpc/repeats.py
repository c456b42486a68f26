"""Commands under their request id: done once and answered alike, however often and however at once they are sent.

What is kept of one is its answer, or a fence: the mark of a refusal. Whoever was under way when the fence was set commits nothing any more, so
that a refusal that somebody was told is never followed by the effect; a new try under the same id begins at the fence and may succeed.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from pymongo import InsertOne, UpdateOne
from pymongo.errors import DuplicateKeyError, PyMongoError

from chassis.access.fields import records_in
from chassis.kernel.errors import Conflict, Invalid
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.rpc.documents import message_class, traits
from chassis.storage.changes import REQUESTS
from chassis.storage.encryption import erased
from chassis.storage.personal import open_message, seal_message

SCRYPT_COST = 2**14  # n for interactive use in the paper on scrypt (Percival 2009): 16 MiB, a twentieth of a second


class Repeat:
    """One try of a command. `fence` is the one that it began at, "" for none; None as long as nobody has looked."""

    def __init__(self, method: MethodDescriptor, call: Call, request: Message) -> None:
        self.method, self.call, self.request = method, call, request
        self.key = f"{call.caller.person_id}:{method.name}:{getattr(request, 'request_id', '')}"
        self.fence: str | None = None

    async def earlier(self) -> Message | None:
        """The answer that was given under this id. Raises Invalid for one to another content, Conflict where a repeat of this command was
        refused while it was under way."""
        row = await self._row()
        if row is not None and "erased" in row:
            raise erased(row["erased"])
        if row is not None and "response" in row:
            return await self._answer(row)
        fence = str(row["fence"]) if row else ""
        if self.fence is None:
            self.fence = fence
        elif fence != self.fence:
            raise Conflict(
                "a repeat of this command was refused while it was under way; send it anew under a new request_id",
                code="REQUEST_REFUSED", field="request_id", retryable=False,
            )  # fmt: skip
        return None

    async def keep(self, response: Message) -> None:
        """Keep the answer, with whatever else the command commits. What is personal lies under the keys of its subjects here too."""
        copy = type(response)()
        copy.CopyFrom(response)
        await seal_message(copy, self.call.changes.keys_of)
        kept = {"hash": self._digest(), "response": copy.SerializeToString(), "create_time": self.call.now}
        if customers := sorted(_customers(copy)):
            kept["customer_ids"] = customers
        if self.fence:
            taken = UpdateOne({"_id": self.key, "fence": self.fence}, {"$set": kept, "$unset": {"fence": ""}})
            self.call.changes.must_match(REQUESTS, taken)
        else:
            self.call.changes.write(REQUESTS, InsertOne({"_id": self.key, **kept}))

    async def refuse(self) -> Message | None:
        """Make a refusal final: after this, nothing that began before has an effect. The answer, where it had one already. Raises Conflict
        (BUSY) where that cannot be made sure of within the deadline."""
        mark = {"fence": new_id(), "hash": "", "create_time": self.call.now}
        requests = self.call.database[REQUESTS]
        try:
            async with asyncio.timeout(self.call.milliseconds_left / 1000):
                if not self.fence:
                    await requests.insert_one({"_id": self.key, **mark})
                    return None
                if (await requests.update_one({"_id": self.key, "fence": self.fence}, {"$set": mark})).matched_count:
                    return None
        except DuplicateKeyError:
            pass
        except (PyMongoError, TimeoutError) as error:
            raise Conflict("the database was too busy to refuse this for good; send the same request again", code="BUSY") from error
        row = await self._row()  # an answer, or the fence of another repeat, which is as good as ours
        return await self._answer(row) if row is not None and "response" in row else None

    async def _row(self) -> dict[str, Any] | None:
        return await self.call.database[REQUESTS].find_one({"_id": self.key})

    async def _answer(self, row: dict[str, Any]) -> Message:
        if row["hash"] != self._digest():
            raise Invalid(
                "this request_id was used before with other content; use a new request_id for a new command",
                code="REQUEST_ID_REUSED", field="request_id",
            )  # fmt: skip
        answer = message_class(self.method.output_type).FromString(row["response"])
        await open_message(answer, self.call.changes.vault)
        return answer

    def _digest(self) -> str:
        """What tells one content from another. Secrets go in only through scrypt: a fast digest of a password would be a place to guess it."""
        plain: Any = type(self.request)()
        plain.CopyFrom(self.request)
        slow = b""
        for field in self.request.DESCRIPTOR.fields:
            if traits(field).secret:
                slow += hashlib.scrypt(getattr(plain, field.name).encode(), salt=plain.request_id.encode(), n=SCRYPT_COST, r=8, p=1)
                plain.ClearField(field.name)
        return hashlib.sha256(plain.SerializeToString(deterministic=True) + slow).hexdigest()


def _customers(answer: Message) -> set[str]:
    """Ids of the customers of whom an answer tells: when one is erased, it is forgotten."""
    return {str(record.id if kind == "customers" else getattr(record, "customer_id", "")) for kind, record in records_in(answer)} - {""}


def is_repeatable(request: Message) -> bool:
    """Whether a request carries a request id, and is more than a trial."""
    return bool(getattr(request, "request_id", "")) and not getattr(request, "validate_only", False)
