"""SharingContractService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.sharing_contracts import actions
from services.organization.sharing_contracts.store import SharingContracts


def service(contracts: SharingContracts, departments: Departments) -> Service:
    """The handlers of sharing contracts."""
    noun = Noun(contracts, actions.check, partial(actions.between, departments))
    return noun.serve(
        CreateSharingContract=partial(actions.create, noun),
        UpdateSharingContract=partial(actions.update, noun),
        RestoreSharingContract=partial(actions.restore, noun),
    )
