"""How the refusal of a file reads. Pure."""

from __future__ import annotations

from chassis.kernel.errors import Invalid


def refused(name: str, what: str, instead: str, rule: str = "file.refused") -> Invalid:
    """The refusal of a file for what it is; `rule` names its sentence in other languages."""
    return Invalid(f"«{name[:100]}» {what}; {instead}", code="FILE_TYPE_REFUSED", field="name", params={"rule": rule, "name": name[:100]})
