"""What can be done with an article beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.support.v1 import article_events_pb2 as events

from chassis.rpc.call import Call
from services.support.articles import model
from services.support.articles.store import Articles

Document = dict[str, Any]


async def publish(articles: Articles, call: Call, *, article_id: str, version: int | None = None) -> Document:
    """Show to the public."""
    before = await articles.get(call, article_id, "update")
    articles.checked_version(before, version)
    articles.in_use(before)
    return articles.change(call, before, model.published(before, call.now), events.ArticlePublished)


async def unpublish(articles: Articles, call: Call, *, article_id: str, version: int | None = None) -> Document:
    """Hide from the public."""
    before = await articles.get(call, article_id, "update")
    articles.checked_version(before, version)
    return articles.change(call, before, model.unpublished(before), events.ArticleUnpublished)


async def vote(
    articles: Articles, call: Call, *, article_id: str, reader_key: str, helpful: bool = False, version: int | None = None
) -> Document:
    """Count a reader's vote: one a reader, the last one counts."""
    before = await articles.get(call, article_id, "vote")
    articles.checked_version(before, version)
    articles.in_use(before)
    changes = model.voted(before, await articles.vote_of(call, article_id, reader_key), helpful)
    if not changes:
        return before
    articles.keep_vote(call, article_id, reader_key, helpful)
    return articles.change(call, before, changes, events.ArticleVoted, action="vote")
