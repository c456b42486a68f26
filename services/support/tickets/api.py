"""TicketService and TicketReplyService."""

from __future__ import annotations

from functools import partial

from crm.support.v1 import ticket_events_pb2, ticket_reply_events_pb2, ticket_reply_service_pb2, ticket_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.support.tickets import actions, model
from services.support.tickets.store import Replies, Tickets


def service(tickets: Tickets, others: actions.Others) -> Service:
    """The handlers of tickets."""
    descriptor = ticket_service_pb2.DESCRIPTOR.services_by_name["TicketService"]
    return Noun(tickets, descriptor, ticket_events_pb2, model.check, partial(actions.complete, others)).serve(
        CreateTicket=partial(actions.create, tickets, others),
        AutoAssignTicket=partial(actions.auto_assign, tickets),
        WaitTicket=partial(actions.wait, tickets),
        ResolveTicket=partial(actions.resolve, tickets),
        ReopenTicket=partial(actions.reopen, tickets),
        CloseTicket=partial(actions.close, tickets),
    )


def replies_service(replies: Replies, tickets: Tickets) -> Service:
    """The handlers of conversations."""
    descriptor = ticket_reply_service_pb2.DESCRIPTOR.services_by_name["TicketReplyService"]
    noun = Noun(replies, descriptor, ticket_reply_events_pb2, prepare=partial(actions.join_ticket, tickets))
    return noun.serve(CreateTicketReply=partial(actions.reply, tickets, replies))
