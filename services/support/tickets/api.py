"""TicketService and TicketReplyService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.remote import RemoteRecords
from chassis.rpc.service import Rule, Service
from services.support.tickets import actions, model
from services.support.tickets.store import Replies, Tickets


def service(tickets: Tickets, *others: RemoteRecords) -> Service:
    """The handlers of tickets. `others` are the records of other departments that tickets name."""
    states: dict[str, tuple[Rule, ...]] = {
        "WaitTicket": (model.may_wait,),
        "ResolveTicket": (partial(model.may_become, "RESOLVED"),),
        "ReopenTicket": (model.must_be_answered,),
        "CloseTicket": (partial(model.may_become, "CLOSED"),),
    }
    noun = Noun(tickets, model.check, actions.complete, refers=others, states=states)
    return noun.serve(
        CreateTicket=partial(actions.create, noun, tickets),
        AutoAssignTicket=partial(actions.auto_assign, tickets),
        WaitTicket=partial(actions.wait, tickets),
        ResolveTicket=partial(actions.resolve, tickets),
        ReopenTicket=partial(actions.reopen, tickets),
        CloseTicket=partial(actions.close, tickets),
    )


def replies_service(replies: Replies, tickets: Tickets) -> Service:
    """The handlers of conversations."""
    noun = Noun(replies, prepare=partial(actions.join_ticket, tickets))
    return noun.serve(CreateTicketReply=partial(actions.reply, tickets, replies))
