"""The indexes of a noun's collection, and what a duplicate in one of them is called. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.descriptor import Descriptor
from pymongo import ASCENDING, IndexModel

from chassis.kernel.pages import Sort


def indexes_of(
    descriptor: Descriptor, sorts: Mapping[str, Sort], parents: Sequence[str], owners: Sequence[str], unique: Sequence[str]
) -> list[IndexModel]:
    """One for each order, each field by which edges ask, each owner field where records have owners, and each unique path."""
    models = [IndexModel(sort.keys, name=f"by_{name.lower()}") for name, sort in sorts.items()]
    default = next(iter(sorts.values()))
    models += [IndexModel([(parent, ASCENDING), *default.keys], name=f"by_{parent}") for parent in parents]
    if "owner_id" in descriptor.fields_by_name:
        models += [IndexModel([(name, ASCENDING), *default.keys], name=f"by_{name}") for name in owners]
    if "source_key" in descriptor.fields_by_name:
        models.append(_unique_index("source_key"))
    return models + [_unique_index(path) for path in unique]


def indexes_back(paths: Iterable[str], sorts: Mapping[str, Sort]) -> list[IndexModel]:
    """One for each field by which edges come back. Their names are their own: a store may have had an index on the field alone."""
    default = next(iter(sorts.values()), None)
    return [IndexModel([(path, ASCENDING), *default.keys], name=f"back_by_{path}") for path in paths] if default else []


def duplicate_codes(unique: Mapping[str, str], paths: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name of each unique index → (code, field) of the refusal. `paths` says where a field is indexed."""
    return {f"unique_{paths[name]}": (code, name) for name, code in unique.items()} | {
        "unique_source_key": ("ALREADY_EXISTS", "source_key")
    }


def _unique_index(path: str) -> IndexModel:
    return IndexModel([(path, ASCENDING)], name=f"unique_{path}", unique=True, partialFilterExpression={path: {"$exists": True}})
