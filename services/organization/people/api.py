"""PersonService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import person_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.people import actions, model
from services.organization.people.store import People
from services.organization.people.works import Works
from services.organization.roles.store import Roles
from services.organization.sessions.store import Sessions
from services.organization.work_calendars.store import WorkCalendars


def service(people: People, departments: Departments, calendars: WorkCalendars, roles: Roles, sessions: Sessions, works: Works) -> Service:
    """The handlers of people."""
    enrolled = person_service_pb2.EnrollSecondFactorResponse

    @handler
    async def enroll(call: Call, request: Any) -> Any:
        secret, uri, codes = await actions.enroll_factor(
            people, sessions, call, person_id=request.person_id, password=request.password, code=request.code
        )
        return enrolled(secret=secret, uri=uri, recovery_codes=codes)

    states = {"DeactivatePerson": (model.left,), "ReactivatePerson": (model.returned,)}
    noun = Noun(people, model.check, partial(actions.place, people, departments, roles), refers=(calendars,), states=states)
    return noun.serve(
        DeactivatePerson=partial(actions.deactivate, people, works),
        ReactivatePerson=partial(actions.reactivate, people),
        EnrollSecondFactor=enroll,
        ConfirmSecondFactor=partial(actions.confirm_factor, people),
        RemoveSecondFactor=partial(actions.remove_factor, people, sessions),
        HandOver=partial(actions.hand_over, people),
        SetAbsence=partial(actions.set_absence, people),
        SetPassword=partial(actions.set_password, people, sessions),
    )
