"""SharingContractService."""

from __future__ import annotations

from functools import partial

from crm.organization.v1 import sharing_contract_events_pb2, sharing_contract_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.sharing_contracts import actions
from services.organization.sharing_contracts.store import SharingContracts


def service(contracts: SharingContracts, departments: Departments) -> Service:
    """The handlers of sharing contracts."""
    descriptor = sharing_contract_service_pb2.DESCRIPTOR.services_by_name["SharingContractService"]
    noun = Noun(contracts, descriptor, sharing_contract_events_pb2, actions.check, partial(actions.between, departments))
    return noun.serve(
        CreateSharingContract=partial(actions.create, noun),
        UpdateSharingContract=partial(actions.update, noun),
        RestoreSharingContract=partial(actions.restore, noun),
    )
