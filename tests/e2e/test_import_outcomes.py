"""Every row of an import ends with an outcome: the same in a dry run, in any order of batches, and after what ended it early."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source, new_id
from cli.engines import EngineError
from cli.imports import sending
from cli.imports.run import run_import
from cli.imports.sheet import Sheet
from tests.support.installation import Installation
from tests.support.samples import LONG

CASES = 12 if LONG else 3


class Trial:
    """Files and a recipe of their own, under keys that nobody else has."""

    def __init__(self, crm: Installation, folder: Path) -> None:
        self.crm, self.folder, self.mark = crm, folder, new_id()
        self.recipe(
            'name = "{name}"\nkind = { value = "COMPANY" }\nannual_revenue = { text = "{revenue}", as = "money", currency = "EUR" }'
        )

    def recipe(self, fields: str, more: str = "", record: str = "") -> None:
        """Customers, by their number."""
        text = f'''name = "t"
            {more}
            [[files]]
            label = "t"
            columns = ["id", "name"]
            [[files.records]]
            resource = "customers"
            key = "{self.mark}:{{id}}"
            {record}
            [files.records.fields]
            {fields}
            [[files.checks]]
            label = "revenue"
            source = {{ column = "id", filled = true, sum = "revenue" }}
            stored = {{ resource = "customers", prefix = "{self.mark}:", sum = "annual_revenue" }}'''
        (self.folder / "t.toml").write_text("\n".join(line.strip() for line in text.split("\n")), encoding="utf-8")

    async def run(self, content: str | bytes, **options: Any) -> tuple[Sheet, list[tuple[int, str, str]]]:
        """The sheet, and the refused rows: (row, column, reason)."""
        (self.folder / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        errors, report = self.folder / "errors.csv", self.folder / "report.json"
        errors.unlink(missing_ok=True)
        paths, given = [self.folder / "t.csv"], {"dry_run": False, **options}
        try:
            await run_import(self.crm.plan, str(self.folder / "t.toml"), paths, errors=errors, report=report, **given)
        except SystemExit as ended:
            assert ended.code == 1
        told = json.loads(report.read_text())[0]
        sheet = Sheet(told["file"], told["rows"], told["row_outcomes"], told["unreached_rows"], told["ended"], told["outcomes"])
        sheet.columns, sheet.notes, sheet.layout = told["columns"], told["notes"], told["layout"]
        assert sum(sheet.row_outcomes.values()) == sheet.rows
        refused: list[tuple[int, str, str]] = []
        if errors.exists():
            with errors.open(encoding="utf-8-sig") as source:
                refused = [(int(row["row"]), row["column"], row["reason"]) for row in csv.DictReader(source)]
        assert len({row for row, *_ in refused}) == sheet.refused_rows
        return sheet, sorted(refused)

    async def stored(self) -> dict[str, Any]:
        """What is stored, by number."""
        found = self.crm.suite["customer"].database["customers"].find({"source_key": {"$regex": f"^{self.mark}:"}})
        return {row["source_key"].split(":", 1)[1]: row async for row in found}


@pytest.fixture
def trial(crm: Installation, tmp_path: Path) -> Trial:
    return Trial(crm, tmp_path)


def outcomes(**of: int) -> dict[str, int]:
    return {"UNCHANGED": 0, "UPDATED": 0, "CREATED": 0, "REFUSED": 0} | of


async def test_amounts_are_stored_as_they_were_meant_and_the_sheet_tells_how_they_were_read(trial: Trial) -> None:
    content = "id;name;revenue\n1;甲;1.234,56\n2;乙;12,5\n3;丙;１.０００,００\n4;丁;1.234\n"
    dry, _ = await trial.run(content, dry_run=True)
    assert dry.columns["revenue"] == {
        "read": "1.234,56, for row 2 has «1.234,56»",
        "samples": ["1.234,56 → 1234.56", "12,5 → 12.5", "１.０００,００ → 1000.00"],
    }
    assert await trial.stored() == {}
    sheet, refused = await trial.run(content)
    assert (sheet.row_outcomes, refused) == (outcomes(CREATED=4), [])
    amounts = {key: row["annual_revenue"]["amount_micros"] for key, row in (await trial.stored()).items()}
    assert amounts == {"1": 1_234_560_000, "2": 12_500_000, "3": 1_000_000_000, "4": 1_234_000_000}
    for doubtful in ("id;name;revenue\n5;甲;1,5\n6;乙;1.5\n", "id;name;revenue\n5;甲;1.234\n"):
        with pytest.raises(EngineError, match="column «revenue»"):
            await trial.run(doubtful)
    assert len(await trial.stored()) == 4


async def test_every_row_of_a_broken_file_has_an_outcome(trial: Trial) -> None:
    good = [f"{index},n{index},1" for index in range(700)]
    good[400] = "400,ragged"
    good[420] = f"420,{'x' * 140_000},1"
    good[440] = '440,"open,1'
    good[460] = "460,n460,unreadable"
    good[480] = "480,\x00,1"
    content = ("id,name,revenue\n" + "\n".join(good) + "\n").encode().replace(b"n500", b"n\xff")
    dry, would = await trial.run(content, dry_run=True)
    sheet, refused = await trial.run(content)
    assert (dry.row_outcomes, would) == (sheet.row_outcomes, refused)
    rows = {row for row, *_ in refused}
    assert {402, 422, 442, 462, 502} <= rows <= {402, 422, 442, 462, 482, 502}
    assert (sheet.rows, sheet.row_outcomes["CREATED"], len(await trial.stored())) == (700, 700 - len(rows), 700 - len(rows))
    again, _ = await trial.run(content)
    assert again.row_outcomes == outcomes(UNCHANGED=700 - len(rows), REFUSED=len(rows))


@pytest.mark.parametrize(("rule", "kept"), [("refuse", "first"), ("first", "first"), ("last", "last")])
@pytest.mark.parametrize("apart", [1, 350])
async def test_rows_of_one_key_have_the_same_outcome_however_far_apart(trial: Trial, rule: str, kept: str, apart: int) -> None:
    trial.recipe('name = "{name}"\nkind = { value = "COMPANY" }', f'duplicates = "{rule}"')
    middle = "".join(f"m{index},middle,\n" for index in range(apart - 1))
    content = f"id,name,revenue\nd1,first,\n{middle} d1 ,last,\nD1,capital,\n"
    sheet, refused = await trial.run(content)
    left = {"REFUSED": 1} if rule == "refuse" else {"UNCHANGED": 1}
    assert sheet.row_outcomes == outcomes(CREATED=apart + 1, **left)
    assert [(row, "row 2;" in reason) for row, _, reason in refused] == ([(apart + 2, True)] if rule == "refuse" else [])
    assert any("differ only in blanks or capitals" in note for note in sheet.notes)
    assert (await trial.stored())["d1"]["name"] == kept
    again, _ = await trial.run(content)
    assert again.row_outcomes == outcomes(UNCHANGED=apart + 1 + left.get("UNCHANGED", 0), REFUSED=left.get("REFUSED", 0))


async def test_a_row_may_refer_to_one_further_down_whatever_lies_between(trial: Trial) -> None:
    key = f"{trial.mark}:{{parent}}"
    trial.recipe(
        f'name = "{{name}}"\nkind = {{ value = "COMPANY" }}\nparent_id = {{ ref = "customers", key = "{key}", unless_blank = "parent" }}'
    )
    middle = "".join(f"m{index},m,,\n" for index in range(350))
    content = f"id,name,revenue,parent\nchild,c,,parent\ngrandchild,g,,child\norphan,o,,nobody\n{middle}parent,p,,\n"
    dry, would = await trial.run(content, dry_run=True)
    sheet, refused = await trial.run(content)
    assert (dry.row_outcomes, [one[:2] for one in would]) == (sheet.row_outcomes, [one[:2] for one in refused])
    assert [one[:2] for one in refused] == [(4, "parent_id")]
    assert (await trial.stored())["child"]["parent_id"] == from_source("customers", f"{trial.mark}:parent")


async def test_a_dry_run_says_of_every_row_what_the_run_does(trial: Trial) -> None:
    """Random files: keys twice, references forwards and backwards, numbers that must be unique, rows of all sorts that cannot be taken."""
    chance = random.Random(trial.mark)
    for _ in range(CASES):
        trial.mark = new_id()
        trial.recipe(
            'name = "{name}"\nkind = { value = "COMPANY" }\ntax_number = "{tax}"\n'
            'annual_revenue = { text = "{revenue}", as = "money", currency = "EUR" }\n'
            f'parent_id = {{ ref = "customers", key = "{trial.mark}:{{parent}}", unless_blank = "parent" }}'
        )
        lines = ["id,name,tax,revenue,parent"]
        for index in range(chance.choice((5, 40, 650))):
            name = chance.choice(("甲", "乙 有限公司", "", "x" * 300))
            tax = chance.choice(("", "", "", f"{trial.mark} {chance.randrange(400)}"))
            parent = chance.choice(("", "", "", str(chance.randrange(700)), "nobody"))
            revenue = chance.choice(("", "1.5", "(2.25)", "2.25", "much", "99999999999999"))
            lines.append(
                f"{chance.choice((index, chance.randrange(700)))},{name},{tax},{revenue},{parent}" + ",more" * (chance.random() < 0.02)
            )
        content = "\n".join(lines) + "\n"
        dry, would = await trial.run(content, dry_run=True)
        sheet, refused = await trial.run(content)
        assert [one[:2] for one in would] == [one[:2] for one in refused]
        assert (dry.row_outcomes, dry.outcomes) == (sheet.row_outcomes, sheet.outcomes)


async def test_who_comes_first_has_the_number_in_a_dry_run_too_however_its_references_lie(trial: Trial) -> None:
    trial.recipe(
        'name = "{name}"\nkind = { value = "COMPANY" }\ntax_number = "{tax}"\n'
        f'parent_id = {{ ref = "customers", key = "{trial.mark}:{{parent}}", unless_blank = "parent" }}'
    )
    one, two = f"{trial.mark} 1", f"{trial.mark} 2"
    rows = [f"m{index},m,,,\n" for index in range(1200)]
    rows[0:4] = ["child,c,,,between\n", f"early,e,{one},,between\n", "between,b,,,above\n", f"after,a,{one},,above\n"]
    rows[520], rows[1050] = f"backwards,b,{two},,m10\n", f"late,l,{two},,\n"
    content = "id,name,tax,revenue,parent\n" + "".join(rows) + "above,p,,,\n"
    dry, would = await trial.run(content, dry_run=True)
    sheet, refused = await trial.run(content)
    assert [one[:2] for one in would] == [one[:2] for one in refused] == [(5, "tax_number"), (1052, "tax_number")]
    assert dry.outcomes == sheet.outcomes


class Stopping:
    """Lets so many batches through, and then does what ends an import."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batches: int, stop: BaseException) -> None:
        self.left, self.stop, self.whole = batches, stop, sending.Import._whole
        monkeypatch.setattr(sending.Import, "_whole", lambda *given: self.take(*given))

    async def take(self, one: sending.Import, resource: str, batch: list[Any]) -> Any:
        if not self.left:
            raise self.stop
        self.left -= 1
        return await self.whole(one, resource, batch)


@pytest.mark.parametrize(
    "stop", [asyncio.CancelledError(), CrmError("the customer department cannot be reached; try again", retryable=True)]
)
async def test_what_ends_an_import_early_is_told_with_what_happened_and_a_second_run_ends_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    content = "id,name,revenue\n" + "".join(f"{index},n,1\n" for index in range(1100)) + "1101,ragged\n"
    with monkeypatch.context() as patch:
        Stopping(patch, 1, stop)
        with pytest.raises(type(stop)):
            await trial.run(content)
    told = json.loads((trial.folder / "report.json").read_text())[0]
    assert (told["rows"], told["unreached_rows"], bool(told["ended"])) == (500, 601, True)
    assert told["row_outcomes"] == outcomes(CREATED=500)
    assert (trial.folder / "errors.csv").exists()
    sheet, refused = await trial.run(content)
    assert (sheet.row_outcomes, [row for row, *_ in refused]) == (outcomes(CREATED=1100, REFUSED=1), [1102])


async def test_lines_of_one_order_stand_or_fall_together_wherever_they_stand(crm: Installation, tmp_path: Path) -> None:
    mark = new_id()
    (tmp_path / "t.toml").write_text(f"""name = "t"
[[files]]
label = "t"
columns = ["no", "qty"]
[[files.records]]
resource = "orders"
key = "{mark}:{{no}}"
group = "no"
fields = {{ number = "{mark}-{{no}}" }}
lines = {{ product_code = "x", quantity = {{ text = "{{qty}}", as = "quantity" }}, unit_price = {{ text = "1.50", as = "money", currency = "EUR" }} }}
""")
    lines = [f"{index % 600},1" for index in range(1200)]
    lines[7] = "7,many"
    (tmp_path / "t.csv").write_text("no,qty\n" + "\n".join(lines) + "\n")
    told = Counter[str]()
    for dry_run in (True, False):
        with pytest.raises(SystemExit):
            await run_import(
                crm.plan,
                str(tmp_path / "t.toml"),
                [tmp_path / "t.csv"],
                dry_run=dry_run,
                errors=tmp_path / "e.csv",
                report=tmp_path / "r.json",
            )
        sheet = json.loads((tmp_path / "r.json").read_text())[0]
        told[json.dumps(sheet["row_outcomes"])] += 1
        assert sheet["row_outcomes"] == outcomes(CREATED=1198, REFUSED=2)
    with (tmp_path / "e.csv").open(encoding="utf-8-sig") as source:
        assert sorted(int(row["row"]) for row in csv.DictReader(source)) == [9, 609]
    assert len(told) == 1
    stored = await crm.suite["sales"].database["orders"].find({"source_key": {"$regex": f"^{mark}:"}}).to_list()
    assert Counter(len(order["lines"]) for order in stored) == {2: 599}


async def test_big5_and_cyrillic_are_read_or_named_and_never_stored_as_something_else(trial: Trial) -> None:
    trial.recipe('name = "{name}"\nkind = { value = "COMPANY" }\ndescription = "{note}"')
    for encoding, name in (
        ("big5", "臺灣測試股份有限公司"),
        ("cp1251", "ООО Ромашка"),
        ("gb18030", "北京测试公司"),
        ("shift_jis", "株式会社テスト"),
    ):
        content = f"id,name,note\n{encoding},{name},\n".encode(encoding)
        sheet, _ = await trial.run(content)
        assert sheet.layout.startswith(encoding)
        assert (await trial.stored())[encoding]["name"] == name
        sheet, _ = await trial.run(content, encoding=encoding)
        assert sheet.row_outcomes == outcomes(UNCHANGED=1)
    with pytest.raises(EngineError, match="--encoding"):
        await trial.run("id,name,note\n1,Łódź Gdańsk,\n".encode("cp1250"))


async def test_times_are_of_the_zone_that_is_named(trial: Trial) -> None:
    fields = 'name = "{name}"\nkind = { value = "COMPANY" }\ncreate_time = { text = "{revenue}", as = "time" }'
    content = "id,name,revenue\n1,a,2026-03-01 09:00\n2,b,2026年3月1日 9:00\n3,c,2026-03-01T09:00:00+08:00\n"
    for more, options, hour in (("", {}, 1), ("", {"zone": "UTC"}, 9), ('zone = "Europe/Berlin"', {}, 8)):
        trial.mark = new_id()
        trial.recipe(fields, more)
        text = (trial.folder / "t.toml").read_text(encoding="utf-8")
        (trial.folder / "t.toml").write_text(text[: text.index("[[files.checks]]")], encoding="utf-8")
        sheet, _ = await trial.run(content, **options)
        assert "times without a zone are of" in sheet.columns["revenue"]["read"]
        assert {key: row["create_time"].hour for key, row in (await trial.stored()).items()} == {"1": hour, "2": hour, "3": 1}
    with pytest.raises(EngineError, match="leave out --zone"):
        await trial.run(content, zone="UTC")
