"""Every operation that the documents show is one of today's schema, and none asks for what is deprecated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import (
    DefinitionNode,
    DocumentNode,
    FragmentDefinitionNode,
    NoDeprecatedCustomRule,
    build_schema,
    parse,
    specified_rules,
    validate,
)

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((*ROOT.glob("README*.md"), *ROOT.glob("docs/how-to/*.md"), *ROOT.glob("docs/explanation/*.md")))
SCHEMA = build_schema((ROOT / "gateway" / "schema.graphql").read_text())
# Each is looked at alone, with the fragments of its block: so it may leave out its name, and does not use all of them.
RULES = [rule for rule in specified_rules if rule.__name__ != "NoUnusedFragmentsRule"] + [NoDeprecatedCustomRule]


def shown(page: Path) -> list[tuple[DefinitionNode, list[FragmentDefinitionNode]]]:
    """The operations of a page, each with the fragments beside it."""
    found: list[tuple[DefinitionNode, list[FragmentDefinitionNode]]] = []
    for block in re.findall(r"^ *```graphql\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE):
        definitions = parse(block).definitions
        fragments = [one for one in definitions if isinstance(one, FragmentDefinitionNode)]
        found += [(one, fragments) for one in definitions if not isinstance(one, FragmentDefinitionNode)]
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if "```graphql" in page.read_text()], ids=lambda page: page.name)
def test_an_operation_of_the_documents_is_one_of_the_schema(page: Path) -> None:
    for operation, fragments in shown(page):
        faults = validate(SCHEMA, DocumentNode(definitions=(operation, *fragments)), RULES)
        assert faults == [], f"{page.name}: {faults[0]}"
