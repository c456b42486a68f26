"""Documents parsed, limited and validated once, kept in a bounded cache."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, parse, validate

from gateway.limits import check_text
from gateway.settings import Settings

DEEPEST = 100
_OPEN, _CLOSE = frozenset("{[("), frozenset("}])")
KEPT, KEPT_BYTES = 1000, 4_000_000
_DEEP = {"code": "LIMIT_EXCEEDED", "limit": "depth"}
_LONG = {"code": "LIMIT_EXCEEDED", "limit": "tokens"}
_TOKEN = re.compile(r'''"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[!$&()\[\]{}:=@|]''')
_GUESS = re.compile(r" Did you mean .*\?$")


@dataclass(frozen=True)
class Prepared:
    """A document that may be executed, or the errors that forbid it. `fault` is the code of the errors."""

    document: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()


class Documents:
    """The cache. Not shared between threads."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self.schema, self.settings = schema, settings
        self._kept: OrderedDict[str, Prepared] = OrderedDict()
        self._bytes = 0

    def prepare(self, text: str) -> Prepared:
        """Parse, limit and validate a text; the answer for the same text is remembered."""
        found = self._kept.get(text)
        if found is None:
            found = self._prepare(text)
            self._kept[text] = found
            self._bytes += len(text)
            while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[0])
        else:
            self._kept.move_to_end(text)
        return found

    def _prepare(self, text: str) -> Prepared:
        tokens, deepest = _scan(text)  # before parsing, which is twenty times slower and recursive
        if deepest > DEEPEST:
            return Prepared(None, (GraphQLError("the document is nested too deeply (limit: depth)", extensions=_DEEP),))
        if tokens > self.settings.most_tokens:
            words = f"the document has more than {self.settings.most_tokens} tokens (limit: tokens); ask for less at once"
            return Prepared(None, (GraphQLError(words, extensions={**_LONG, "most": self.settings.most_tokens}),))
        try:
            document = parse(text)
        except GraphQLError as error:
            return Prepared(None, (_coded(error, "GRAPHQL_PARSE_FAILED", self.settings),))
        refusal = check_text(document, self.settings)
        if refusal:
            return Prepared(None, (refusal,))
        errors = validate(self.schema, document, max_errors=10)
        if errors:
            return Prepared(None, tuple(_coded(error, "GRAPHQL_VALIDATION_FAILED", self.settings) for error in errors))
        return Prepared(document)


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


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation to run. Raises GraphQLError when the name is missing or unknown."""
    found = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        found = [node for node in found if node.name and node.name.value == name]
    if len(found) != 1:
        text = (
            f"the document has no operation «{name}»"
            if name is not None
            else "the document has several operations; name one in operationName"
        )
        raise GraphQLError(text, extensions={"code": "OPERATION_NOT_FOUND"})
    return found[0]
