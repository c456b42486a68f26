"""Which fields of a record are personal, whose they are, and how records and messages are sealed before they are stored and opened when read.

A field is personal by the trait `personal` of its contract. Its subject is the customer for whom the record was written; of a record without
one, the record.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from chassis.access.fields import records_in, resource_of
from chassis.kernel.masking import masked
from chassis.rpc.documents import personal_fields
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID, origin_of
from chassis.storage.encryption import Vault, as_text, from_text, open_value, seal

# What stands in place of a name when the person was erased, and the mark of every record that hangs on them.
ERASED_NAME, SUBJECT_ERASED = "已删除", "subject_erased"
_ENTRIES = "audit_entries"
log = logging.getLogger("crm.personal")
Document = dict[str, Any]
KeysOf = Callable[[Iterable[str]], Awaitable[Mapping[str, AESGCM]]]


def subject_of(document: Mapping[str, Any]) -> str:
    """Whose personal data a record holds."""
    return origin_of(document) or str(document["_id"])


def context_of(resource: str, field: str, record_id: str) -> str:
    """The place of a value, to which it is bound."""
    return f"{resource}.{field}:{record_id}"


def seal_values(values: Document, resource: str, fields: Iterable[str], record_id: str, key: AESGCM) -> None:
    """Seal the personal ones of a document's values, in place."""
    for name in fields:
        if isinstance(values.get(name), str):
            values[name] = seal(key, values[name], context_of(resource, name, record_id))


async def open_documents(vault: Vault, rows: Iterable[Document], resource: str, fields: tuple[str, ...]) -> None:
    """Open the personal values of stored documents, in place and with one read for all keys. What has no key any more is gone."""
    wanted = [(row, name) for row in rows for name in fields if isinstance(row.get(name), bytes)]
    keys = await vault.keys(one for row, _ in wanted for one in (subject_of(row), row.get(CUSTOMER_ID)) if one) if wanted else {}
    for row, name in wanted:
        plain = _open(keys, row, row[name], context_of(resource, name, row["_id"]))
        if plain is None:
            del row[name]
        else:
            row[name] = plain


def _open(keys: Mapping[str, AESGCM], row: Document, value: bytes, context: str) -> str | None:
    """A value of a row. A build that knows no aliases, before this one or after a way back, seals under the customer that counts."""
    counts = keys.get(row[CUSTOMER_ID]) if row.get(CUSTOMER_ALIAS) else None
    plain = open_value(counts, value, context) if counts else None
    return _opened(keys.get(subject_of(row)), value, context) if plain is None else plain


async def seal_message(message: Message, keys_of: KeysOf) -> None:
    """Seal the personal values of every record in a message, in place, for a store of whole messages."""
    wanted = [(record, name, getattr(record, name)) for record, name in _personal_in(message) if getattr(record, name)]
    keys = await keys_of(_subject(record) for record, _, _ in wanted) if wanted else {}
    for record, name, value in wanted:
        context = context_of(resource_of(record.DESCRIPTOR), name, record.id)
        setattr(record, name, as_text(seal(keys[_subject(record)], value, context)))


async def open_message(message: Message, vault: Vault | None) -> None:
    """Open what `seal_message` sealed; values without key are cleared."""
    wanted = [(record, name, value) for record, name in _personal_in(message) if (value := from_text(getattr(record, name))) is not None]
    keys = await vault.keys(_subject(record) for record, _, _ in wanted) if wanted and vault else {}
    for record, name, value in wanted:
        plain = _opened(keys.get(_subject(record)), value, context_of(resource_of(record.DESCRIPTOR), name, record.id))
        record.ClearField(name) if plain is None else setattr(record, name, plain)


def quiet(changed: Document, fields: tuple[str, ...]) -> Document:
    """Values before and after as the audit keeps them: personal ones masked."""
    return {name: [masked(value) if value else None for value in pair] if name in fields else pair for name, pair in changed.items()}


def seal_entry(entry: Document, naming: Iterable[str], key: AESGCM) -> None:
    """Seal what a line of the audit tells of its subject, in place: the reason, and what fields that name people held before and after."""
    if entry["reason"]:
        entry["reason"] = _told(key, entry["reason"], "reason", entry)
    for name in naming:
        if name in entry["changed"]:
            entry["changed"][name] = [_told(key, value, name, entry) for value in entry["changed"][name]]


def _told(key: AESGCM, value: Any, name: str, entry: Document) -> Any:
    """A text sealed, each of a list by itself; what is not there as it is."""
    if isinstance(value, list):
        return [_told(key, one, name, entry) for one in value]
    return as_text(seal(key, value, context_of(_ENTRIES, name, entry["_id"]))) if isinstance(value, str) else value


async def open_entries(vault: Vault, entries: Iterable[Document]) -> None:
    """Open what `seal_entry` sealed, in place; what has no key any more is None."""
    sealed = [entry for entry in entries if entry.get("subject")]
    keys = await vault.keys(entry["subject"] for entry in sealed) if sealed else {}
    for entry in sealed:

        def opened(name: str, value: Any, entry: Document = entry) -> Any:
            if isinstance(value, list):
                several = [opened(name, one) for one in value]
                return None if value and None in several else several
            found = from_text(value) if isinstance(value, str) else None
            return value if found is None else _opened(keys.get(entry["subject"]), found, context_of(_ENTRIES, name, entry["_id"]))

        entry["reason"] = opened("reason", entry["reason"])
        entry["changed"] = {name: [opened(name, value) for value in pair] for name, pair in entry["changed"].items()}


def _personal_in(message: Message) -> Iterator[tuple[Any, str]]:
    for _, record in records_in(message):
        for name in personal_fields(record.DESCRIPTOR):
            yield record, name


def _subject(record: Any) -> str:
    return str(getattr(record, "customer_id", "") or record.id)


def _opened(key: AESGCM | None, value: bytes, context: str) -> str | None:
    if key is None:
        return None
    plain = open_value(key, value, context)
    if plain is None:
        log.error("a sealed value cannot be opened; it was changed or moved", extra={"place": context})
    return plain
