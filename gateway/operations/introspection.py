"""The schema's own description, asked for as GraphQL has it. It is the same for everybody, so it is made once for a document, beside the event
loop, one at a time; and no operation may ask for much more than all of it."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from graphql import ExecutionResult, OperationDefinitionNode, get_introspection_query, parse, print_ast

from gateway.engine import Operation as EngineOperation
from gateway.operations.limits import Cost, Measure, refused
from gateway.operations.sizes import Lists

KEPT = 8  # answers; the whole schema's is near a megabyte
BESIDE = 2000  # how much of it may be asked for beside something else, which is never kept


class Introspection:
    """Answers of one gateway process, by the text of the operation without its blanks and comments, and its variables."""

    def __init__(self, lists: Lists) -> None:
        self._lists, self._lock = lists, asyncio.Lock()
        self._kept: OrderedDict[str, ExecutionResult] = OrderedDict()

    @cached_property
    def most(self) -> int:
        """A quarter more than what the usual tools ask for."""
        document = parse(get_introspection_query(descriptions=True, specified_by_url=True, directive_is_repeatable=True,
                                                 schema_description=True, input_value_deprecation=True))  # fmt: skip
        operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        return Cost(self._lists, document, operation).of({}).schema * 5 // 4

    def check(self, measure: Measure, *, alone: bool) -> None:
        """Refuse an operation that asks for too much of the schema. Raises GraphQLError."""
        if measure.schema > self.most:
            raise refused("introspection", measure.schema, self.most, "ask for the schema once, in an operation of its own")
        if measure.schema > BESIDE and not alone:
            raise refused("introspection", measure.schema, BESIDE, "ask for the schema in an operation of its own")

    async def answer(self, operation: EngineOperation, variables: Mapping[str, Any]) -> ExecutionResult:
        """The answer to an operation that asks for nothing else: the one that was kept, or it is made in a thread."""
        named = {node.variable.name.value for node in operation.node.variable_definitions or ()}
        given = {name: value for name, value in variables.items() if name in named}
        name = operation.node.name.value if operation.node.name else ""
        key = json.dumps([print_ast(operation.document), name, given], sort_keys=True, default=str)
        async with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = await asyncio.to_thread(operation.describe, given)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
        return found
