"""Documents parsed, limited and validated once, kept in a bounded cache."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import GraphQLError, OperationDefinitionNode, parse, validate

from gateway.engine import Engine
from gateway.engine import Operation as EngineOperation
from gateway.operations.limits import Cost, check_text, refused
from gateway.settings import Settings

DEEPEST = 100
_OPEN, _CLOSE = frozenset("{[("), frozenset("}])")
KEPT, KEPT_BYTES = 1000, 1_000_000  # a parsed document takes about 70 times its text
_TOKEN = re.compile(r'''"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[!$&()\[\]{}:=@|]''')
_GUESS = re.compile(r" Did you mean .*\?$")


@dataclass(frozen=True)
class Prepared:
    """A document that may be executed, with its operations by name; or the errors that forbid it."""

    operations: Mapping[str, Prepared.Operation] = field(default_factory=dict)
    errors: tuple[GraphQLError, ...] = ()

    @dataclass(frozen=True)
    class Operation:
        """One operation: what runs it, and what it costs."""

        node: OperationDefinitionNode
        run: EngineOperation
        cost: Cost

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
        self.engine, self.schema, self.settings = engine, engine.schema, settings
        self._kept: OrderedDict[str, Prepared] = OrderedDict()
        self._bytes = self.hits = self.misses = 0

    def prepare(self, text: str) -> Prepared:
        """Parse, limit and validate a text; the answer for the same text is remembered."""
        found = self._kept.get(text)
        if found is None:
            self.misses += 1
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
        tokens, deepest = _scan(text)  # before parsing, which is twenty times slower and recursive
        if deepest > DEEPEST:
            return Prepared(errors=(refused("depth", deepest, DEEPEST, "nest less"),))
        if tokens > self.settings.most_tokens:
            return Prepared(errors=(refused("tokens", tokens, self.settings.most_tokens, "ask for less at once"),))
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
            node.name.value if node.name else "": Prepared.Operation(node, self.engine.prepare(document, node), Cost(self.schema, document, node))
            for node in nodes
        })  # fmt: skip


def _scan(text: str) -> tuple[int, int]:
    """The number of tokens, comments left out, and how deep brackets of any kind lie in each other."""
    count = depth = deepest = 0
    for found in _TOKEN.findall(text):
        if found in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif found in _CLOSE:
            depth -= 1
        count += not found.startswith("#")
    return count, deepest


def _coded(error: GraphQLError, code: str, settings: Settings) -> GraphQLError:
    message = _GUESS.sub("", error.message) if settings.environment == "production" else error.message
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, error.original_error, {"code": code})
