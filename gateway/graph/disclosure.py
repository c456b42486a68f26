"""What is kept about a customer, in every department: for the person whom it is about."""

from __future__ import annotations

import asyncio
from typing import Any

import strawberry
from crm.common.v1 import disclosure_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.access import lines_of_record
from gateway.graph.arguments import signed
from gateway.graph.contract import finish, from_global, output_class
from gateway.graph.judged import by

_DISCLOSURES = disclosure_service_pb2.DESCRIPTOR.services_by_name["DisclosureService"]
_DEPARTMENTS = ("customer", "sales", "marketing", "support")


def queries() -> dict[str, Any]:
    """The top-level field."""
    return {"customerDisclosure": _disclosure(), "personalDataReads": _reads()}


def _disclosure() -> Any:
    place = finish(output_class(disclosure_service_pb2.DisclosedPlace.DESCRIPTOR))

    async def resolve(info: Info, customer_id: strawberry.ID) -> Any:
        context: Context = info.context

        async def ask(department: str, identity: str) -> list[Any]:
            request = disclosure_service_pb2.DiscloseSubjectRequest(customer_id=identity)
            try:
                answer = await context.clients.read(department, _DISCLOSURES, "DiscloseSubject", request, context.token, context.request_id)
            except CrmError as error:  # what is not whole is none: the person would believe that there is no more
                raise field_error(error, department) from None
            return list(answer.places)

        try:
            identity = from_global(str(customer_id), "Customer", "customerId")[1]
        except CrmError as error:
            raise field_error(error, "gateway") from None
        found = await asyncio.gather(*(ask(department, identity) for department in _DEPARTMENTS))
        return [each for places in found for each in places]

    words = "Every place of every department that keeps something about a customer, with what it says (个人信息查阅). Whole, or an error."
    shape: Any = list[place] | None  # type: ignore[valid-type]
    judged = by(_DISCLOSURES.methods_by_name["DiscloseSubject"])
    return strawberry.field(resolver=signed(resolve, {"customer_id": (strawberry.ID, ...)}, shape), description=words, metadata=judged)


def _reads() -> Any:
    words = "Who read personal data of a record unmasked, the newest first: which fields, when, and what for (查阅记录)."
    method = _DISCLOSURES.methods_by_name["ListPersonalDataReads"]
    return lines_of_record(method, disclosure_service_pb2.PersonalDataRead.DESCRIPTOR, words)
