"""The terms by which records are found, as they are stored and asked for: each says of which field it is; of personal fields they are blind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel

from chassis.kernel import full_text
from chassis.kernel.matching import Text
from chassis.kernel.terms import LETTERS, Need, Way, of_text
from chassis.rpc.call import Call
from chassis.rpc.contract import Searched
from chassis.storage.personal import SUBJECT_ERASED

Document = dict[str, Any]
TERMS = "search_terms"
INDEX = IndexModel([(TERMS, ASCENDING)], name="by_search_terms")


def terms_of(call: Call, fields: Iterable[Searched], document: Mapping[str, Any]) -> list[str]:
    """The terms of a record; none for whoever was erased."""
    if document.get("erase_time") or document.get(SUBJECT_ERASED):
        return []
    found = []
    for field in fields:
        if isinstance(value := document.get(field.name), str):
            country = str(document.get("country_code") or "")
            found += [stored(call, field, term) for term in of_text(field.kind, value, country=country, whole=field.personal)]
    return found


def texts_of(fields: Iterable[Searched], document: Mapping[str, Any]) -> list[Text]:
    """What of a document can be shown as found; not what is still sealed."""
    country = str(document.get("country_code") or "")
    values = [(field, document.get(field.name)) for field in fields]
    return [Text(field.name, field.kind, value, country) for field, value in values if isinstance(value, str)]


def stored(call: Call, field: Searched, term: str) -> str:
    """A term as it is kept."""
    return f"{field.tag}{term[0]}{call.vault.blind(f'term:{term}') if field.personal else term[1:]}"


def sought(call: Call, fields: Sequence[Searched], ways: Sequence[Way]) -> Document | None:
    """The filter of what has all needs of one of the ways in these fields; None where no field can have them."""
    found = []
    for way in ways:
        needs = [clauses for need in way if (clauses := _sought(call, fields, need))]
        if len(needs) == len(way):
            found += _all([_any(clauses) for clauses in needs])
    return _any(found) if found else None


def _sought(call: Call, fields: Sequence[Searched], need: Need) -> list[Document]:
    """The filters any of which finds something of a need."""
    values: list[Any] = []
    alone: list[Document] = []
    for field in fields:
        for term in need:
            if term[0] not in LETTERS[field.kind]:
                continue
            if field.personal:
                values.append(stored(call, field, term))
            elif term[0] == "b":
                alone += _all([{TERMS: _word(stored(call, field, f"b{word}"))} for word in full_text.needed(term[1:])])
            else:
                alone.append({TERMS: begins(stored(call, field, term))})
    return [*([{TERMS: {"$in": values}}] if values else []), *alone]


def begins(term: str) -> Document:
    """What finds terms by their beginning."""
    return {"$regex": f"^{re.escape(term)}"}


def _word(term: str) -> Any:
    """A word of a long text by its beginning, characters and numbers whole."""
    return begins(term) if term[-1].isascii() and term[-1].isalpha() else term


def _all(filters: list[Document]) -> list[Document]:
    return filters if len(filters) < 2 else [{"$and": filters}]


def _any(filters: list[Document]) -> Document:
    return filters[0] if len(filters) == 1 else {"$or": filters}
