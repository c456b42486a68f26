"""The shape of a noun's contract: for each standard verb its method, its two messages, and their fields, in the words of the noun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from chassis.rpc.contract import Contract
from chassis.rpc.documents import snake, traits
from cli.standard.english import article

ID = '(buf.validate.field).string.pattern = "^[0-9a-z][0-9a-z-]{0,63}$"'
_REQUEST_ID = "Makes the call repeatable: the same id with the same content gives the first answer again. 8 to 64 letters, digits, - or _."
_SEEN = "The version that the caller saw; refused as a conflict when the record changed since."


@dataclass(frozen=True)
class Part:
    """A field as the standard has it; `shape` is its label and type."""

    number: int
    name: str
    shape: str
    comment: str
    options: str = ""

    def line(self, number: int = 0) -> str:
        """As it stands in a file, under a number that it may have got elsewhere."""
        return f"  {self.shape} {self.name} = {number or self.number}{f' [{self.options}]' if self.options else ''};"


@dataclass(frozen=True)
class Shape:
    """A message as the standard has it; where it is `open`, fields of the record stand in it beside these."""

    name: str
    comment: str
    parts: tuple[Part, ...]
    open: bool = False


@dataclass(frozen=True)
class Verb:
    """A standard method: what its comment begins with, the action of its policy, its messages."""

    verb: str
    method: str
    comment: str
    action: str
    request: Shape
    response: Shape
    group: Shape | None = None

    def lines(self, resource: str) -> list[str]:
        """The method as it stands in a file."""
        return [
            f"  rpc {self.method}({self.request.name}) returns ({self.response.name}) {{",
            f'    option (crm.common.v1.access) = "{resource}.{self.action}";',
            "  }",
        ]


@dataclass(frozen=True)
class Words:
    """A noun in the spellings that contracts need."""

    name: str
    resource: str
    one: str
    many: str
    first_order: str = ""
    fields: frozenset[str] = field(default_factory=frozenset)
    without: frozenset[str] = field(default_factory=frozenset)
    keys: tuple[tuple[str, str], ...] = ()  # of edges back: the request's field of ids, and what they are ids of
    aggregated: bool = False
    taggable: bool = False

    @staticmethod
    def of(noun: Contract, first_order: str) -> Words:
        """The words of a contract; `first_order` is the comment of its first order."""
        many = f"{noun.traits.name}s" if noun.traits.name else noun.resource.replace("_", " ")
        keys = tuple((f"{one.name.removesuffix('s')}s", str(traits(one).refers_to)) for one in noun.backs.values())
        return Words(
            noun.name, noun.resource, noun.words, many, first_order, frozenset(noun.record.fields_by_name), frozenset(noun.traits.without),
            keys, noun.traits.aggregated, noun.traits.taggable,
        )  # fmt: skip

    @property
    def plural(self) -> str:
        """E.g. "TicketReplies"."""
        return "".join(part.capitalize() for part in self.resource.split("_"))

    @property
    def key(self) -> str:
        """E.g. "ticket_reply_id"."""
        return f"{snake(self.name)}_id"


def verbs(words: Words) -> Iterator[Verb]:
    """The standard verbs that a noun's fields give it, but those that it is declared to be without."""
    for verb, make in _VERBS.items():
        needed = _NEEDED.get(verb)
        given = needed is None or needed in words.fields or (verb == "BatchList" and words.keys)
        if verb not in words.without and given and (verb not in _SAID or getattr(words, _SAID[verb])):
            yield make(words, verb)


# Verb → the field of the record that gives it.
_NEEDED = {
    "BatchList": "customer_id",
    "Assign": "owner_id",
    "Archive": "archive_time",
    "Restore": "archive_time",
    "BatchUpsert": "source_key",
}
# Verb → the option of the record's contract that gives it.
_SAID = {"Aggregate": "aggregated", "Drill": "aggregated", "Tag": "taggable", "Suggest": "taggable"}


def _key(words: Words, number: int) -> Part:
    options = f'{ID}, (crm.common.v1.traits) = {{refers_to: "{words.name}"}}'
    return Part(number, words.key, "string", f"Id of the {words.one}.", options)


def request_id() -> Part:
    """By which a command is repeatable."""
    return Part(1, "request_id", "string", _REQUEST_ID, '(buf.validate.field).string.pattern = "^[A-Za-z0-9_-]{8,64}$"')


def _version(number: int, *, needed: bool) -> Part:
    return Part(number, "version", "int64" if needed else "optional int64", _SEEN, "(buf.validate.field).int64.gte = 1")


def _mask(number: int) -> Part:
    return Part(number, "read_mask", "google.protobuf.FieldMask", "Fields wanted; all when not given.")


def _one(words: Words, comment: str) -> tuple[Part, ...]:
    return (Part(1, snake(words.name), words.name, comment),)


def _many(words: Words, comment: str, options: str = "", number: int = 1) -> Part:
    return Part(number, words.resource, f"repeated {words.name}", comment, options)


def _made(
    words: Words, verb: str, comment: str, action: str, asks: tuple[Part, ...], answers: tuple[Part, ...], *, name: str = "", open_: bool = False
) -> Verb:  # fmt: skip
    method = name or f"{verb}{words.name}"
    request = Shape(f"{method}Request", f"Asks {method}.", asks, open_)
    return Verb(verb, method, comment, action, request, Shape(f"{method}Response", f"Answers {method}.", answers))


def _get(words: Words, verb: str) -> Verb:
    comment = f"One {words.one}; NOT_FOUND when there is none that the caller may see."
    return _made(words, verb, comment, "read", (_key(words, 1), _mask(2)), _one(words, f"The {words.one}."))


def _batch_get(words: Words, verb: str) -> Verb:
    bounds = "(buf.validate.field).repeated = {min_items: 1, max_items: 100, items: {string: {max_len: 64}}}"
    asks = (Part(1, "ids", "repeated string", "Ids, up to 100.", bounds), _mask(2))
    answers = (
        _many(words, "Those found, in no order."), Part(2, "missing_ids", "repeated string", "Ids with no record that the caller may see."),
    )  # fmt: skip
    return _made(words, verb, f"Up to 100 {words.many} by id.", "read", asks, answers, name=f"BatchGet{words.plural}")


def _list(words: Words, verb: str) -> Verb:
    order = words.first_order.rstrip(".")
    asks = (
        Part(1, "filter", "crm.common.v1.Criteria", "Which ones; all that the caller may see when not given."),
        Part(
            2, "order_by", f"{words.name}Order", f"In which order; {order[:1].lower()}{order[1:]} when not given.",
            "(buf.validate.field).enum.defined_only = true",
        ),
        Part(3, "page_size", "int32", "Rows wanted, 1 to 100; 20 when not given.", "(buf.validate.field).int32 = {gte: 0, lte: 100}"),
        Part(4, "page_token", "string", "Where the last page ended.", "(buf.validate.field).string.max_len = 4000"),
        _mask(5),
        Part(6, "row_tokens", "bool", "Also the token of each row, as where a page ended; for lists whose every row can be gone on from."),
        Part(
            7, "archived", "crm.common.v1.Archived", "Whether archived ones are shown; they are not when not given.",
            "(buf.validate.field).enum.defined_only = true",
        ),
        Part(
            8, "count_up_to", "int32", "Also how many there are, counted so far, up to 10,000; not counted when not given.",
            "(buf.validate.field).int32 = {gte: 0, lte: 10000}",
        ),
        Part(
            9, "skip", "int32", "Rows to pass over first, up to 10,000.", "(buf.validate.field).int32 = {gte: 0, lte: 10000}",
        ),
        Part(10, "backward", "bool", "The rows before where the page token stands, the last ones without a token; in the same order."),
        Part(
            11, "sort_by", "repeated crm.common.v1.SortKey", "In which order, by up to two fields; in place of order_by.",
            "(buf.validate.field).repeated.max_items = 2",
        ),
    )  # fmt: skip
    answers = (
        _many(words, "The page."), Part(2, "next_page_token", "string", "Where the next page begins, the one before when backward; empty on the last."),
        Part(3, "row_tokens", "repeated string", "The token of each row, when asked for."),
        Part(4, "total", "crm.common.v1.RecordCount", "How many there are, when asked for."),
    )  # fmt: skip
    lacks = {"order_by" if not order else "", "archived" if "archive_time" not in words.fields else ""}
    asked = tuple(part for part in asks if part.name not in lacks)
    return _made(words, verb, f"One page of {words.many}.", "read", asked, answers, name=f"List{words.plural}")


def _batch_list(words: Words, verb: str) -> Verb:
    """Pages of what hangs on customers, and on others that edges come back from, all in one call."""
    customers = (("customer_ids", "Customer"),) if "customer_id" in words.fields else ()
    hung = (*customers, *words.keys)
    least = "min_items: 1, " if len(hung) == 1 else ""
    bounds = f"(buf.validate.field).repeated = {{{least}max_items: 100, items: {{string: {{max_len: 64}}}}}}"
    keys = tuple(
        Part(
            number, name, "repeated string", "Keys, up to 100." if number == 1 else "Or keys of this kind, up to 100; a call has one kind.",
            f'{bounds}, (crm.common.v1.traits) = {{refers_to: "{target}"}}',
        )
        for number, (name, target) in zip((1, *range(30, 60)), hung, strict=False)
    )  # fmt: skip
    said = {
        "page_size": "Rows wanted of each key, 1 to 100; 20 when not given.",
        "page_token": "Where the last page ended; only with a single key.",
        "count_up_to": "Also how many each key has, counted so far, up to 10,000; not counted when not given.",
        "skip": "Rows of each key to pass over first, up to 10,000.",
    }
    page = _list(words, "List").request.parts
    asks = (keys[0], *(replace(part, number=part.number + 1, comment=said.get(part.name, part.comment)) for part in page), *keys[1:])
    group = Shape(f"{words.name}Group", f"The {words.many} of one key.", (
        Part(1, "key", "string", "The key asked for."), _many(words, f"Its first {words.many}.", number=2),
        Part(3, "next_page_token", "string", "Where its next page begins, the one before when backward; empty on the last."),
        Part(4, "row_tokens", "repeated string", "The token of each row, when asked for."),
        Part(5, "total", "crm.common.v1.RecordCount", "How many it has, when asked for."),
    ))  # fmt: skip
    answers = (Part(1, "groups", f"repeated {group.name}", "One group a key, also for keys with none; in the order asked."),)
    comment = f"The {words.many} of customers" if customers else f"Pages of {words.many}, by ids that they hold"
    made = _made(words, verb, comment, "read", asks, answers, name=f"BatchList{words.plural}")
    return replace(made, group=group)


def _create(words: Words, verb: str) -> Verb:
    after = _one(words, f"The {words.one} after the change.")
    return _made(words, verb, f"Makes {article(words.one)} {words.one}.", "create", (request_id(),), after, open_=True)


def _update(words: Words, verb: str) -> Verb:
    mask = "Names of the fields to change; a named field without a value is cleared."
    asks = (
        request_id(), _key(words, 2), _version(3, needed=True),
        Part(4, "update_mask", "google.protobuf.FieldMask", mask, "(buf.validate.field).required = true"),
    )  # fmt: skip
    after = _one(words, f"The {words.one} after the change.")
    return _made(words, verb, "Changes the fields named in update_mask.", "update", asks, after, open_=True)


def simple(words: Words, verb: str, comment: str, action: str, *more: Part) -> Verb:
    """A command on one record: its id, the version seen, and what is given beside."""
    asks = (request_id(), _key(words, 2), _version(3, needed=False), *more)
    return _made(words, verb, comment, action, asks, _one(words, f"The {words.one} after the change."))


def _assign(words: Words, verb: str) -> Verb:
    options = f'{ID}, (buf.validate.field).required = true, (crm.common.v1.traits) = {{refers_to: "Person"}}'
    return simple(
        words, verb, f"Gives the {words.one} to another person.", "assign", Part(4, "owner_id", "string", "The new owner.", options)
    )


def _archive(words: Words, verb: str) -> Verb:
    return simple(words, verb, f"Takes the {words.one} out of use", "archive")


def _restore(words: Words, verb: str) -> Verb:
    return simple(words, verb, f"Takes the {words.one} back into use.", "archive")


def _upsert(words: Words, verb: str) -> Verb:
    asks = (
        request_id(),
        Part(2, "validate_only", "bool", "When true, nothing is written and the outcomes tell what would be."),
        _many(words, f"The {words.many}, 1 to 500; id and version are ignored.", "(buf.validate.field).ignore = IGNORE_ALWAYS", 3),
    )
    answers = (Part(1, "outcomes", "repeated crm.common.v1.UpsertOutcome", "One outcome for each record, in the order sent."),)
    comment = f"Makes or changes up to 500 {words.many} by their source_key; each is judged alone."
    return _made(words, verb, comment, "import", asks, answers, name=f"BatchUpsert{words.plural}")


def _aggregate(words: Words, verb: str) -> Verb:
    asks = (
        Part(1, "filter", "crm.common.v1.Criteria", "Which ones; all that the caller may see when not given."),
        Part(
            2, "groupings", "repeated crm.common.v1.Grouping", "By what they are put into groups; all together when not given.",
            "(buf.validate.field).repeated.max_items = 2",
        ),
        Part(
            3, "measures", "repeated crm.common.v1.Measure", "What is reckoned of each group beside how many they are.",
            "(buf.validate.field).repeated.max_items = 6",
        ),
        Part(
            4, "limit", "int32", "Groups wanted, 1 to 1000; 100 when not given. The rest is in `others`.",
            "(buf.validate.field).int32 = {gte: 0, lte: 1000}",
        ),
    )  # fmt: skip
    comment = f"How many {words.many} there are, and sums over them, in groups: of those in the reach of roles and collaboration, exactly."
    answers = (Part(1, "aggregate", "crm.common.v1.Aggregate", "The groups."),)
    return _made(words, verb, comment, "read", asks, answers, name=f"Aggregate{words.plural}")


def _drill(words: Words, verb: str) -> Verb:
    """Pages of what groups count, all in one call."""
    bounds = "(buf.validate.field).repeated = {min_items: 1, max_items: 100}"
    filters = Part(1, "filters", "repeated crm.common.v1.Criteria", "The `drill` of each group, up to 100.", bounds)
    said = {
        "page_size": "Rows wanted of each group, 1 to 100; 20 when not given.",
        "page_token": "Where the last page ended; only with a single group.",
    }
    page = [part for part in _list(words, "List").request.parts if part.name not in ("filter", "archived", "count_up_to", "sort_by")]
    asks = (filters, *(replace(part, comment=said.get(part.name, part.comment)) for part in page))
    group = Shape(f"{words.name}Drill", f"The {words.many} of one group.", (
        _many(words, f"Its first {words.many}."),
        Part(2, "next_page_token", "string", "Where its next page begins; empty on the last."),
        Part(3, "row_tokens", "repeated string", "The token of each row, when asked for."),
    ))  # fmt: skip
    answers = (Part(1, "drills", f"repeated {group.name}", "One a filter, in the order asked."),)
    comment = f"The {words.many} behind groups of Aggregate{words.plural}: exactly those that were counted."
    return replace(_made(words, verb, comment, "read", asks, answers, name=f"Drill{words.plural}"), group=group)


def _tag(words: Words, verb: str) -> Verb:
    bounds = "(buf.validate.field).repeated = {max_items: 100, items: {string: {min_len: 1, max_len: 50}}}"
    options = f'{bounds}, (crm.common.v1.traits) = {{form: FORM_NAME, sets: "tags"}}'
    added = Part(4, "add_tags", "repeated string", "Tags that it gets, up to 100; what it has stays as it is.", options)
    taken = Part(5, "remove_tags", "repeated string", "Tags that are taken from it, up to 100, before others are added.", options)
    return simple(words, verb, f"Adds tags to the {words.one} and takes tags away.", "update", added, taken)


def _suggest(words: Words, verb: str) -> Verb:
    asks = (
        Part(1, "contains", "string", "A part of the tags wanted, in small or capital letters; all when not given.", "(buf.validate.field).string.max_len = 50"),
        Part(2, "limit", "int32", "Tags wanted, 1 to 100; 20 when not given.", "(buf.validate.field).int32 = {gte: 0, lte: 100}"),
    )  # fmt: skip
    answers = (Part(1, "tags", "repeated crm.common.v1.TagCount", "The tags, those of most records first."),)
    comment = f"Tags that {words.many} in use have, with how many: of those in the reach of roles and collaboration."
    return _made(words, verb, comment, "read", asks, answers, name=f"Suggest{words.name}Tags")


_VERBS = {
    "Get": _get, "BatchGet": _batch_get, "List": _list, "BatchList": _batch_list, "Create": _create, "Update": _update, "Assign": _assign, "Archive": _archive,
    "Restore": _restore, "BatchUpsert": _upsert, "Aggregate": _aggregate, "Drill": _drill, "Tag": _tag, "Suggest": _suggest,
}  # fmt: skip
# What a new method says where its comment goes on behind the standard beginning.
COMMENTS = {"Archive": "; it can be restored.", "BatchList": "."}
# Verb → (participle of its fact, what the fact says).
FACTS = {
    "Create": ("Created", "Fact: made."), "Update": ("Updated", "Fact: changed."), "Assign": ("Assigned", "Fact: given to another person."),
    "Archive": ("Archived", "Fact: taken out of use."), "Restore": ("Restored", "Fact: taken back into use."),
    "BatchUpsert": ("Created", "Fact: made."),
}  # fmt: skip


def record_parts() -> tuple[Part, ...]:
    """The fields that every record has, and those that many have, under the numbers that are kept for them."""
    person = f'{ID}, (crm.common.v1.traits) = {{refers_to: "Person", filterable: true}}'
    owner = f'{ID}, (crm.common.v1.traits) = {{filterable: true, refers_to: "Person"}}'
    unit = f'{ID}, (crm.common.v1.traits) = {{filterable: true, refers_to: "Department"}}'
    when = "(crm.common.v1.traits) = {filterable: true}"
    always = "(crm.common.v1.traits) = {behaviors: [BEHAVIOR_REQUIRED, BEHAVIOR_OUTPUT_ONLY], filterable: true}"
    stamp = "google.protobuf.Timestamp"
    return (
        Part(1, "id", "string", "Identity: sortable, opaque, never reused.", "(buf.validate.field).string = {max_len: 200}"),
        Part(
            2, "version", "int64", "Grows by one with each change, from 1; send it back to refuse a lost update.",
            "(buf.validate.field).int64 = {gte: 0, lte: 1000000000000}",
        ),
        Part(3, "create_time", stamp, "When the record was made, UTC.", always),
        Part(4, "update_time", stamp, "When it last changed, UTC.", always),
        Part(5, "creator_id", "optional string", "The person who made it.", person),
        Part(6, "updater_id", "optional string", "The person who last changed it.", person),
        Part(
            7, "source_key", "optional string", 'Natural key in the system it was imported from, e.g. "maven:1C1I7A6R"; unique.',
            "(buf.validate.field).string = {max_len: 300}, (crm.common.v1.traits) = {filterable: true}",
        ),
        Part(8, "owner_id", "optional string", "The person responsible.", owner),
        Part(9, "team_id", "optional string", 'Team of the owner; decides the scope "team".', unit),
        Part(10, "department_id", "optional string", 'Department of the owner; decides the scopes "department" and below.', unit),
        Part(11, "archive_time", stamp, "When it was archived; not set while in use.", when),
    )  # fmt: skip
