"""The committed schema: `python -m cli.schema` writes it, `--check` fails when it differs from the code."""

from __future__ import annotations

import sys
from pathlib import Path

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


if __name__ == "__main__":
    main()
