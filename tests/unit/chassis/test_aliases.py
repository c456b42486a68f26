"""Aliases lead to the customer that counts whatever comes in which order, and nothing of a merge is left once it is undone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from crm.common.v1 import criteria_pb2, disclosure_service_pb2
from crm.customer.v1 import customer_service_pb2, note_service_pb2

from chassis.kernel.criteria import renamed
from chassis.rpc import survivors
from chassis.rpc.documents import to_document
from chassis.storage.aliases import Aliases, alias_of, origin_of
from tests.support.checks import equals
from tests.support.samples import rounds

Document = dict[str, Any]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOTES = note_service_pb2.DESCRIPTOR.services_by_name["NoteService"]
CUSTOMERS = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
DISCLOSURES = disclosure_service_pb2.DESCRIPTOR.services_by_name["DisclosureService"]


def test_what_a_command_names_by_an_alias_was_written_for_that_one() -> None:
    aliases = known(row("a", "c", 1))
    made: Document = {"customer_id": "c"}
    aliases.place(made, "customer_id", meant={"c": "a"})
    assert made == {"customer_id": "c", "customer_alias": "a"}
    moved: Document = {"customer_id": "c"}
    aliases.rename({"customer_id": "x"}, moved, "customer_id", meant={"c": "a"})
    assert moved == made


def test_what_was_led_by_the_records_themselves_keeps_for_whom_it_was_written() -> None:
    moved: Document = {"customer_id": "c", "customer_alias": "a"}  # this replica does not know yet that a is part of c
    Aliases().rename({"customer_id": "a"}, moved, "customer_id")
    assert moved == {"customer_id": "c", "customer_alias": "a"}
    Aliases().rename({"customer_id": "x", "customer_alias": "b"}, moved, "customer_id")
    assert moved == {"customer_id": "c", "customer_alias": "a"}


def row(loser: str, into: str, minute: int = 0, *, undone: bool = False) -> Document:
    return {"_id": loser, "into": into, "since": BEGIN + timedelta(minutes=minute), "undone": undone}


def known(*rows: Document) -> Aliases:
    aliases = Aliases()
    aliases.take(rows)
    return aliases


def test_a_chain_leads_to_its_end_and_each_link_is_undone_alone() -> None:
    aliases = known(row("a", "b", 1), row("b", "c", 2))
    assert [aliases.resolve(one) for one in "abcx"] == ["c", "c", "c", "x"]
    assert aliases.group("a") == ["c", "b", "a"]
    assert aliases.below("b") == ["b", "a"]
    aliases.take([row("a", "b", 1, undone=True)])
    assert [aliases.resolve(one) for one in "abc"] == ["a", "c", "c"]
    aliases = known(row("a", "b", 1), row("b", "c", 2), row("b", "c", 2, undone=True))
    assert [aliases.resolve(one) for one in "abc"] == ["b", "b", "c"]
    assert (aliases.group("c"), len(aliases)) == (["c"], 1)


def test_a_circle_of_facts_in_another_order_breaks_at_its_oldest_merge() -> None:
    aliases = known(row("b", "a", 5), row("a", "b", 1))  # a→b was undone before b→a was made, and that is not known yet
    assert [aliases.resolve(one) for one in "ab"] == ["a", "a"]
    aliases.take([row("a", "b", 1, undone=True)])
    assert [aliases.resolve(one) for one in "ab"] == ["a", "a"]


def test_a_record_keeps_the_id_it_was_written_for_beside_the_one_that_counts() -> None:
    aliases = known(row("a", "b", 1), row("b", "c", 2))
    made: Document = {"customer_id": "a", "parent_id": "x"}
    aliases.place(made, "customer_id", "parent_id")
    assert made == {"customer_id": "c", "customer_alias": "a", "parent_id": "x"}
    copied: Document = {"customer_id": "b", "customer_alias": "a"}
    aliases.place(copied, "customer_id")
    assert copied == {"customer_id": "c", "customer_alias": "a"}, "what hangs on a record goes back with it"
    assert [origin_of(one) for one in (made, {"customer_id": "c"}, {})] == ["a", "c", ""]


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ({"customer_id": "c", "customer_alias": "a"}, "c", {"customer_id": "c", "customer_alias": "a"}),
        ({"customer_id": "c", "customer_alias": "a"}, "b", {"customer_id": "c", "customer_alias": "a"}),
        ({"customer_id": "c", "customer_alias": "a"}, "x", {"customer_id": "x"}),
        ({"customer_id": "x"}, "b", {"customer_id": "c", "customer_alias": "b"}),
        ({"customer_id": "a"}, "c", {"customer_id": "a"}),  # not swept yet: it stays for the sweep
        ({"customer_id": "c", "customer_alias": "a"}, None, {}),
    ],
)
def test_a_record_that_is_given_to_another_customer(before: Document, given: str | None, after: Document) -> None:
    aliases = known(row("a", "b", 1), row("b", "c", 2))
    changed = {name: value for name, value in {**before, "customer_id": given}.items() if value is not None}
    aliases.rename(before, changed, "customer_id")
    assert changed == after


def matches(record: Document, query: Document) -> bool:
    """As MongoDB judges the queries of a sweep."""
    return all(
        record.get(name) != wanted["$ne"] if isinstance(wanted, dict) else record.get(name) == wanted for name, wanted in query.items()
    )


class History:
    """A department that hears of merges in any order and sweeps when it comes to it, against what would have been without a merge."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.customers = [f"c{number}" for number in range(6)]
        self.into: dict[str, tuple[str, int]] = {}  # as the customer department knows it
        self.merges: list[Document] = []
        self.facts: list[list[Document]] = []  # of each merge, in its order
        self.rows: dict[str, Document] = {}
        self.aliases = Aliases()
        self.due: set[str] = set()
        self.records: list[Document] = []
        self.written: list[str] = []  # for whom each record was written: what its customer is where nothing is merged

    def counts(self, identity: str) -> str:
        while identity in self.into:
            identity = self.into[identity][0]
        return identity

    def merge(self) -> None:
        free = [one for one in self.customers if one not in self.into]
        if len(free) > 1:
            loser, survivor = self.random.sample(free, 2)
            number = len(self.merges)
            self.into[loser] = (survivor, number)
            self.merges.append(row(loser, survivor, number))
            self.facts.append([self.merges[-1]])

    def unmerge(self) -> None:
        if self.into:
            loser = self.random.choice(sorted(self.into))
            _, number = self.into.pop(loser)
            self.facts[number].append({**self.merges[number], "undone": True})

    def hear(self) -> None:
        waiting = [facts for facts in self.facts if facts]
        if waiting:
            fact = self.random.choice(waiting).pop(0)
            present = self.rows.get(fact["_id"])
            if present is None or present["since"] <= fact["since"]:
                self.rows[fact["_id"]] = fact
                self.due.add(fact["_id"])

    def look(self) -> None:
        """A replica looks; until then it knows what it knew."""
        self.aliases.take(self.rows.values())

    def write(self) -> None:
        """A command is meant of who counts as far as this replica knows; a fact carries the id of writing."""
        named = self.random.choice(self.customers)
        given = self.aliases.resolve(named) if self.random.random() < 0.5 else named
        made = {"customer_id": given}
        self.aliases.place(made, "customer_id")
        self.records.append(made)
        self.written.append(given)

    def give(self) -> None:
        if self.records:
            number = self.random.randrange(len(self.records))
            before, named = self.records[number], self.aliases.resolve(self.random.choice(self.customers))
            after = {**before, "customer_id": named}
            self.aliases.rename(before, after, "customer_id")
            if self.aliases.resolve(before["customer_id"]) != named:
                self.written[number] = named
            self.records[number] = after

    def sweep(self) -> None:
        """What chassis/runtime/merging.py asks the database to do."""
        self.look()
        for move in [move for identity in sorted(self.due) for move in self.aliases.moves(identity, "customer_id")]:
            for record in (one for one in self.records if matches(one, move.query)):
                record.update(move.change["$set"])
                for name in move.change.get("$unset", ()):
                    del record[name]

    def run(self, steps: int) -> None:
        acts = [self.merge, self.unmerge, self.hear, self.hear, self.look, self.write, self.write, self.give, self.sweep]
        for _ in range(steps):
            self.random.choice(acts)()

    def settle(self) -> None:
        while any(self.facts):
            self.hear()
        self.sweep()


@pytest.mark.parametrize("seed", rounds(200, 10_000, "merges"))
def test_whatever_happened_each_record_is_found_under_who_counts_and_undone_where_it_was(seed: int) -> None:
    history = History(seed)
    history.run(60)
    history.settle()
    assert [one["customer_id"] for one in history.records] == [history.counts(one) for one in history.written]
    assert [origin_of(one) for one in history.records] == history.written
    while history.into:
        history.unmerge()
        if history.random.random() < 0.5:
            history.settle()
    history.settle()
    assert history.records == [{"customer_id": one} for one in history.written], "as if nothing had ever been merged"


# ---- questions and commands


def test_a_question_by_an_alias_is_meant_of_the_survivor_and_answered_under_the_alias() -> None:
    aliases = known(row("a", "c", 1))
    method = NOTES.methods_by_name["BatchListNotes"]
    asked = note_service_pb2.BatchListNotesRequest(customer_ids=["a", "x", "c"])
    meant, _ = cast(Any, survivors.meant(method, asked, aliases))
    assert (list(meant.customer_ids), list(asked.customer_ids)) == (["c", "x", "c"], ["a", "x", "c"])
    answer: Any = note_service_pb2.BatchListNotesResponse(groups=[{"key": "c", "next_page_token": "t"}, {"key": "x"}])
    survivors.as_asked(asked, meant, answer)
    assert [(group.key, group.next_page_token) for group in answer.groups] == [("a", "t"), ("x", ""), ("c", "t")]


def test_what_names_no_alias_is_not_even_copied() -> None:
    asked = note_service_pb2.BatchListNotesRequest(customer_ids=["x"])
    method = NOTES.methods_by_name["BatchListNotes"]
    assert survivors.meant(method, asked, known(row("a", "c")))[0] is asked
    assert survivors.meant(method, asked, known())[0] is asked


def test_records_within_a_command_are_meant_of_the_survivor_too() -> None:
    method = NOTES.methods_by_name["BatchUpsertNotes"]
    asked = note_service_pb2.BatchUpsertNotesRequest(notes=[{"customer_id": "a"}, {"customer_id": "x"}])
    meant, named = cast(Any, survivors.meant(method, asked, known(row("a", "c"))))
    assert ([note.customer_id for note in meant.notes], dict(named)) == (["c", "x"], {"c": "a"})
    both = note_service_pb2.BatchUpsertNotesRequest(notes=[{"customer_id": "a"}, {"customer_id": "c"}])
    assert survivors.meant(method, both, known(row("a", "c")))[1] == {}, "which row was meant by which id nobody can say"
    request = disclosure_service_pb2.DiscloseSubjectRequest(customer_id="a")
    meant, _ = cast(Any, survivors.meant(DISCLOSURES.methods_by_name["DiscloseSubject"], request, known(row("a", "c"))))
    assert meant.customer_id == "c"


def test_a_command_on_the_customer_itself_is_not_turned_to_another_one() -> None:
    asked = customer_service_pb2.UpdateCustomerRequest(customer_id="a", parent_id="a")
    meant, _ = cast(Any, survivors.meant(CUSTOMERS.methods_by_name["UpdateCustomer"], asked, known(row("a", "c"))))
    assert (meant.customer_id, meant.parent_id) == ("a", "c")


def test_criteria_that_name_an_alias_find_the_survivor() -> None:
    negated = {"negated": {"all": {"items": [equals("customer_id", "a", "x"), equals("name", "a")]}}}
    criteria = to_document(criteria_pb2.Criteria(**negated))
    resolve = known(row("a", "c")).resolve
    found = renamed(criteria, ("customer_id",), resolve)
    first, second = found["negated"]["all"]["items"]
    assert [value["text"] for value in first["condition"]["values"]] == ["c", "x"]
    assert [value["text"] for value in second["condition"]["values"]] == ["a"]
    assert alias_of("parent_id") == "parent_alias"
