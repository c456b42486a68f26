"""The policy as it is shipped: who may do what, how far, and which fields are masked. Data, read top to bottom; enforced by every
department with the chassis. The roles become records (`roles`), and those are what counts at run time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

OWN, TEAM, DEPARTMENT, BELOW, ALL = "OWN", "TEAM", "DEPARTMENT", "DEPARTMENT_AND_BELOW", "ALL"

Rights = dict[str, dict[str, str]]


def rights(scope: str, *actions: str) -> dict[str, str]:
    """The actions, all as far as the scope."""
    return dict.fromkeys(actions, scope)


EDIT = ("read", "create", "update", "archive")
LOOK_UP = {
    name: rights(ALL, "read")
    for name in ("people", "departments", "grants", "role_definitions", "products", "pipelines", "articles", "histories")
}
MYSELF: Rights = {
    "sessions": rights(OWN, "read", "update"), "people": {"read": ALL, "password": OWN, "absence": OWN}, "explanations": rights(OWN, "read"),
}  # fmt: skip
PERSON: Rights = LOOK_UP | MYSELF
# What departments show to each other: for those who answer for one.
_CONTRACTS: Rights = {"sharing_contracts": rights(ALL, "read")}


def _customer_side(scope: str, *actions: str) -> Rights:
    """Customers and what hangs on them."""
    return {name: rights(scope, *actions) for name in ("customers", "contacts", "notes")} | {"timeline_entries": rights(scope, "read")}


_OTHERS_WORK: Rights = {name: rights(ALL, "read") for name in ("campaigns", "campaign_messages", "tickets", "ticket_replies")}

_COORDINATED: dict[str, tuple[str, ...]] = {
    "segments": ("assign",), "products": ("import",), "pipelines": ("import",), "opportunities": ("assign", "import"), "orders": ("import",),
    "campaigns": ("assign", "import"), "campaign_messages": ("record", "import"), "tickets": ("assign", "import"), "ticket_replies": ("import",),
    "articles": ("import", "vote"),
}  # fmt: skip

ROLES: dict[str, Rights] = {
    "SALES_REP": PERSON
    | _customer_side(OWN, *EDIT)
    | _OTHERS_WORK
    | {"opportunities": rights(OWN, *EDIT), "orders": rights(OWN, *EDIT), "segments": rights(DEPARTMENT, "read")},
    "SALES_LEAD": PERSON
    | _CONTRACTS
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
    "MARKETING_LEAD": PERSON
    | _CONTRACTS
    | {
        "customers": rights(ALL, "read"),
        "contacts": rights(ALL, "read"),
        "timeline_entries": rights(ALL, "read"),
        "segments": rights(ALL, *EDIT, "assign"),
        "campaigns": rights(ALL, *EDIT, "assign"),
        "campaign_messages": rights(ALL, "read", "record"),
        "opportunities": rights(ALL, "read"),
        "orders": rights(ALL, "read"),
        "tickets": rights(ALL, "read"),
    },
    "SUPPORT_LEAD": PERSON
    | _CONTRACTS
    | {
        "customers": rights(ALL, "read"),
        "contacts": rights(ALL, *EDIT),
        "notes": rights(ALL, *EDIT),
        "timeline_entries": rights(ALL, "read"),
        "opportunities": rights(ALL, "read"),
        "orders": rights(ALL, "read"),
        "campaigns": rights(ALL, "read"),
        "campaign_messages": rights(ALL, "read"),
        "tickets": rights(ALL, *EDIT, "assign"),
        "ticket_replies": rights(ALL, *EDIT),
        "articles": rights(ALL, *EDIT),
    },
    # Sees the customers of the own tickets, for that work opens them.
    "FIELD_ENGINEER": PERSON
    | {name: rights(OWN, "read") for name in ("customers", "contacts", "timeline_entries", "orders")}
    | {"notes": rights(OWN, "read", "create", "update"), "tickets": rights(OWN, *EDIT), "ticket_replies": rights(OWN, *EDIT)},
    "MANAGER": PERSON
    | _CONTRACTS
    | {
        name: rights(ALL, "read")
        for name in (
            "customers",
            "contacts",
            "notes",
            "timeline_entries",
            "segments",
            "opportunities",
            "orders",
            "campaigns",
            "campaign_messages",
            "tickets",
            "ticket_replies",
        )
    },
    "COORDINATOR": PERSON
    | _CONTRACTS
    | _customer_side(ALL, *EDIT, "assign", "import")
    | {"customers": rights(ALL, *EDIT, "assign", "import", "erase"), "disclosures": rights(ALL, "read")}
    | {name: rights(ALL, *EDIT, *more) for name, more in _COORDINATED.items()}
    | {"contacts": rights(ALL, *EDIT, "import"), "notes": rights(ALL, *EDIT, "import"), "timeline_entries": rights(ALL, "read")},
    "ADMINISTRATOR": PERSON
    | {
        "people": rights(ALL, *EDIT, "password", "import", "absence"),
        "role_definitions": rights(ALL, *EDIT, "assign"),
        "sharing_contracts": rights(ALL, *EDIT),
        "explanations": rights(ALL, "read"),
        "api_keys": rights(ALL, "read", "create", "update"),
        "identity_providers": rights(ALL, *EDIT),
        "webhook_endpoints": rights(ALL, *EDIT),
        "webhook_deliveries": rights(ALL, "read", "update"),
        "webhook_sources": rights(ALL, *EDIT),
        "webhook_receipts": rights(ALL, "read"),
        "departments": rights(ALL, *EDIT, "import"),
        "sessions": rights(ALL, "read", "update"),
        "graph": rights(ALL, "read"),
    },
}

# Who reads much to see the whole needs no number to call.
FIELDS: dict[str, dict[str, dict[str, str]]] = {
    "MANAGER": {
        "customers": {"phone": "MASKED", "email": "MASKED"},
        "contacts": {"phone": "MASKED", "email": "MASKED"},
    },
}

TITLES = {
    "SALES_REP": "销售代表", "SALES_LEAD": "销售主管", "MARKETER": "市场专员", "MARKETING_LEAD": "市场主管", "SUPPORT_AGENT": "客服专员",
    "SUPPORT_LEAD": "客服主管", "FIELD_ENGINEER": "现场工程师", "MANAGER": "管理层", "COORDINATOR": "CRM协调员", "ADMINISTRATOR": "系统管理员",
}  # fmt: skip

EVERY_ACTION = (*EDIT, "assign", "import", "record", "vote", "password", "absence", "rotate", "erase")
# What services and tools do, and no person.
OF_SERVICES = ("republish", "retry", "drop", "reconcile")
# Actions that no method asks for by its policy, but some code by name.
ADDED_ACTIONS = {"graph": ("read",), "role_definitions": ("assign",), "directory": ("read",)}
# What is somebody's own and no work: a deputy does not take it over.
PERSONAL = (
    "people", "api_keys", "identity_providers", "departments", "sessions", "grants", "role_definitions", "sharing_contracts", "explanations", "graph",
    "directory", "webhook_endpoints", "webhook_deliveries", "webhook_sources", "webhook_receipts",
)  # fmt: skip
_OWNED_BY_SERVICE = {
    "organization": (
        "people",
        "departments",
        "sessions",
        "grants",
        "role_definitions",
        "explanations",
        "histories",
        "api_keys",
        "identity_providers",
        "sharing_contracts",
        "webhook_endpoints",
        "webhook_deliveries",
        "webhook_sources",
        "webhook_receipts",
    ),
    "customer": ("customers", "contacts", "notes", "timeline_entries", "segments"),
    "sales": ("products", "pipelines", "opportunities", "orders"),
    "marketing": ("campaigns", "campaign_messages"),
    "support": ("tickets", "ticket_replies", "articles"),
}
_EVERYTHING = tuple(name for names in _OWNED_BY_SERVICE.values() for name in names)

SERVICES: dict[str, Rights] = {
    f"service-{service}": {name: rights(ALL, *EVERY_ACTION) for name in names}
    | {"directory": rights(ALL, "read"), "checkpoints": rights(ALL, "record"), "facts": rights(ALL, "read", "republish")}
    for service, names in _OWNED_BY_SERVICE.items()
}
# A campaign's audience is the members of a segment and their contacts.
SERVICES["service-marketing"] |= {name: rights(ALL, "read") for name in ("segments", "customers", "contacts")}
SERVICES["service-cli"] = (
    {name: rights(ALL, *EVERY_ACTION) for name in _EVERYTHING}
    | {name: rights(ALL, "read") for name in ("directory", "audits", "checkpoints")}
    | {"signing_keys": rights(ALL, "rotate"), "parked_events": rights(ALL, "read", "retry", "drop", "reconcile")}
)


def grants(roles: Mapping[str, Rights]) -> Iterator[tuple[str, str, str, str]]:
    """Every (role, resource, action, scope) of these roles."""
    for role, resources in sorted(roles.items()):
        for resource, actions in sorted(resources.items()):
            for action, scope in sorted(actions.items()):
                yield role, resource, action, scope
