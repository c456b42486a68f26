"""What the shipped roles and the services may do, line by line: `golden/grants.txt`. A change of the policy shows here, and nothing else does.

`python -m tests.contract.test_grants` writes it (part of `make schema`); read what it changes.
"""

from __future__ import annotations

from pathlib import Path

from services.organization.access.model import EVERY_ACTION
from services.organization.access.policy import grants, roles, services
from services.organization.roles import model

GOLDEN = Path(__file__).parent / "golden" / "grants.txt"


def lines() -> list[str]:
    """Every grant and every limited field."""
    found = [" ".join(line) for line in grants(roles())]
    for service, resources in services().items():
        for resource, line in resources.items():
            whole = line == dict.fromkeys(EVERY_ACTION, "ALL")
            found += [f"{service} {resource} {action} {scope}" for action, scope in ({"every action": "ALL"} if whole else line).items()]
    for role in roles():
        limited = model.delivered(role)["field_permissions"]
        found += [f"{role} {line['resource']}.{line['field']} {line['access']}" for line in limited]
    return sorted(found)


def test_the_policy_grants_what_it_granted() -> None:
    golden = GOLDEN.read_text().splitlines()
    assert lines() == golden, "a grant has changed; if it is meant, run «make schema» and commit golden/grants.txt"


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(lines()) + "\n")
