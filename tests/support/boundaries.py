"""A contract of `make boundaries`: no module imports itself by way of others, whatever package they are in."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any

from importlinter.application import output
from importlinter.domain.contract import Contract, ContractCheck


class Acyclic(Contract):
    """`type = "acyclic"`: imports between modules have a direction; those for type checking alone count too."""

    type_name = "acyclic"

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        """Broken by the first circle; its modules are in the report."""
        try:
            TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"circle": error.args[1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """The circle, and what to do."""
        output.print_error(" → ".join(reversed(check.metadata["circle"])))
        output.print_error("These import each other; move what both need below both, or let the lower one name it by a Protocol.")
