"""Files as they come: encodings that are sure, doubted or named; rows that cannot be read cost themselves and nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.engines import EngineError
from cli.imports.encodings import find
from cli.imports.reader import Broken, look, rows

CHINESE = ["北京远景贸易有限公司", "客户要求年底前交货", "上海浦东新区", "联系人：王伟", "备注：已付款，等待发票"]
TRADITIONAL = ["瓦城文具股份有限公司", "備註繁體", "臺灣電腦公司，客戶服務", "請在下個月以前送到"]
RUSSIAN = ["ООО Ромашка", "Примечание", "Москва, улица Ленина", "Иванов Пётр", "Договор подписан в январе"]
WESTERN = ["Café Müller", "Jürgen Groß", "Peña Núñez", "São Paulo", "Crème brûlée à Orléans", "Malmö Ångström"]
JAPANESE = ["株式会社山田", "ありがとうございます", "東京都千代田区", "担当者：鈴木一郎"]
KOREAN = ["서울전자 주식회사", "고객 메모입니다", "김철수 과장"]
TEXTS = {"gb18030": CHINESE, "big5": TRADITIONAL, "cp1251": RUSSIAN, "cp1252": WESTERN, "shift_jis": JAPANESE, "euc_kr": KOREAN}


def file(folder: Path, content: bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(path: Path, named: str = "") -> list[tuple[int, object]]:
    return [(number, "refused" if isinstance(row, Broken) else tuple(row.values())) for number, row in rows(look(path, named))]


@given(st.data(), st.sampled_from(sorted(TEXTS)))
def test_a_text_is_read_as_it_was_written_or_refused_never_as_something_else(data: st.DataObject, encoding: str) -> None:
    lines = data.draw(st.lists(st.sampled_from(TEXTS[encoding]), min_size=1, max_size=6))
    content = ("id,name\n" + "".join(f"{index},{line}\n" for index, line in enumerate(lines))).encode(encoding)
    try:
        found = find(lambda: [content[:20], content[20:]], "x.csv")
    except EngineError as doubt:
        assert f"{encoding} reads «" in str(doubt)
    else:
        assert content.decode(found.codec) == content.decode(encoding)
    named = find(lambda: [content], "x.csv", encoding)
    assert (content.decode(named.codec), named.dirty) == (content.decode(encoding), False)


@pytest.mark.parametrize("encoding", sorted(TEXTS))
def test_a_list_of_texts_of_one_language_is_sure(encoding: str) -> None:
    content = "\n".join(TEXTS[encoding]).encode(encoding)
    assert find(lambda: [content], "x").name in (encoding, {"cp1252": "latin-1"}.get(encoding))


@given(st.text(max_size=40), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_unicode_is_read_whatever_stands_in_it(text: str, encoding: str) -> None:
    content = f"名称,{text}".encode(encoding, "replace")
    assert content.decode(find(lambda: [content], "x").codec) == content.decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding"), [("Crème", "cp1252"), ("Łódź Gdańsk", "cp1250"), ("ООО Ромашка", "koi8_r"), ("İstanbul Şişli", "cp1254")]
)
def test_what_may_be_two_encodings_is_refused_with_both_and_what_they_read(text: str, encoding: str) -> None:
    with pytest.raises(EngineError, match=f"{encoding} reads «{text}».*--encoding"):
        find(lambda: [text.encode(encoding)], "x")
    assert text.encode(encoding).decode(find(lambda: [b""], "x", encoding).codec) == text


def test_an_encoding_nobody_knows_is_refused(tmp_path: Path) -> None:
    for name in ("klingon", "base64"):
        with pytest.raises(EngineError, match=f"no encoding «{name}»"):
            look(file(tmp_path, b"a\n"), name)


def test_control_characters_speak_against_an_encoding_that_was_named(tmp_path: Path) -> None:
    path = file(tmp_path, "a,b\n1,“x”\n".encode("cp1252"))
    assert (look(path, "latin-1").encoding.controls, look(path).encoding.controls) == (True, False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1,2\n3\n4,5,6\n7,8\n", [(2, ("1", "2")), (3, "refused"), (4, "refused"), (5, ("7", "8"))]),
        (b'a,b\n1,"open\n2,x\n3,y\n', [(2, "refused"), (3, ("2", "x")), (4, ("3", "y"))]),
        (b'a,b\n1,"open\n"2","x"\n3,y\n', [(2, "refused"), (3, ("2", "x")), (4, ("3", "y"))]),
        (b'a,b\n1,"two\nlines"\n2,"q""q"\n', [(2, ("1", "two\nlines")), (3, ("2", 'q"q'))]),
        (b'a,b\n1,"x" y\n2,5" pipe\n', [(2, ("1", "x y")), (3, ("2", '5" pipe'))]),
        (b"a,b\n1,\x00\n\n2,3\n", [(2, ("1", "\x00")), (4, ("2", "3"))]),
        (b"sep=;\na;b\n1,5;2\n", [(2, ("1,5", "2"))]),
        (b'"a;b";c\n"1;2";3\n', [(2, ("1;2", "3"))]),
        (b"'a','b'\n'x,y','2'\n", [(2, ("x,y", "2"))]),
        (b"a\tb\r1\t2\r", [(2, ("1", "2"))]),
    ],
)
def test_a_row_that_cannot_be_read_costs_itself_alone(tmp_path: Path, content: bytes, expected: list[tuple[int, object]]) -> None:
    assert read(file(tmp_path, content)) == expected
    assert read(file(tmp_path, content, "x.csv.gz")) == expected


def test_long_cells_are_read_and_a_quote_that_swallows_a_file_is_given_back(tmp_path: Path) -> None:
    found = read(file(tmp_path, b"a,b\n1," + b"x" * 140_000 + b"\n2,y\n"))
    assert [(number, len(row[1]) if isinstance(row, tuple) else row) for number, row in found] == [(2, 140_000), (3, 1)]
    many = b"".join(b"%d,y\n" % number for number in range(300_000))
    found = read(file(tmp_path, b'a,b\n1,"open\n' + many))
    assert (found[0], len(found), found[-1]) == ((2, "refused"), 300_001, (300_002, ("299999", "y")))


@pytest.mark.parametrize("bad", [b"\xff", b"\x80", b"\xc3("])
def test_bytes_of_no_encoding_far_down_cost_their_row(tmp_path: Path, bad: bytes) -> None:
    filled = b"a,b\n" + b"".join(b"%d,some text of a row\n" % number for number in range(60_000))
    found = read(file(tmp_path, filled + b"x," + bad + b"\nlast,1\n"))
    assert found[-2:] == [(60_002, "refused"), (60_003, ("last", "1"))]
    assert "refused" not in [row for _, row in found[:-2]]


def test_bytes_that_are_none_of_the_encoding_that_was_named_cost_their_row(tmp_path: Path) -> None:
    content = "a,b\n1,客户\n2,公司\n".encode("gbk") + b"3,\xff\xff\n" + "4,北京\n".encode("gbk")
    assert read(file(tmp_path, content), "gbk") == [(2, ("1", "客户")), (3, ("2", "公司")), (4, "refused"), (5, ("4", "北京"))]


@pytest.mark.parametrize(("content", "told"), [(b"", "no header"), (b",,\n1,2,3\n", "no header"), (b"a,a\n", "two columns are named «a»")])
def test_a_file_without_names_for_its_columns_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(EngineError, match=told):
        look(file(tmp_path, content))
    with pytest.raises(EngineError, match="check the path"):
        look(tmp_path / "nothing.csv")
