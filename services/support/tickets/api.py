"""TicketService and TicketReplyService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.support.tickets import actions, model
from services.support.tickets.store import Replies, Tickets


def service(tickets: Tickets, others: actions.Others) -> Service:
    """The handlers of tickets."""
    return Noun(tickets, model.check, partial(actions.complete, others)).serve(
        CreateTicket=partial(actions.create, tickets, others),
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
