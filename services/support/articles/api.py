"""ArticleService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.support.v1 import article_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.support.articles import actions, model
from services.support.articles.store import Articles


def service(articles: Articles) -> Service:
    """The handlers of articles."""

    @handler
    async def search(call: Call, request: Any) -> Any:
        criteria = to_document(request.filter) if request.HasField("filter") else None
        found = await articles.search(call, request.query, criteria, request.page_size)
        return article_service_pb2.SearchArticlesResponse(articles=[to_message(hit, articles.descriptor) for hit in found])

    states = {
        "PublishArticle": (articles.in_use, model.must_be_draft),
        "UnpublishArticle": (model.must_be_shown,),
        "VoteArticle": (articles.in_use, model.must_be_public),
    }
    return Noun(articles, model.check, states=states).serve(
        SearchArticles=search,
        PublishArticle=partial(actions.publish, articles),
        UnpublishArticle=partial(actions.unpublish, articles),
        VoteArticle=partial(actions.vote, articles),
    )
