"""Whose a record is: who makes it in whose name, who may give it away, and to whom the open work of somebody goes who has left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor

from chassis.access.caller import Reach, refused
from chassis.kernel.errors import NotFound
from chassis.rpc.call import Call
from chassis.rpc.contract import Contract

Document = dict[str, Any]
OWNER_FIELDS = ("owner_id", "team_id", "department_id")


class Owned(ABC):
    """The part of a store that knows owners. `work` are the states in which a record is open work."""

    descriptor: Descriptor
    contract: Contract
    noun: str
    resource: str
    work: frozenset[str]
    archivable: bool

    @abstractmethod
    def reach(self, call: Call, action: str) -> Reach:
        """How far the caller's right to an action on these records reaches."""

    def set_owner(self, call: Call, document: Document, owner_id: str, field: str = "owner_id") -> None:
        """Make a person the owner, with the team and department that decide scope. `field` names them in a refusal."""
        member = call.directory.members.get(owner_id)
        if member is None or not member.active:
            params = {"rule": "person.inactive", "id": owner_id}
            words = f"there is no active person «{owner_id}»; choose another one"
            raise NotFound(words, code="REFERENCE_NOT_FOUND", field=field, params=params)
        document |= {"owner_id": owner_id, "team_id": member.team_id, "department_id": member.department_id}
        for name in [name for name in OWNER_FIELDS if not document[name]]:
            document[name] = None

    def may_move(self, call: Call, before: Document, after: Document) -> None:
        """Refuse to give a record to another owner, team or department without the right to assign it, by whatever door.

        What nobody assigns (an order, what follows its customer) moves by import alone, within its reach.
        """
        if all(before.get(name) == after.get(name) for name in OWNER_FIELDS):
            return
        service = self.contract.service
        assigned = service is not None and f"Assign{self.noun}" in service.methods_by_name
        if not self.reach(call, "assign" if assigned else "import").admits(before if assigned else after):
            raise refused(self.resource, "assign")

    def is_open(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is work still to be done, as the contract declares it."""
        return document.get("state") in self.work and not document.get("archive_time")

    def strays(self, people: Sequence[str]) -> Document:
        """The filter of these people's open work."""
        return {
            "owner_id": {"$in": list(people)},
            "state": {"$in": sorted(self.work)},
            **({"archive_time": None} if self.archivable else {}),
        }

    def _hold(self, call: Call, document: Document) -> None:
        """No work stays with somebody who has left, whatever wakes or makes it: it goes to who comes after them."""
        owner = document.get("owner_id", "")
        if owner and self.is_open(document) and call.directory.has_left(owner):
            found = call.directory.substitute(owner, call.now)
            if found:
                self.set_owner(call, document, found)
                for name in [name for name in OWNER_FIELDS if document[name] is None]:
                    del document[name]

    def _admit(self, call: Call, action: str, document: Document, *, inherited: bool) -> None:
        reach = self.reach(call, action)
        if "owner_id" in self.descriptor.fields_by_name and not inherited:
            if document.get("owner_id"):
                self.set_owner(call, document, document["owner_id"])
            elif not call.caller.is_service:
                caller = call.caller
                document |= {"owner_id": caller.person_id, "team_id": caller.team_id or None, "department_id": caller.department_id or None}
        for name in [name for name in OWNER_FIELDS if document.get(name) is None]:
            document.pop(name, None)
        # Who works with a customer adds to what follows its owner; to make something in another person's name takes a role that reaches them.
        own = "owner_id" in self.descriptor.fields_by_name and not inherited
        admitted = any(ground.by_role(document) for ground in reach.grounds) if own else reach.admits(document)
        if not admitted:
            raise refused(self.resource, action)
        call.deputy_for[document["_id"]] = reach.deputy_for(document)
