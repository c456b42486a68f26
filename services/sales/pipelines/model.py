"""A pipeline: its stages, and what they say about an opportunity. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid

Document = dict[str, Any]


def check(pipeline: Document) -> None:
    """Refuse two stages of one key, and a pipeline without stages."""
    keys = [stage["key"] for stage in pipeline.get("stages", [])]
    if not keys:
        raise Invalid("a pipeline needs 1 to 20 stages; give at least one", field="stages")
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise Invalid(f"two stages have the key «{twice}»; give each its own", field="stages")


def stage(pipeline: Document, key: str) -> Document:
    """The stage of a key; refuses an unknown one and names those that there are."""
    for found in pipeline["stages"]:
        if found["key"] == key:
            return dict(found)
    known = ", ".join(found["key"] for found in pipeline["stages"])
    raise Invalid(f"the pipeline has no stage «{key}»; its stages are {known}", code="STAGE_UNKNOWN", field="stage_key")


def gone(before: Document, after: Document) -> set[str]:
    """Keys of the stages that a change takes away."""
    return {stage["key"] for stage in before["stages"]} - {stage["key"] for stage in after["stages"]}
