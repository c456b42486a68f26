"""The first policy: who may do what, how far. Data, read top to bottom; enforced by every department with the chassis."""

from __future__ import annotations

from collections.abc import Iterator

OWN, TEAM, DEPARTMENT, BELOW, ALL = "OWN", "TEAM", "DEPARTMENT", "DEPARTMENT_AND_BELOW", "ALL"

Rights = dict[str, dict[str, str]]


def rights(scope: str, *actions: str) -> dict[str, str]:
    """The actions, all as far as the scope."""
    return dict.fromkeys(actions, scope)


EDIT = ("read", "create", "update", "archive")
LOOK_UP = {name: rights(ALL, "read") for name in ("people", "departments", "grants", "products", "pipelines", "articles")}
MYSELF: Rights = {"sessions": rights(OWN, "read", "update"), "people": {"read": ALL, "password": OWN}}
PERSON: Rights = LOOK_UP | MYSELF


def _customer_side(scope: str, *actions: str) -> Rights:
    """Customers and what hangs on them."""
    return {name: rights(scope, *actions) for name in ("customers", "contacts", "notes")} | {"timeline_entries": rights(scope, "read")}


_OTHERS_WORK: Rights = {name: rights(ALL, "read") for name in ("campaigns", "campaign_messages", "tickets", "ticket_replies")}

ROLES: dict[str, Rights] = {
    "SALES_REP": PERSON
    | _customer_side(OWN, *EDIT)
    | _OTHERS_WORK
    | {"opportunities": rights(OWN, *EDIT), "orders": rights(OWN, *EDIT), "segments": rights(DEPARTMENT, "read")},
    "SALES_LEAD": PERSON
    | _customer_side(TEAM, *EDIT, "assign")
    | _OTHERS_WORK
    | {
        "opportunities": rights(TEAM, *EDIT, "assign"),
        "orders": rights(TEAM, *EDIT),
        "segments": rights(BELOW, *EDIT),
        "products": rights(ALL, *EDIT),
        "pipelines": rights(ALL, *EDIT),
    },
    "MARKETER": PERSON
    | {
        "customers": rights(ALL, "read"),
        "contacts": rights(ALL, "read"),
        "timeline_entries": rights(ALL, "read"),
        "segments": rights(BELOW, *EDIT, "assign"),
        "campaigns": rights(BELOW, *EDIT, "assign"),
        "campaign_messages": rights(ALL, "read", "record"),
        "tickets": rights(ALL, "read"),
    },
    "SUPPORT_AGENT": PERSON
    | {
        "customers": rights(ALL, "read"),
        "contacts": rights(ALL, *EDIT),
        "notes": rights(ALL, *EDIT),
        "timeline_entries": rights(ALL, "read"),
        "opportunities": rights(ALL, "read"),
        "orders": rights(ALL, "read"),
        "campaigns": rights(ALL, "read"),
        "campaign_messages": rights(ALL, "read"),
        "tickets": rights(BELOW, *EDIT, "assign"),
        "ticket_replies": rights(ALL, *EDIT),
        "articles": rights(ALL, *EDIT),
    },
    "COORDINATOR": PERSON
    | _customer_side(ALL, *EDIT, "assign", "import")
    | {
        name: rights(ALL, *EDIT, "assign", "import", "record", "vote")
        for name in (
            "segments",
            "products",
            "pipelines",
            "opportunities",
            "orders",
            "campaigns",
            "campaign_messages",
            "tickets",
            "ticket_replies",
            "articles",
        )
    },
    "ADMINISTRATOR": PERSON
    | {
        "people": rights(ALL, *EDIT, "password", "import"),
        "departments": rights(ALL, *EDIT, "import"),
        "sessions": rights(ALL, "read", "update"),
        "graph": rights(ALL, "read"),
    },
}

EVERY_ACTION = (*EDIT, "assign", "import", "record", "vote", "password")
_OWNED_BY_SERVICE = {
    "organization": ("people", "departments", "sessions", "grants"),
    "customer": ("customers", "contacts", "notes", "timeline_entries", "segments"),
    "sales": ("products", "pipelines", "opportunities", "orders"),
    "marketing": ("campaigns", "campaign_messages"),
    "support": ("tickets", "ticket_replies", "articles"),
}
_EVERYTHING = tuple(name for names in _OWNED_BY_SERVICE.values() for name in names)

SERVICES: dict[str, Rights] = {
    f"service-{service}": {name: rights(ALL, *EVERY_ACTION) for name in names} | {"directory": rights(ALL, "read")}
    for service, names in _OWNED_BY_SERVICE.items()
}
# A campaign's audience is the members of a segment and their contacts.
SERVICES["service-marketing"] |= {name: rights(ALL, "read") for name in ("segments", "customers", "contacts")}
SERVICES["service-cli"] = {name: rights(ALL, *EVERY_ACTION) for name in _EVERYTHING} | {"directory": rights(ALL, "read")}


def grants() -> Iterator[tuple[str, str, str, str]]:
    """Every (role, resource, action, scope) of the policy."""
    for role, resources in sorted((ROLES | SERVICES).items()):
        for resource, actions in sorted(resources.items()):
            for action, scope in sorted(actions.items()):
                yield role, resource, action, scope
