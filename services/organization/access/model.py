"""The policy as it is shipped: who may do what, how far, and which fields are masked. Data, read top to bottom.

Every record belongs to a family, which its contract names; a role says how far it reaches in each. A line of a single resource counts in
place of its family's. What is granted and no contract has is left out (`policy`), which makes of this page what departments enforce; the
roles become records (`roles`), and those are what counts at run time.

| family | what is in it |
|---|---|
| customer side | customers, and what hangs on them: contacts, notes, the timeline |
| audiences | segments |
| sales work · sales set-up | opportunities, orders · products, pipelines |
| marketing work | campaigns, their messages, what is known of the market |
| support work · knowledge | tickets, replies · articles |
| organization set-up · sharing | people, departments, roles · what departments show to each other |
| integration | keys, identity providers, webhooks |
| personal | sessions |
"""

from __future__ import annotations

OWN, TEAM, DEPARTMENT, BELOW, ALL = "OWN", "TEAM", "DEPARTMENT", "DEPARTMENT_AND_BELOW", "ALL"

Rights = dict[str, dict[str, str]]
NOTHING: dict[str, str] = {}
EDIT = ("read", "create", "update", "archive")
EVERY_ACTION = (*EDIT, "assign", "import", "record", "vote", "password", "absence", "rotate", "erase", "merge", "unmerge")
# What services and tools do, and no person.
OF_SERVICES = ("republish", "retry", "drop", "reconcile")
# What administrators and tools do, and services do not.
OF_ADMINISTRATORS = ("rebuild",)
# Actions that no method asks for by its policy, but some code by name.
ADDED_ACTIONS = {"graph": ("read",), "role_definitions": ("assign",), "directory": ("read",)}


def rights(scope: str, *actions: str) -> dict[str, str]:
    """The actions, all as far as the scope."""
    return dict.fromkeys(actions, scope)


def read(scope: str, *more: str) -> dict[str, str]:
    """To read, and what else is named."""
    return rights(scope, "read", *more)


def edit(scope: str, *more: str) -> dict[str, str]:
    """To read, make, change and archive, and what else is named."""
    return rights(scope, *EDIT, *more)


# What everybody may.
PERSON: Rights = {
    "organization set-up": read(ALL), "sales set-up": read(ALL), "knowledge": read(ALL), "grants": read(ALL), "histories": read(ALL),
    "records": read(ALL),
    "people": {"read": ALL, "password": OWN, "absence": OWN}, "personal": read(OWN, "update"), "explanations": read(OWN),
    "jobs": read(OWN, "create", "update"),
    "preferences": read(OWN, "update"), "stars": read(OWN, "update"),
    "attachments": read(ALL, "update"),  # what somebody may is their right to the record
}  # fmt: skip

ROLES: dict[str, Rights] = {
    "SALES_REP": {
        "customer side": edit(OWN), "sales work": edit(OWN), "audiences": read(DEPARTMENT), "marketing work": read(ALL),
        "campaign_messages": read(OWN), "support work": read(OWN),
    },
    "SALES_LEAD": {
        "customer side": edit(TEAM, "assign", "merge", "unmerge"), "sales work": edit(TEAM, "assign"), "audiences": edit(BELOW), "marketing work": read(ALL),
        "campaign_messages": read(TEAM), "support work": read(TEAM), "sales set-up": edit(ALL), "sharing": read(ALL),
    },
    "MARKETER": {
        "customer side": read(ALL), "notes": NOTHING, "audiences": edit(BELOW, "assign"), "marketing work": edit(BELOW, "assign"),
        "campaign_messages": read(ALL, "record"), "tickets": read(ALL),
    },
    "SUPPORT_AGENT": {
        "customer side": read(ALL), "contacts": edit(ALL), "notes": edit(ALL), "sales work": read(ALL), "marketing work": read(ALL),
        "support work": edit(BELOW), "tickets": edit(BELOW, "assign"), "knowledge": edit(ALL),
    },
    "MARKETING_LEAD": {
        "customer side": read(ALL), "notes": NOTHING, "audiences": edit(ALL, "assign"), "marketing work": edit(ALL, "assign", "record"),
        "sales work": read(ALL), "tickets": read(ALL), "sharing": read(ALL),
    },
    "SUPPORT_LEAD": {
        "customer side": read(ALL), "contacts": edit(ALL), "notes": edit(ALL), "sales work": read(ALL), "marketing work": read(ALL),
        "support work": edit(ALL, "assign"), "knowledge": edit(ALL), "sharing": read(ALL),
    },
    # Sees the customers of the own tickets, for that work opens them.
    "FIELD_ENGINEER": {
        "customer side": read(OWN), "notes": read(OWN, "create", "update"), "orders": read(OWN), "support work": edit(OWN),
    },
    "MANAGER": {
        "customer side": read(ALL), "audiences": read(ALL), "sales work": read(ALL), "marketing work": read(ALL), "support work": read(ALL),
        "sharing": read(ALL),
    },
    "COORDINATOR": {
        "customer side": edit(ALL, "assign", "import", "erase", "merge", "unmerge"), "audiences": edit(ALL, "assign"), "sales work": edit(ALL, "assign", "import"),
        "sales set-up": edit(ALL, "import"), "marketing work": edit(ALL, "assign", "import", "record"),
        "support work": edit(ALL, "assign", "import"), "knowledge": edit(ALL, "import", "vote"), "sharing": read(ALL), "disclosures": read(ALL),
        "exchange_rates": edit(ALL, "import"), "fiscal_calendars": edit(ALL, "import"),
        "work_calendars": edit(ALL, "import"),
        "jobs": read(ALL, "create", "update"), "numbering_rules": read(ALL, "update"),
    },
    "ADMINISTRATOR": {
        "organization set-up": rights(ALL, *EVERY_ACTION), "people": rights(ALL, *EVERY_ACTION), "integration": rights(ALL, *EVERY_ACTION),
        "sharing": edit(ALL), "personal": read(ALL, "update"), "explanations": read(ALL), "graph": read(ALL),
        "jobs": read(ALL, "create", "update", "rebuild"), "numbering_rules": read(ALL),
    },
}  # fmt: skip

# Who reads much to see the whole needs no number to call.
FIELDS: dict[str, dict[str, dict[str, str]]] = {
    "MANAGER": {"customers": {"phone": "MASKED", "email": "MASKED"}, "contacts": {"phone": "MASKED", "email": "MASKED"}},
}

TITLES = {
    "SALES_REP": "销售代表", "SALES_LEAD": "销售主管", "MARKETER": "市场专员", "MARKETING_LEAD": "市场主管", "SUPPORT_AGENT": "客服专员",
    "SUPPORT_LEAD": "客服主管", "FIELD_ENGINEER": "现场工程师", "MANAGER": "管理层", "COORDINATOR": "CRM协调员", "ADMINISTRATOR": "系统管理员",
}  # fmt: skip

# What is somebody's own and no work: a deputy does not take it over. Of other resources, single rights that nobody lends.
PERSONAL_FAMILIES = ("organization set-up", "sharing", "integration", "personal")
PERSONAL = ("grants", "explanations", "graph", "directory", "disclosures", "jobs", "preferences", "stars", "customers.erase")

# What services need beside what they own.
SERVICES: dict[str, Rights] = {
    "organization": {"grants": read(ALL), "explanations": read(ALL), "histories": read(ALL)},
    "customer": {}, "sales": {}, "support": {},
    # A campaign's audience is the members of a segment and their contacts; whoever complains urgently is left in peace.
    "marketing": {"segments": read(ALL), "customers": read(ALL), "contacts": read(ALL), "tickets": read(ALL)},
}  # fmt: skip
EVERY_DEPARTMENT: Rights = {"directory": read(ALL), "checkpoints": rights(ALL, "record"), "facts": read(ALL, "republish")}
TOOL: Rights = {
    "grants": read(ALL), "explanations": read(ALL), "histories": read(ALL), "records": read(ALL), "directory": read(ALL), "audits": read(ALL),
    "checkpoints": read(ALL), "attachments": read(ALL, "update"),
    "jobs": read(ALL, "create", "update", "rebuild"), "signing_keys": rights(ALL, "rotate"), "parked_events": read(ALL, "retry", "drop", "reconcile"),
}  # fmt: skip
