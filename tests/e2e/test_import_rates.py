"""Exchange rates come in by the recipe that ships: as a bank gives them, and as the European Central Bank does."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from cli.engines import EngineError
from cli.imports.run import run_import
from tests.support.installation import Installation

BANK = "from_currency,to_currency,rate,first_date\nZAR,CNY,0.3912,2025-05-06\nZAR,CNY,0.39125,2025/5/7\nZAR,CNY,-1.5,2025-05-08\nZAR,ZAR,1.5,2025-05-08\n"
ECB = """KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE
EXR.D.SGD.EUR.SP00.A,D,SGD,EUR,SP00,A,2025-05-06,1.459
EXR.D.SGD.EUR.SP00.A,D,SGD,EUR,SP00,A,2025-05-07,1.461
EXR.D.SGD.EUR.SP00.A,D,SGD,EUR,SP00,A,2025-05-08,
"""


async def bring_in(crm: Installation, folder: Path, content: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """What became of the rows, and why the refused ones were."""
    path, errors, report = (folder / name for name in ("rates.csv", "errors.csv", "report.json"))
    path.write_text(content, encoding="utf-8")
    errors.unlink(missing_ok=True)
    try:
        await run_import(crm.plan, "exchange-rates", [path], dry_run=False, errors=errors, report=report)
    except SystemExit as ended:
        assert ended.code == 1
    with errors.open(encoding="utf-8-sig") if errors.exists() else path.open() as source:
        refused = [(row["column"], row["reason"]) for row in csv.DictReader(source)] if errors.exists() else []
    return {name: count for name, count in json.loads(report.read_text())[0]["row_outcomes"].items() if count}, refused


async def stored(crm: Installation, source: str, target: str) -> list[tuple[str, str, str]]:
    rows: Any = crm.suite["organization"].database["exchange_rates"].find({"pair": f"{source}-{target}"}).sort("first_date", 1)
    return [(row["first_date"], row["rate"], row["source"]) async for row in rows]


async def test_rates_of_a_bank_come_in_and_the_rows_at_fault_are_told(crm: Installation, tmp_path: Path) -> None:
    outcomes, refused = await bring_in(crm, tmp_path, BANK)
    assert outcomes == {"CREATED": 2, "REFUSED": 2}
    assert [column for column, _ in refused] == ["rate", "to_currency"]
    assert "is no rate" in refused[0][1]
    assert "both are ZAR" in refused[1][1]
    assert await stored(crm, "ZAR", "CNY") == [("2025-05-06", "0.3912", "IMPORT"), ("2025-05-07", "0.39125", "IMPORT")]
    assert (await bring_in(crm, tmp_path, BANK))[0] == {"UNCHANGED": 2, "REFUSED": 2}
    corrected = BANK.replace("0.39125", "0.3913")
    assert (await bring_in(crm, tmp_path, corrected))[0] == {"UNCHANGED": 1, "UPDATED": 1, "REFUSED": 2}


async def test_rates_of_the_central_bank_come_in_and_days_without_one_are_left_out(crm: Installation, tmp_path: Path) -> None:
    outcomes, refused = await bring_in(crm, tmp_path, ECB)
    assert (outcomes, refused) == ({"CREATED": 2, "UNCHANGED": 1}, [])
    assert await stored(crm, "EUR", "SGD") == [("2025-05-06", "1.459", "IMPORT"), ("2025-05-07", "1.461", "IMPORT")]


async def test_a_file_whose_points_may_be_thousands_is_not_guessed_at(crm: Installation, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="column «rate»"):
        await bring_in(crm, tmp_path, "from_currency,to_currency,rate,first_date\nTRY,CNY,1.234,2025-05-06\n")
    assert await stored(crm, "TRY", "CNY") == []
