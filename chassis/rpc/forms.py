"""The one door of texts: every text of a request is brought into its form before anything judges it, and what its field means is asked.

What a field means stands in its contract (`form`); fields that say nothing are one line, or paragraphs where they have room for them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from buf.validate import validate_pb2
from crm.common.v1 import annotations_pb2 as forms
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.kernel import mail_addresses, standards
from chassis.kernel.errors import Invalid
from chassis.kernel.rules import sentence
from chassis.kernel.text import line, paragraphs, visible
from chassis.rpc.documents import traits

Text = Callable[[str], str]
ROOM_FOR_PARAGRAPHS = 400
_PHONE = re.compile(r"[\d\s+()\[\].,;:/|、，；\-‐‑–—*]*")
_EXTENSION = re.compile(r"转|轉|分机|分機|内线|內線|或|extension|ext|доб|poste|\bor\b|tel|x|#|~", re.IGNORECASE)
_TAX = re.compile(r"(?=.*\d)[0-9A-Z]([0-9A-Z./-]*[0-9A-Z])?")
_DIGITS = re.compile(r"\d+")


def tidy(message: Message) -> None:
    """Bring every text of a message into the form of its field, in place; what is no text stays as it is."""
    for _, part, field, form in _texts(message):
        write = _WRITTEN[form]
        if field.is_repeated:
            found = list(getattr(part, field.name))
            if (new := [write(text) for text in found]) != found:
                getattr(part, field.name)[:] = new
        else:
            text = getattr(part, field.name)
            if (written := write(text)) != text:
                setattr(part, field.name, written)


def broken(message: Message) -> list[tuple[str, str]]:
    """(path, rule) of every text that is not what its field means; rows that are judged one by one are left to that."""
    found = []
    for path, part, field, form in _texts(message, rows=False):
        judged = _RULES.get(form)
        if judged is None:
            continue
        holds, rule = judged
        texts = getattr(part, field.name) if field.is_repeated else (getattr(part, field.name),)
        if not all(holds(text) for text in texts if text):
            found.append((f"{path}{field.name}", rule))
    return found


def check(message: Message) -> None:
    """Refuse the first text that is not what its field means. Raises Invalid; says what is asked for, and never the text, which may be
    personal."""
    for path, rule in broken(message)[:1]:
        raise Invalid(f"{path}: {sentence({'rule': rule})}", field=path, params={"rule": rule})


def form_of(field: FieldDescriptor) -> int:
    """The form of a text: what its contract says, or what follows from its rules."""
    said = traits(field)
    if said.form:
        return int(said.form)
    rules = _rules(field)
    text = rules.repeated.items.string if field.is_repeated else rules.string
    if said.secret or said.date or said.refers_to or text.pattern or text.HasField("const"):
        return forms.FORM_VERBATIM
    return forms.FORM_PARAGRAPHS if text.max_len >= ROOM_FOR_PARAGRAPHS else forms.FORM_UNSPECIFIED


def normal(field: FieldDescriptor, text: str) -> str:
    """A text in the form of a record's field: what a condition is compared with."""
    write = _WRITTEN.get(form_of(field))
    return write(text) if write else text


def _texts(message: Message, path: str = "", *, rows: bool = True) -> Iterator[tuple[str, Any, FieldDescriptor, int]]:
    """Every text that is set, below parts and rows too: (path to its message, message, field, form)."""
    plan, below = _plan(message.DESCRIPTOR)
    for field, form in plan:
        if getattr(message, field.name):
            yield path, message, field, form
    for field, alone in below:
        if alone and not rows:
            continue
        if field.is_repeated:
            for index, part in enumerate(getattr(message, field.name)):
                yield from _texts(part, f"{path}{field.name}[{index}].", rows=rows)
        elif message.HasField(field.name):
            yield from _texts(getattr(message, field.name), f"{path}{field.name}.", rows=rows)


@cache
def _plan(descriptor: Descriptor) -> tuple[list[tuple[FieldDescriptor, int]], list[tuple[FieldDescriptor, bool]]]:
    """The texts of a message that have a form, and the fields below which there may be more, each with whether its rows are judged alone."""
    plain = [field for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING]
    texts = [(field, form) for field in plain if (form := form_of(field)) in _WRITTEN]
    inner = (field for field in descriptor.fields if field.message_type and not field.message_type.GetOptions().map_entry)
    below = [(field, _rules(field).ignore == validate_pb2.IGNORE_ALWAYS) for field in inner if _has_texts(field.message_type, frozenset())]
    return texts, below


def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def _has_texts(descriptor: Descriptor, above: frozenset[str]) -> bool:
    if descriptor.full_name.startswith("google.protobuf.") or descriptor.full_name in above:
        return False
    inside = above | {descriptor.full_name}
    return any(
        field.type == FieldDescriptor.TYPE_STRING or (field.message_type and _has_texts(field.message_type, inside))
        for field in descriptor.fields
    )


def _is_phone(text: str) -> bool:
    """Whether this can be dialled: numbers of 3 to 15 digits, several and extensions allowed; words only for extensions."""
    numbers = [_DIGITS.findall(part) for part in re.split(r"[,;|、，；]| / ", text)]
    long_enough = all(3 <= sum(map(len, digits)) <= 24 for digits in numbers if digits) and any(numbers)
    return long_enough and _PHONE.fullmatch(_EXTENSION.sub("", text)) is not None


def _is_website(text: str) -> bool:
    """Whether a browser would open this as a page: http or https, a host with a dot, no name of a user."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and "." in host.strip(".") and "@" not in parts.netloc and not re.search(r"[\s<>\"\\\\]", text)


def _compact(text: str) -> str:
    return re.sub(r"\s", "", line(unicodedata.normalize("NFKC", text))).upper()


_WRITTEN: dict[int, Text] = {
    forms.FORM_UNSPECIFIED: line,
    forms.FORM_NAME: line,
    forms.FORM_PARAGRAPHS: paragraphs,
    forms.FORM_PHONE: lambda text: line(unicodedata.normalize("NFKC", text)),
    forms.FORM_EMAIL: mail_addresses.written,
    forms.FORM_COUNTRY: line,
    forms.FORM_CURRENCY: line,
    forms.FORM_WEBSITE: line,
    forms.FORM_TIME_ZONE: line,
    forms.FORM_LANGUAGE: line,
    forms.FORM_TAX_NUMBER: _compact,
}
_RULES: dict[int, tuple[Callable[[str], bool], str]] = {
    forms.FORM_NAME: (visible, "form.name"),
    forms.FORM_PHONE: (_is_phone, "form.phone"),
    forms.FORM_EMAIL: (mail_addresses.is_address, "form.email"),
    forms.FORM_COUNTRY: (standards.COUNTRIES.__contains__, "form.country"),
    forms.FORM_CURRENCY: (standards.CURRENCIES.__contains__, "form.currency"),
    forms.FORM_WEBSITE: (_is_website, "form.website"),
    forms.FORM_TIME_ZONE: (lambda text: text in standards.zones(), "form.time_zone"),
    forms.FORM_LANGUAGE: (standards.is_language, "form.language"),
    forms.FORM_TAX_NUMBER: (lambda text: _TAX.fullmatch(text) is not None and len(text) >= 4, "form.tax_number"),
}
