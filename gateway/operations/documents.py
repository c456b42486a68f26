"""Documents parsed, limited and validated once, kept in a bounded cache."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    parse,
    validate,
)

from gateway.engine import Engine
from gateway.engine import Operation as EngineOperation
from gateway.operations.limits import Cost, check_text, refused
from gateway.operations.sizes import SCHEMA_FIELDS, Lists
from gateway.settings import Settings

DEEPEST = 100
_OPEN, _CLOSE = frozenset("{[("), frozenset("}])")
# A document that is not kept takes some 10 µs a token, and half of one a character; what a sign-in needs is not counted.
FREE_TOKENS, FREE_TEXT, TOKEN_COST = 300, 5000, 5
STRANGER_TOKENS, STRANGER_TEXT = 1000, 10_000
KEPT, KEPT_BYTES = 1000, 1_000_000  # a parsed document takes about 70 times its text
# A string that does not end ends with the text or the line: what fails at its end would be tried again from each quote within.
_TOKEN = re.compile(
    r"""\"{3}(?:[^"\\]|\\\"{3}|\\|"(?!""))*+(?:\"{3}|\Z)|"(?:[^"\\\n]|\\.)*+"?"""
    r"""|(?:#[^\n]*+[\s,]*+)++|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[!$&()\[\]{}:=@|]|[\s,]{8,}+"""
)
_GUESS = re.compile(r" Did you mean .*\?$")


@dataclass(frozen=True)
class Prepared:
    """A document that may be executed, with its operations by name; or the errors that forbid it."""

    operations: Mapping[str, Prepared.Operation] = field(default_factory=dict)
    errors: tuple[GraphQLError, ...] = ()

    @dataclass(frozen=True)
    class Operation:
        """One operation: what runs it, what it costs, and which fields of the root it names."""

        node: OperationDefinitionNode
        run: EngineOperation
        cost: Cost
        roots: tuple[str, ...]

        @property
        def describes(self) -> bool:
            """Whether it asks for the schema, and for nothing else."""
            return any(name in SCHEMA_FIELDS for name in self.roots) and all(
                name in SCHEMA_FIELDS or name == "__typename" for name in self.roots
            )

    def operation(self, name: str | None) -> Prepared.Operation:
        """The operation to run. Raises GraphQLError when the name is missing or unknown."""
        found = self.operations.get(name) if name is not None else next(iter(self.operations.values()))
        if found is None or (name is None and len(self.operations) > 1):
            text = (
                f"the document has no operation «{name}»"
                if name is not None
                else "the document has several operations; name one in operationName"
            )
            raise GraphQLError(text, extensions={"code": "OPERATION_NOT_FOUND"})
        return found


class Documents:
    """The cache. Not shared between threads."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.schema, self.settings, self.lists = engine, engine.schema, settings, Lists(engine.schema)
        self._kept: OrderedDict[str, Prepared] = OrderedDict()
        self._bytes = self.hits = self.misses = 0

    def prepare(self, text: str, pay: Callable[[int], object] = int, *, stranger: bool = False) -> Prepared:
        """Parse, limit and validate a text; the answer for the same text is remembered. What this costs is paid before. Raises what `pay` does.

        A stranger has a sign-in to send, or asks for the schema: nothing that takes long to read."""
        found = self._kept.get(text)
        if found is None:
            self.misses += 1
            if stranger and len(text) > STRANGER_TEXT:
                return Prepared(errors=(refused("characters", len(text), STRANGER_TEXT, "sign in to ask for more at once"),))
            most = min(STRANGER_TOKENS, self.settings.most_tokens) if stranger else self.settings.most_tokens
            tokens, deepest = _scan(text, most)  # before parsing, which is twenty times slower and recursive
            if deepest > DEEPEST:
                return Prepared(errors=(refused("depth", deepest, DEEPEST, "nest less"),))
            if tokens > most:
                return Prepared(errors=(refused("tokens", tokens, most, "ask for less at once"),))
            pay(max(0, tokens - FREE_TOKENS) * TOKEN_COST + max(0, len(text) - FREE_TEXT) // 5)
            found = self._prepare(text)
            self._kept[text] = found
            self._bytes += len(text)
            while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[0])
        else:
            self.hits += 1
            self._kept.move_to_end(text)
        return found

    def _prepare(self, text: str) -> Prepared:
        try:
            document = parse(text)
        except GraphQLError as error:
            return Prepared(errors=(_coded(error, "GRAPHQL_PARSE_FAILED", self.settings),))
        refusal = check_text(document, self.settings)
        if refusal:
            return Prepared(errors=(refusal,))
        errors = validate(self.schema, document, max_errors=10)
        if errors:
            return Prepared(errors=tuple(_coded(error, "GRAPHQL_VALIDATION_FAILED", self.settings) for error in errors))
        nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        return Prepared({
            node.name.value if node.name else "": Prepared.Operation(
                node, self.engine.prepare(document, node), Cost(self.lists, document, node), roots(document, node))
            for node in nodes
        })  # fmt: skip


def roots(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """Names of the fields of the root that an operation names, once for each key of the answer. The document is valid."""
    fragments = {node.name.value: node.selection_set for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    waiting, seen, found = [operation.selection_set], set(), {}
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FieldNode):
                found[(node.alias or node.name).value] = node.name.value
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                waiting.append(fragments[node.name.value])
    return tuple(found.values())


def _scan(text: str, most: int) -> tuple[int, int]:
    """The number of tokens, comments left out, and how deep brackets of any kind lie in each other; no further than one of them is too much."""
    count = depth = deepest = 0
    for match in _TOKEN.finditer(text):
        found = match[0]
        if found[0] in "#," or found[0].isspace():  # comments, and long blanks, which are dear to pass over one by one
            continue
        if found in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif found in _CLOSE:
            depth -= 1
        count += 1
        if deepest > DEEPEST or count > most:
            break
    return count, deepest


def _coded(error: GraphQLError, code: str, settings: Settings) -> GraphQLError:
    message = _GUESS.sub("", error.message) if settings.environment == "production" else error.message
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, error.original_error, {"code": code})
