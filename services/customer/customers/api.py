"""CustomerService."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from crm.customer.v1 import customer_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.handlers import answer
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from chassis.storage.finding import Finder
from chassis.storage.records import Records
from services.customer.customers import actions, erasure, model
from services.customer.customers.store import Customers


def service(customers: Customers, hanging: Sequence[Records]) -> Service:
    """The handlers of customers. `hanging` are the records that hang on them in this department."""
    noun = Noun(
        customers,
        model.check,
        partial(actions.place, customers),
        permitted=partial(actions.permitted, customers),
        states={"MoveCustomerLifecycle": (customers.in_use,)},
    )
    finder = Finder([customers, *hanging])

    @handler
    async def search(call: Call, request: Any) -> Any:
        found = await finder.find(call, request.query, resources=[customers.resource], size=request.page_size)
        return customer_service_pb2.SearchCustomersResponse(customers=[to_message(hit.document, customers.descriptor) for hit in found])

    @handler
    async def get(call: Call, request: Any) -> Any:
        found, _ = await customers.with_survivors(call, [request.customer_id], request.read_mask.paths)
        if not found:
            raise customers.absent(request.customer_id)
        return answer(noun.service.methods_by_name["GetCustomer"], next(iter(found.values())))

    @handler
    async def batch_get(call: Call, request: Any) -> Any:
        found, leads = await customers.with_survivors(call, request.ids, request.read_mask.paths)
        return customer_service_pb2.BatchGetCustomersResponse(
            customers=[to_message(document, customers.descriptor) for document in found.values()], resolved_ids=leads,
            missing_ids=[identity for identity in dict.fromkeys(request.ids) if leads.get(identity, identity) not in found],
        )  # fmt: skip

    return noun.serve(
        GetCustomer=get,
        BatchGetCustomers=batch_get,
        SearchCustomers=search,
        EraseCustomer=partial(erasure.erase, customers, hanging),
        AssignCustomer=partial(actions.assign, customers),
        ArchiveCustomer=partial(actions.archive, customers),
        MoveCustomerLifecycle=partial(actions.move_lifecycle, customers),
    )
