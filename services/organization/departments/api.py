"""DepartmentService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.departments import actions
from services.organization.departments.store import Departments
from services.organization.work_calendars.store import WorkCalendars


def service(departments: Departments, calendars: WorkCalendars) -> Service:
    """The handlers of departments."""
    noun = Noun(departments, prepare=partial(actions.place, departments), refers=(calendars,))
    return noun.serve(ArchiveDepartment=partial(actions.archive, departments))
