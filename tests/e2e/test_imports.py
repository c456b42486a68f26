"""Real records come in: the public data sets, with their known figures. Skipped, with the reason, where the data is absent."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from cli.engines import EngineError
from cli.imports.run import run_import
from cli.imports.sheet import Sheet
from tests.support.installation import Installation
from tests.support.samples import LONG

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MAVEN = [DATA / "maven-crm-opportunities" / f"{name}.csv" for name in ("accounts", "products", "sales_teams", "sales_pipeline")]
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the public data sets (../shared/data) are not on this machine")


async def bring_in(crm: Installation, recipe: str, paths: list[Path], folder: Path, *, dry_run: bool = False) -> list[Sheet]:
    """Run an import into the installation."""
    return await run_import(crm.plan, recipe, paths, dry_run=dry_run, errors=folder / "errors.csv", report=folder / "report.json")


@needs_data
async def test_maven_opportunities_come_in_whole_and_a_second_run_changes_nothing(crm: Installation, tmp_path: Path) -> None:
    first = await bring_in(crm, "maven-crm-opportunities", MAVEN, tmp_path)
    pipeline = first[-1]
    assert pipeline.rows == 8800
    assert {
        name: (number, str(total.normalize())) for name, (number, total) in pipeline.stored.items() if name != "without an account"
    } == {
        "won": (4238, "10005534"),
        "lost": (2473, "0"),
        "engaging": (1589, "0"),
        "prospecting": (500, "0"),
    }
    assert pipeline.stored["without an account"][0] == 1425
    assert pipeline.counts["rows whose product is written GTXPro, joined to GTX Pro"] == 1480
    if not LONG:  # that a second run changes nothing is tried for every noun in test_every_noun
        return
    second = await bring_in(crm, "maven-crm-opportunities", MAVEN, tmp_path)
    assert {resource: dict(outcome) for sheet in second for resource, outcome in sheet.outcomes.items()} == {
        "departments": {"UNCHANGED": 3},
        "people": {"UNCHANGED": 41},
        "customers": {"UNCHANGED": 85},
        "products": {"UNCHANGED": 7},
        "opportunities": {"UNCHANGED": 8800},
    }


@needs_data
async def test_complaints_become_tickets_with_channel_issue_timely_and_disputed(crm: Installation, tmp_path: Path) -> None:
    sheet = (await bring_in(crm, "cfpb-complaints", [DATA / "cfpb-complaints" / "consumer_complaints.csv"], tmp_path))[0]
    assert sheet.outcomes["tickets"] == {"CREATED": 3186}
    assert {name: number for name, (number, _) in sheet.stored.items()} == {"answered in time": 3093, "disputed": 595, "by telephone": 200}


@needs_data
@pytest.mark.long
async def test_invoice_lines_become_orders_and_returns_to_the_penny(crm: Installation, tmp_path: Path) -> None:
    """The first 30 000 lines; the whole file is measured by `make bench`."""
    part = tmp_path / "part.csv"
    with gzip.open(DATA / "uci-online-retail" / "online_retail.csv.gz", "rt", encoding="utf-8") as source, part.open("w") as sink:
        sink.writelines(line for _, line in zip(range(30_001), source, strict=False))
    sheet = (await bring_in(crm, "uci-online-retail", [part], tmp_path))[0]
    assert sheet.rows == 30_000
    assert sheet.agrees
    assert sheet.stored["net value, known customers"][1] == sheet.source["net value, known customers"][1] > 0
    await crm.settled()
    kept = await crm.suite["sales"].database["order_totals"].aggregate([{"$group": {"_id": None, "net": {"$sum": "$net_micros"}}}])
    net = (await kept.to_list())[0]["net"]
    known = [order async for order in crm.suite["sales"].database["orders"].find({"customer_id": {"$exists": True}})]
    sign = {"SALE": 1, "RETURN": -1, "ADJUSTMENT": 1}
    assert net == sum(sign[order["kind"]] * order["total"]["amount_micros"] for order in known if order["state"] != "CANCELLED")


async def test_bad_rows_are_refused_one_by_one_and_told_with_row_column_and_reason(crm: Installation, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("product,series,sales_price\nGood One,X,12.50\nBad Price,X,twelve\n,X,1\nNegative,X,-3\n")
    with pytest.raises(SystemExit) as ended:
        await bring_in(crm, "maven-crm-opportunities", [path], tmp_path)
    assert ended.value.code == 1
    with (tmp_path / "errors.csv").open(encoding="utf-8-sig") as source:
        told = [(row["row"], row["column"], row["reason"].split(":")[0]) for row in csv.DictReader(source)]
    assert sorted(told) == [
        ("3", "sales_price", "«twelve» is no number"),
        ("4", "code", "INVALID_ARGUMENT"),
        ("5", "list_price", "INVALID_ARGUMENT"),
    ]


async def test_a_dry_run_tells_the_differences_and_writes_nothing(crm: Installation, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("product,series,sales_price\nDry One,X,1\n")
    await bring_in(crm, "maven-crm-opportunities", [path], tmp_path)
    before = await crm.suite["sales"].database["products"].find({}).sort("_id", 1).to_list()
    path.write_text("product,series,sales_price\nDry One,Y,1\nDry Two,X,2\n")
    sheet = (await bring_in(crm, "maven-crm-opportunities", [path], tmp_path, dry_run=True))[0]
    assert sheet.outcomes["products"] == {"CREATED": 1, "UPDATED": 1}
    assert sheet.changed_fields == {"category": 1}
    assert await crm.suite["sales"].database["products"].find({}).sort("_id", 1).to_list() == before


async def test_a_file_that_fits_no_part_is_refused_with_a_mapping_to_begin_with(crm: Installation, tmp_path: Path) -> None:
    path = tmp_path / "contacts.csv"
    path.write_text("Name,Email,Phone,Title\nA,b@example.com,1,x\n", encoding="gb18030")
    with pytest.raises(EngineError) as refused:
        await bring_in(crm, "maven-crm-opportunities", [path], tmp_path)
    assert 'email = "{Email}"' in str(refused.value)


@pytest.mark.parametrize(
    ("encoding", "found"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("gb18030", "gb18030"), ("latin-1", "latin-1")]
)
def test_encodings_are_recognised(tmp_path: Path, encoding: str, found: str) -> None:
    from cli.imports.reader import look, rows

    path, name = tmp_path / "some.csv", "Café Müller" if encoding == "latin-1" else "北京远景贸易有限公司，客户"
    path.write_text(f"name\n{name}\n", encoding=encoding)
    layout = look(path)
    assert layout.encoding.name == found
    assert list(rows(layout)) == [(2, {"name": name})]
