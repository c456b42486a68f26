"""The public FAQ: list, search, article, vote. Small, without scripts, for phones first, zh-CN and en."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

import nh3
from crm.common.v1 import criteria_pb2
from crm.support.v1 import article_pb2, article_service_pb2
from flask import Flask, Response, abort, make_response, redirect, render_template, request, url_for
from markdown_it import MarkdownIt
from markupsafe import Markup

from chassis.kernel.errors import CrmError, Invalid, NotFound, WrongState
from chassis.runtime.edge import HEADERS, Asks, check, judged_by
from services.support.web.readers import Pace, Readers
from services.support.web.words import LANGUAGES, WORDS

_markdown = MarkdownIt("commonmark", {"html": False})
SERVICE = article_service_pb2.DESCRIPTOR.services_by_name["ArticleService"]
HITS, ROWS, LONGEST_TOKEN = 20, 100, 4000
READER, YEAR = "faq_reader", 365 * 86400
RETRY_SECONDS = {503: "5", 429: "60"}  # as the webhook door says
MOST_SEARCHES, MOST_VOTES = 60, 30  # of an address in a minute


def build_app(department: Asks, secret: str) -> Flask:
    """The Flask app. `secret` signs the vote forms and the readers' cookies."""
    readers, searches, votes = Readers(secret), Pace(MOST_SEARCHES), Pace(MOST_VOTES)
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024

    @app.get("/")
    @judged_by()
    def index() -> Any:
        return redirect(url_for("faq"))

    @app.get("/faq")
    @judged_by("ListArticles", "SearchArticles")
    def faq() -> Any:
        language = _language()
        question, category = request.args.get("q", "").strip()[:100], request.args.get("category", "")[:100]
        if question and not searches.allows(request.remote_addr or ""):
            abort(429)
        articles, more = _articles(department, language, question, category, request.args.get("page", "")[:LONGEST_TOKEN])
        beyond = bool(question) and len(articles) == HITS
        return _page("list.html", language, articles=articles, more=more, beyond=beyond, question=question, category=category)

    @app.get("/faq/<article_id>")
    @judged_by("GetArticle")
    def article(article_id: str) -> Any:
        found = _published(department, article_id)
        language = _language("zh" if found.language == article_pb2.ARTICLE_LANGUAGE_ZH else "en")
        reader = readers.of(request.cookies.get(READER, ""), request.remote_addr or "")
        body = Markup(nh3.clean(_markdown.render(found.body)))  # noqa: S704  cleaned by nh3 in the same line
        page = _page(
            "article.html", language, article=found, body=body, voted=request.args.get("voted"), token=_sign(secret, article_id, reader)
        )
        page.set_cookie(READER, readers.cookie(reader), max_age=YEAR, httponly=True, samesite="Lax", secure=request.is_secure)
        return page

    @app.post("/faq/<article_id>/vote")
    @judged_by("GetArticle", "VoteArticle")
    def vote(article_id: str) -> Any:
        cookie = request.cookies.get(READER, "")
        reader = readers.of(cookie, request.remote_addr or "")
        if not cookie or not hmac.compare_digest(request.form.get("token", "").encode(), _sign(secret, article_id, reader).encode()):
            abort(403)
        if request.form.get("helpful") not in ("yes", "no"):
            abort(400)
        if not votes.allows(request.remote_addr or ""):
            abort(429)
        helpful = request.form["helpful"] == "yes"
        department.ask(
            "VoteArticle",
            article_service_pb2.VoteArticleRequest(
                request_id=secrets.token_hex(16), article_id=_published(department, article_id).id, reader_key=reader[:64], helpful=helpful
            ),
        )
        return redirect(url_for("article", article_id=article_id, voted="yes", lang=_language()), code=303)

    @app.errorhandler(CrmError)
    def refused(error: CrmError) -> Any:
        status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, Invalid | WrongState) else 503
        return _page("message.html", _language(), key={503: "away", 404: "missing", 400: "wrong"}[status]), status

    @app.errorhandler(TimeoutError)
    @app.errorhandler(500)
    def failed(error: Exception) -> Any:
        # A reader can mend nothing that is not one of the refusals above.
        status = 503 if isinstance(error, TimeoutError) else 500
        return _page("message.html", _language(), key="away"), status

    @app.errorhandler(400)
    @app.errorhandler(404)
    @app.errorhandler(403)
    @app.errorhandler(405)
    @app.errorhandler(413)
    @app.errorhandler(429)
    def wrong(error: Any) -> Any:
        return _page("message.html", _language(), key={403: "expired", 404: "missing", 429: "often"}.get(error.code, "wrong")), error.code

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.update(HEADERS)
        if response.status_code in RETRY_SECONDS:
            response.headers["Retry-After"] = RETRY_SECONDS[response.status_code]
        return response

    check(app, SERVICE)
    return app


def _articles(department: Asks, language: str, question: str, category: str, page: str) -> tuple[list[Any], str]:
    """A page of articles, and the token of the next ("" on the last); of a search the best, all of them in one page."""
    conditions = [("state", "PUBLISHED"), ("language", language.upper())] + ([("category", category)] if category else [])
    criteria = criteria_pb2.Criteria()
    for field, value in conditions:
        condition = criteria.all.items.add().condition
        condition.field, condition.operator = field, criteria_pb2.OPERATOR_EQUALS
        condition.values.add().text = value
    if question:
        request_ = article_service_pb2.SearchArticlesRequest(query=question, page_size=HITS, filter=criteria)
        return list(department.ask("SearchArticles", request_).articles), ""
    order = article_pb2.ARTICLE_ORDER_TITLE_ASC
    asked = article_service_pb2.ListArticlesRequest(filter=criteria, page_size=ROWS, page_token=page, order_by=order)
    answer = department.ask("ListArticles", asked)
    return list(answer.articles), answer.next_page_token


def _published(department: Asks, article_id: str) -> Any:
    if len(article_id) > 64 or not article_id.replace("-", "").isalnum() or not article_id.isascii():
        raise NotFound("there is no such article")
    found = department.ask("GetArticle", article_service_pb2.GetArticleRequest(article_id=article_id.lower())).article
    if found.state != article_pb2.ARTICLE_STATE_PUBLISHED or found.HasField("archive_time"):
        raise NotFound("there is no such article")
    return found


def _language(fallback: str = "") -> str:
    asked = request.args.get("lang", "")
    if asked in LANGUAGES:
        return asked
    return fallback or request.accept_languages.best_match(LANGUAGES) or "zh"


def _page(template: str, language: str, **values: Any) -> Response:
    words = WORDS[language]
    return make_response(render_template(template, t=words, lang=language, other="en" if language == "zh" else "zh", **values))


def _sign(secret: str, article_id: str, reader: str) -> str:
    return hmac.new(secret.encode(), f"vote:{article_id}:{reader}".encode(), hashlib.sha256).hexdigest()
