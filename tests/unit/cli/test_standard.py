"""The standard of contracts: what differs from it is found, and mended without touching what is special."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.rpc.contract import Contract, nouns
from cli.contracts import PROTOS
from cli.engines import EngineError
from cli.standard import check, command, english, scaffold
from cli.standard.check import Files, judge
from cli.standard.shape import Words, verbs
from cli.standard.text import Block, File, Member, read

NOUNS = {noun.resource: noun for noun in nouns()}


def block(file: File, name: str) -> Block:
    found = file.block(name)
    assert found is not None
    return found


def member(file: File, name: str) -> Member:
    owner, _, inner = name.partition(".")
    found = block(file, owner).member(inner)
    assert found is not None
    return found


@pytest.mark.parametrize("path", sorted(PROTOS.rglob("*.proto")), ids=lambda path: path.stem)
def test_a_file_is_written_as_it_was_read(path: Path) -> None:
    file = read(path)
    assert file.text() == path.read_text()
    assert not file.blocks or file.imported().text().count("import ") >= file.text().count("import ")


def test_a_file_of_another_layout_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.proto"
    path.write_text("message Odd {\n  string a = 1;\n}\n\n\nmessage Even {}\n")
    with pytest.raises(ValueError, match=r"odd\.proto"):
        read(path)


def test_every_contract_is_as_the_standard_has_it() -> None:
    assert check.check() == []


# ---- damage


def wrong_article(files: Files) -> None:
    member(files.service, "ProductService.CreateProduct").comment = "Makes an product."


def wrong_policy(files: Files) -> None:
    member(files.service, "ProductService.ArchiveProduct").lines[1] = '    option (crm.common.v1.access) = "products.update";'


def no_row_tokens(files: Files) -> None:
    message = block(files.service, "ListProductsRequest")
    message.members = [one for one in message.members if one.name != "row_tokens"]


def larger_pages(files: Files) -> None:
    found = member(files.service, "ListProductsRequest.page_size")
    found.lines = [found.lines[0].replace("lte: 100", "lte: 1000")]


def looser_id(files: Files) -> None:
    found = member(files.service, "GetProductRequest.product_id")
    found.lines = [found.lines[0].replace("{0,63}", "{0,99}")]


def no_restore(files: Files) -> None:
    service = block(files.service, "ProductService")
    service.members = [one for one in service.members if one.name != "RestoreProduct"]


def no_answer(files: Files) -> None:
    files.service.blocks = [one for one in files.service.blocks if one.name != "UpdateProductResponse"]


def a_field_forgotten_in_the_update(files: Files) -> None:
    message = block(files.service, "UpdateProductRequest")
    message.members = [one for one in message.members if one.name != "tags"]


def a_longer_name_than_the_record_takes(files: Files) -> None:
    found = member(files.service, "CreateProductRequest.name")
    found.lines = [found.lines[0].replace("max_len: 200", "max_len: 300")]


def a_fact_without_words(files: Files) -> None:
    assert files.events
    block(files.events, "ProductArchived").comment = "Gone."


def a_missing_fact(files: Files) -> None:
    assert files.events
    files.events.blocks = [one for one in files.events.blocks if one.name != "ProductRestored"]


DAMAGES: list[Callable[[Files], None]] = [
    wrong_article, wrong_policy, no_row_tokens, larger_pages, looser_id, no_restore, no_answer, a_field_forgotten_in_the_update,
    a_longer_name_than_the_record_takes, a_fact_without_words, a_missing_fact,
]  # fmt: skip
# What comes back behind the others, or with the fewest traits that say the same.
ELSEWHERE = {"no_restore", "no_answer", "a_missing_fact", "a_longer_name_than_the_record_takes"}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_differs_is_found_and_mended(damage: Callable[[Files], None]) -> None:
    files = Files.of(NOUNS["products"])
    before = Files.of(NOUNS["products"])
    damage(files)
    assert (files.service.text(), files.events and files.events.text()) != (before.service.text(), before.events and before.events.text())
    judge(files)
    assert len(files.found) == 1 or damage is no_answer, files.found
    if damage.__name__ not in ELSEWHERE:
        assert files.service.text() == before.service.text()
    again = Files(files.noun, files.record, files.service, files.events)
    judge(again)
    assert again.found == []


def test_a_field_that_only_the_department_sets_is_in_no_command() -> None:
    files = Files.of(NOUNS["opportunities"])
    message = block(files.service, "UpdateOpportunityRequest")
    message.members.append(
        Member("close_reason", "Why.", ["  optional string close_reason = 99 [(buf.validate.field).string = {max_len: 500}];"])
    )
    judge(files)
    found, many = files.found  # what a command on one record takes, that on many takes too
    assert "BulkUpdateOpportunitiesRequest.close_reason" in many
    assert "UpdateOpportunityRequest.close_reason" in found


def test_a_number_that_clients_know_stays() -> None:
    files = Files.of(NOUNS["notes"])
    member(files.service, "BatchListNotesRequest.page_size").comment = "Rows."
    judge(files)
    assert member(files.service, "BatchListNotesRequest.page_size").number == 4
    assert len(files.found) == 1


@pytest.mark.parametrize("noun", nouns(), ids=lambda noun: noun.resource)
def test_what_a_noun_is_without_its_fields_would_give_it(noun: Contract) -> None:
    """A word in `without` that takes nothing away is none."""
    words = Words.of(noun, "x")
    whole = {verb.verb for verb in verbs(Words(words.name, words.resource, words.one, words.many, "x", words.fields))}
    assert words.without <= whole


# ---- English


@pytest.mark.parametrize(("text", "wrong"), [
    ("Makes a opportunity.", True), ("Makes an opportunity.", False), ("A user, an hour, an SKU, a URL.", False), ("An user.", True),
    ("Type A event.", False), ("small letter.", True), ("No stop", True), ("", True), ("Such as an «order».", False), ("Such as a «order».", True),
    ("An https address.", False), ("A unit, an unused one, a European.", False), ("A uniform, an unimportant one.", False),
])  # fmt: skip
def test_english(text: str, wrong: bool) -> None:
    assert bool(list(english.faults(text))) is wrong


# ---- what is asked of a new noun


@pytest.mark.parametrize(("path", "more", "says"), [
    ("nowhere/quotes", {}, "departments: customer"), ("sales", {}, "<department>/<plural>"), ("sales/Quotes", {}, "<department>/<plural>"),
    ("sales/sheep", {"title": "羊"}, "--one"), ("sales/quotes", {}, "--title"), ("sales/quotes", {"title": "报价", "family": "sails"}, "sales work"),
    ("sales/quotes", {"title": "报价", "family": "sales work", "verbs": "send"}, "participle"),
    ("sales/campaigns", {"title": "活动", "family": "sales work"}, "marketing has campaigns"),
    ("sales/staff", {"one": "person", "title": "人", "family": "sales work"}, "organization has people"),
])  # fmt: skip
def test_a_wrong_order_for_a_noun_says_how_to_mend_it(path: str, more: dict[str, str], says: str) -> None:
    given = {"one": "", "title": "", "family": "", "verbs": "", **more}
    with pytest.raises(EngineError, match=says):
        scaffold.asked(path, given["one"], given["title"], given["family"], given["verbs"], owned=True, customer=False)


def test_without_the_tools_of_developers_nothing_is_written_and_the_way_to_them_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    monkeypatch.setattr(scaffold, "make", lambda new: pytest.fail("it went on"))
    options = argparse.Namespace(
        command="new", path="sales/quotes", title="报价", family="sales work", one="", verbs="", unowned=False, customer=False
    )
    with pytest.raises(EngineError, match="make contracts"):
        command.run(options)


def test_a_good_order_for_a_noun() -> None:
    new = scaffold.asked("sales/price_books", "", "价目表", "sales set-up", "open:opened", owned=False, customer=False)
    assert (new.name, new.stem, new.plural, new.one, dict(new.verbs)) == (
        "PriceBook",
        "price_book",
        "PriceBooks",
        "price book",
        {"open": "opened"},
    )
    assert scaffold.asked("sales/policies", "", "x", "sales work", "", owned=True, customer=True).name == "Policy"
