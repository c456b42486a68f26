"""What comes with the directory in parts that change by themselves, e.g. calendars and rates: each has a revision of its own, and only a part
that changed is sent again.

A new part is a `Part` in `PARTS` and a loader in the organization (`services/organization/access/parts.py`). A department asks for the parts
that it knows, so one of an older build is sent nothing that it does not understand, and an organization of an older build sends none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from crm.common.v1 import access_pb2, fiscal_pb2, rates_pb2, work_plan_pb2
from google.protobuf.message import DecodeError, Message

from chassis.access.calendars import WorkTimes
from chassis.access.reference import calendars_of, rates_of
from chassis.kernel.fiscal import Calendars
from chassis.kernel.rates import Rates

log = logging.getLogger("crm.access")
T = TypeVar("T")


@dataclass(frozen=True)
class Part(Generic[T]):
    """One part: its name, the message that it travels as, what is made of that once a revision, and what counts until the first one is here.

    `compile` is pure and short (it runs between two calls): what takes more than some milliseconds is worked out when first asked for.
    """

    name: str
    message: type[Message]
    compile: Callable[[Any], T]
    empty: T


@dataclass(frozen=True)
class Parts:
    """The parts that are held: of each the revision and what was compiled."""

    revisions: Mapping[str, int] = field(default_factory=dict)
    contents: Mapping[str, Any] = field(default_factory=dict)

    def get(self, part: Part[T]) -> T:
        """What a part holds; its `empty` until one came."""
        content: T = self.contents.get(part.name, part.empty)
        return content

    def wanted(self, known: Iterable[Part[Any]]) -> dict[str, int]:
        """What to ask for: the parts that this build understands, with the revisions held."""
        return {part.name: self.revisions.get(part.name, 0) for part in known}

    def taken(self, message: access_pb2.DirectoryPart, known: Iterable[Part[Any]]) -> Parts:
        """The parts with this one anew. One that cannot be read leaves what was held, and is not asked for again until it changes."""
        part = next((one for one in known if one.name == message.name), None)
        if part is None:
            return self
        held = replace(self, revisions={**self.revisions, part.name: message.revision})
        try:
            return replace(held, contents={**self.contents, part.name: _compiled(part, message)})
        except (ValueError, TypeError, LookupError, ArithmeticError, DecodeError) as error:
            log.error(
                "part of the directory not taken", extra={"part": part.name, "revision": message.revision, "reason": str(error)[:200]}
            )
            return held


def _compiled(part: Part[T], message: access_pb2.DirectoryPart) -> T:
    content = part.message()
    if not message.content.Unpack(content):
        raise ValueError(f"its content is {message.content.type_url}, not {part.message.DESCRIPTOR.full_name}")
    return part.compile(content)


RATES = Part("exchange_rates", rates_pb2.RateTable, rates_of, Rates())
FISCAL_CALENDARS = Part("fiscal_calendars", fiscal_pb2.FiscalTable, calendars_of, Calendars())
WORK_TIMES = Part("work_calendars", work_plan_pb2.WorkPlans, WorkTimes.of, WorkTimes())
PARTS: tuple[Part[Any], ...] = (RATES, FISCAL_CALENDARS, WORK_TIMES)
