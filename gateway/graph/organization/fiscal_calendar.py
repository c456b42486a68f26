"""Where a day lies in a unit's fiscal years."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import fiscal_calendar_pb2

from gateway.graph.contract import finish, output_class
from gateway.graph.noun import NOUNS
from gateway.graph.questions import question


def queries() -> dict[str, Any]:
    """The fiscal week, period, quarter and year of a day, and a fiscal year as a whole."""
    noun = NOUNS["FiscalCalendar"]
    day = finish(output_class(fiscal_calendar_pb2.FiscalDay.DESCRIPTOR))
    year = finish(output_class(fiscal_calendar_pb2.FiscalYear.DESCRIPTOR))
    return {
        "fiscalDay": question("organization", noun.method("GetFiscalDay"), day | None, lambda answer: answer.fiscal_day),
        "fiscalYear": question("organization", noun.method("GetFiscalYear"), year | None, lambda answer: answer.fiscal_year),
    }
