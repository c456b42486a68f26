"""`xietong backup` refuses words that it does not know, by name, before it opens anything."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cli.__main__ import _parser, main


@pytest.mark.parametrize(("text", "meant"), [("30m", timedelta(minutes=30)), ("6h", timedelta(hours=6)), ("7d", timedelta(days=7))])
def test_an_interval_is_a_number_with_its_unit(text: str, meant: timedelta) -> None:
    assert _parser().parse_args(["backup", "schedule", "there", "--every", text]).every == meant


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["schedule", "there", "--every", "0h"], "0h is no interval: a number with m, h or d behind it"),
        (["schedule", "there", "--every", "5"], "5 is no interval"),
        (["prune", "there", "--keep-last", "-1"], "--keep-last"),
        (["prune", "there", "--keep-last", "many"], "many is not between 0 and 9999"),
        (["take", "there", "--keep-last", "3"], "unrecognized arguments: --keep-last 3"),
        (["take"], "the following arguments are required: FOLDER"),
    ],
)
def test_other_words_are_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["backup", *words])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["prune", "there"], ["prune", "there", "--keep-daily", "0"], ["schedule", "there", "--keep-last", "0"]])
def test_keeping_nothing_is_refused(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("CRM_PORT_BASE", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["backup", *words])
    assert ended.value.code == "xietong: say what to keep: --keep-last, --keep-daily, --keep-weekly or --keep-monthly with a number"
