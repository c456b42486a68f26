"""People who come, are given work, and leave in the midst of it: nothing open may stay with somebody who is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.graph.contract import to_global
from tests.chaos.workers import Worker

MOST_HERE = 4


class Leavers(Worker):
    """Coordinators hand work to newcomers; an administrator lets them in, and lets the eldest go."""

    def _choice(self) -> tuple[str, dict[str, Any]] | None:
        here = len(self.known["Person"])
        choices: list[tuple[int, Callable[[], tuple[str, dict[str, Any]] | None]]] = [
            (3, self._customer), (3, self._opportunity), (2, self._ticket), (6, self._hand_over), (6 if here < MOST_HERE else 0, self._come),
            (2 if here else 0, self._leave),
        ]  # fmt: skip
        made = self.dice.choices([make for _, make in choices], [weight for weight, _ in choices])[0]()
        self.role = "ADMINISTRATOR" if made and made[0].startswith("person") else "COORDINATOR"
        return made

    def _come(self) -> tuple[str, dict[str, Any]]:
        name, unit = self._tag(), self.stack.units
        placed = {"homeDepartmentId": to_global("Department", unit["sales"]), "homeTeamId": to_global("Department", unit["sales-team"])}
        return "personCreate", {"name": name, "email": f"{name}@example.com", "roles": ["SALES_REP"], **placed}

    def _leave(self) -> tuple[str, dict[str, Any]]:
        person = self.known["Person"].pop(0)
        return "personDeactivate", {"personId": person["id"], "version": person["version"]}

    def _hand_over(self) -> tuple[str, dict[str, Any]] | None:
        noun = self.dice.choice(("Customer", "Opportunity", "Ticket"))
        record, person = self._any(noun), self._any("Person")
        if record is None or person is None:
            return None
        field = noun[0].lower() + noun[1:]
        return f"{field}Assign", {f"{field}Id": record["id"], "ownerId": person["id"], "version": record["version"]}

    def _remember(self, noun: str, record: dict[str, Any]) -> None:
        if noun != "Person" or record["version"] == 1:  # who left is not known any more
            super()._remember(noun, record)
