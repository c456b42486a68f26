"""The reading pass over a whole file before anything is written: how each column is written, which keys come twice, how long groups are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cli.engines import EngineError
from cli.imports import days, numbers
from cli.imports.fields import DAYS, NUMBERS, Forms, Row, column_key, columns_of, key_of, text_of
from cli.imports.reader import Broken, Layout, rows
from cli.imports.recipe import File, Record

SAMPLES = 3
# Lines that wait for the rest of their group; a file that is sorted has a few.
MOST_WAITING = 200_000
_SEEN = 100_000
Place = tuple[int, str]


@dataclass
class Column:
    """A column whose form must be found: what shows that the first reading counts, what the second, and what could be either."""

    name: str
    spec: dict[str, Any]
    shown: list[Place | None] = field(default_factory=lambda: [None, None])
    unsure: Place | None = None
    given: int | None = None

    def __post_init__(self) -> None:
        self.read, self._seen = text_of(self.spec), set[str]()
        self.is_day = self.spec["as"] in DAYS
        self.ways = days.ORDERS if self.is_day else numbers.FORMATS
        self._readings: Any = days.readings if self.is_day else numbers.readings

    def take(self, number: int, row: Row) -> None:
        """Look at a row."""
        text = self.read(row)
        if not text or text in self._seen:
            return
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(text)
        first, second = self._readings(text)
        if first == second:
            return
        if first is None or second is None:
            index = int(first is None)
            self.shown[index] = self.shown[index] or (number, text)
        else:
            self.unsure = self.unsure or (number, text)

    @property
    def decided(self) -> int | None:
        """What the column itself tells."""
        return self.given if self.given is not None else next((index for index in (0, 1) if self.shown[index]), None)


class Keys:
    """The keys of one resource in a file: where each came first, and which came again."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.again: dict[int, list[int]] = {}
        self.alike: list[tuple[str, int, int]] = []
        self._folded: dict[int, int] = {}

    def take(self, key: str, number: int, record: Record) -> None:
        """A row has a key."""
        mark = hash(key)
        first = self.first.get(mark)
        if first is None:
            self.first[mark] = number
            self._fold(key, number)
        elif not record.once and not record.group:
            self.again.setdefault(mark, [first, number])[1] = number

    def _fold(self, key: str, number: int) -> None:
        """Note keys that differ only in blanks and in small and capital letters."""
        folded = "".join(key.split()).casefold()
        mark = hash(folded)
        other = self._folded.get(mark) or (self.first.get(mark) if folded != key else None)
        if other:
            self.alike.append((key, other, number))
        if folded != key:
            self._folded.setdefault(mark, number)


@dataclass
class Survey:
    """What the pass found."""

    forms: Forms
    rows: int = 0
    last: int = 1
    samples: list[Row] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Keys] = field(default_factory=dict)
    groups: dict[int, dict[int, list[int]]] = field(default_factory=dict)

    @property
    def warnings(self) -> Iterator[str]:
        """What is strange and yet taken."""
        for resource, keys in self.keys.items():
            if keys.alike:
                key, one, other = keys.alike[0]
                more = f", and {len(keys.alike) - 1:,} more" if len(keys.alike) > 1 else ""
                yield f"{resource}: the keys of rows {one} and {other} («{key}») differ only in blanks or capitals{more}; each makes a record"


def survey(part: File, layout: Layout, zone: str) -> Survey:
    """Read the file once. Raises EngineError where a column is written in two ways, or in one that nothing tells."""
    columns = _columns(part)
    found = Survey(Forms(zone=zone), keys={record.resource: Keys() for record in part.records})
    claims = [
        (index, record, key_of(record.key), found.keys[record.resource], found.groups.setdefault(index, {}) if record.group else None)
        for index, record in enumerate(part.records)
        if "{row_key}" not in record.key
    ]
    for number, row in rows(layout):
        found.rows, found.last = found.rows + 1, number
        if isinstance(row, Broken):
            continue
        if len(found.samples) < SAMPLES:
            found.samples.append(row)
        for column in columns:
            column.take(number, row)
        for _, record, key, keys, groups in claims:
            if record.unless_blank and not row.get(record.unless_blank):
                continue
            text = key(row)
            if groups is not None:
                place = groups.setdefault(hash(text), [number, number, 0])
                place[1:] = number, place[2] + 1
            else:
                keys.take(text, number, record)
    for index, record, *_ in claims:
        if record.group:
            _must_fit(record, found.groups[index].values(), layout)
    for column in columns:
        column_form, why = _settled(column, columns, layout)
        found.forms.chosen = {**found.forms.chosen, column_key(column.spec): column_form}
        if why:
            found.columns[column.name] = why
    _tell_zones(part, zone, found)
    return found


def _columns(part: File) -> list[Column]:
    """Every column that holds numbers or days, by what its fields and the recipe say of it."""
    wanted = [spec for _, spec in part.specs if spec.get("as") in (*NUMBERS, *DAYS)]
    summed = [check["source"][name] for check in part.checks for name in ("sum", "times") if name in check["source"]]
    wanted += [{"text": f"{{{name}}}", "as": "number"} for name in summed]
    found: dict[str, Column] = {}
    for spec in wanted:
        column = found.setdefault(column_key(spec), Column((columns_of(spec["text"]) or [spec["text"]])[0], spec))
        said = spec.get("dates" if column.is_day else "format") or (part.dates if column.is_day else part.format)
        if said and column.given is None:
            column.given = days.ORDERS.index(said) if column.is_day else numbers.mark_of(said)
    return list(found.values())


def _settled(column: Column, columns: list[Column], layout: Layout) -> tuple[int, str]:
    """(the reading that counts, by which rule)."""
    if column.given is not None:
        return column.given, f"{column.ways[column.given]}, as the recipe says"
    one, other = column.shown
    if one and other:
        raise EngineError(
            f"{layout.path}: column «{column.name}» is written in two ways: row {one[0]} «{one[1]}» is {column.ways[0]}, row {other[0]} "
            f"«{other[1]}» is {column.ways[1]}; mend one of them. Nothing was written"
        )
    if column.decided is not None:
        place = column.shown[column.decided] or (0, "")
        return column.decided, f"{column.ways[column.decided]}, for row {place[0]} has «{place[1]}»"
    if not column.unsure:
        return 0, ""
    alike = [each for each in columns if each.is_day == column.is_day and each.decided is not None]
    told = {each.decided for each in alike}
    if len(told) == 1:
        decided = alike[0].decided or 0
        return (
            decided,
            f"{column.ways[decided]}, for column «{alike[0].name}» is written so (row {column.unsure[0]} «{column.unsure[1]}» does not tell)",
        )
    name, ways = ("dates", days.ORDERS) if column.is_day else ("format", numbers.FORMATS)
    raise EngineError(
        f"{layout.path}: column «{column.name}» can be read in two ways, row {column.unsure[0]} has «{column.unsure[1]}» and no row tells; "
        f'say it in the recipe: {name} = "{ways[1]}" or {name} = "{ways[0]}". Nothing was written'
    )


def _tell_zones(part: File, zone: str, found: Survey) -> None:
    for _, spec in part.specs:
        if spec.get("as") == "time" and "text" in spec:
            name = (columns_of(spec["text"]) or [spec["text"]])[0]
            said = f"times without a zone are of {spec.get('zone', zone)}"
            before = found.columns.get(name, "")
            found.columns[name] = before if said in before else f"{before}; {said}".removeprefix("; ")


def _must_fit(record: Record, places: Any, layout: Layout) -> None:
    """Refuse a file in which too many groups are open at the same time."""
    steps = sorted([(first, count) for first, _, count in places] + [(last, -count) for _, last, count in places])
    waiting = 0
    for _, step in steps:
        waiting += step
        if waiting > MOST_WAITING:
            raise EngineError(
                f"{layout.path}: the rows of one {record.group} lie too far apart; sort the file by {record.group}. Nothing was written"
            )
