"""Composition root of the customer department: the only file that knows every part. Tests build the service with it too."""

from __future__ import annotations

from chassis.rpc.channels import Channel
from chassis.runtime.department import Department
from chassis.runtime.foundation import Foundation
from chassis.storage.aliases import index_of_alias
from services.customer.accesses import reactions as access_reactions
from services.customer.accesses.store import WORK, WORK_INDEX, Accesses
from services.customer.contacts import api as contacts_api
from services.customer.contacts import reactions as contact_reactions
from services.customer.contacts.store import Contacts
from services.customer.customers import api as customers_api
from services.customer.customers.store import Customers
from services.customer.merges import api as merges_api
from services.customer.merges.places import places
from services.customer.merges.store import Merges
from services.customer.notes import api as notes_api
from services.customer.notes.store import Notes
from services.customer.segments import api as segments_api
from services.customer.segments import reactions as segment_reactions
from services.customer.segments.migrations import first_flips
from services.customer.segments.store import Segments
from services.customer.settings import Settings
from services.customer.timeline import api as timeline_api
from services.customer.timeline import reactions as timeline_reactions
from services.customer.timeline.store import Timeline


def build(settings: Settings) -> Department:
    """The department, not yet started."""
    base = Foundation.of("customer", settings)
    owners = [Channel(name, address, settings.identity) for name, address in settings.owners.items()]
    customers, contacts, notes, merges = Customers(), Contacts(), Notes(), Merges()
    segments = Segments(customers)
    timeline = Timeline(notes, segments)
    department = base.department(
        settings,
        services=[
            customers_api.service(customers, [contacts, notes, merges]),
            contacts_api.service(contacts, customers),
            notes_api.service(notes, customers),
            merges_api.service(merges, customers),
            timeline_api.service(timeline),
            segments_api.service(segments, customers),
        ],
        callers=["organization", "sales", "marketing", "support"],
        owners=owners,
        stores=[segments.members],
    )
    department.closing = [*department.closing, *(channel.close for channel in owners)]
    department.indexes = {WORK: [WORK_INDEX, index_of_alias("customer_id")]}
    department.timers = [segment_reactions.time_passing(segments, customers)]
    department.migrations = [first_flips(segments, settings.time_zone)]
    accesses = Accesses()
    department.places = places(accesses)
    department.models = [timeline_reactions.model(timeline), access_reactions.model(accesses)]
    department.reactions += [
        *access_reactions.reactions(accesses),
        *contact_reactions.reactions(contacts),
        *timeline_reactions.reactions(timeline),
        *segment_reactions.reactions(segments, customers, department.own_call),
    ]
    return department
