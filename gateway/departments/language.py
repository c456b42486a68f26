"""In which language somebody is told why something was refused, and the sentence: by the person's locale, or by Accept-Language."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from chassis.kernel.codes import BROAD, CHINESE, GATEWAY, chinese
from chassis.kernel.errors import CrmError
from chassis.kernel.rules import sentence
from gateway.departments.spelling import graph_name

ENGLISH, SIMPLIFIED = "en", "zh-CN"
_KEPT_SECONDS, _FAILED_SECONDS, _WAIT_SECONDS, _MOST = 60.0, 5.0, 0.3, 4096


def spoken(header: str) -> str:
    """The language of Accept-Language that is spoken here, the most wanted first; "" where none is."""
    wanted: list[tuple[float, str]] = []
    for part in header[:200].split(","):
        tag, _, quality = part.strip().partition(";q=")
        found = {"zh": SIMPLIFIED, "en": ENGLISH}.get(tag.split("-")[0].lower())
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if found and weight > 0:
            wanted.append((-weight, found))
    return min(wanted, key=lambda one: one[0])[1] if wanted else ""


def told(code: str, message: str, params: Mapping[str, str], field: str, language: str) -> str:
    """Why it was refused, in a language. What only the department's own words tell stands behind the Chinese in brackets."""
    if language != SIMPLIFIED or not (code in CHINESE or code in GATEWAY):
        return message
    exact = sentence(params, chinese=True)
    where = f"{graph_name(field)}：" if field else ""
    if exact:
        return f"{where}{exact}"
    return f"{where}{chinese(code)}（{message}）" if code in BROAD else f"{where}{chinese(code)}"


class Locales:
    """The languages of people, as they set them; each is asked for once a minute at most, and only when somebody is refused."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def of(self, person_id: str, ask: Callable[[str], Awaitable[str]]) -> str:
        """The language of a person; "" where none is set, or the organization does not answer at once."""
        found, until = self._known.get(person_id, ("", 0.0))
        if time.monotonic() < until:
            return found
        kept = _KEPT_SECONDS
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                found = spoken(await ask(person_id))
        except (CrmError, TimeoutError):
            kept = _FAILED_SECONDS
        self._known[person_id] = (found, time.monotonic() + kept)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found
