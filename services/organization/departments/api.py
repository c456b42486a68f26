"""DepartmentService."""

from __future__ import annotations

from functools import partial

from crm.organization.v1 import department_events_pb2, department_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.departments import actions
from services.organization.departments.store import Departments


def service(departments: Departments) -> Service:
    """The handlers of departments."""
    descriptor = department_service_pb2.DESCRIPTOR.services_by_name["DepartmentService"]
    noun = Noun(departments, descriptor, department_events_pb2, prepare=partial(actions.place, departments))
    return noun.serve(ArchiveDepartment=partial(actions.archive, departments))
