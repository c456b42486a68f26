"""The committed schema: `python -m cli.schema` writes it, `--check` fails when it differs from the code or breaks clients of the last release."""

from __future__ import annotations

import sys
from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes

from cli.contracts import git, last_release

TARGET = Path(__file__).resolve().parent.parent / "gateway" / "schema.graphql"


def main() -> None:
    """Write or check gateway/schema.graphql."""
    from gateway.graph.schema import build

    text = build().as_str() + "\n"
    if "--check" not in sys.argv:
        TARGET.write_text(text)
        return
    if TARGET.read_text() != text:
        sys.exit("gateway/schema.graphql differs from the code: run `make schema` and commit the difference")
    base = last_release()
    earlier = git("show", f"{base}:gateway/schema.graphql") if base else ""
    if not earlier:
        print("schema: no earlier schema to compare with", file=sys.stderr)
    elif broken := breaks(earlier, text):
        sys.exit("\n".join([*broken, f"schema: the changes above break clients of {base}; the graph grows, and deprecates with a date"]))


def breaks(earlier: str, later: str) -> list[str]:
    """What clients of the earlier schema could no longer ask, or would be answered differently; one line each."""
    changes = find_breaking_changes(build_schema(earlier), build_schema(later))
    return [f"{change.type.name}: {change.description}" for change in changes]


if __name__ == "__main__":
    main()
