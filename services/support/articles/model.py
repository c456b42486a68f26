"""An article: what makes one complete, publication, votes. No I/O, no clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState

Document = dict[str, Any]


def check(article: Document) -> None:
    """Complete an article; refuse an empty title or text and an impossible review date."""
    for name in ("title", "body", "category"):
        article[name] = article[name].strip()
        if not article[name]:
            raise Invalid(f"{name} consists of blanks; write something a reader can use", field=name)
    article.setdefault("state", "DRAFT")
    for name in ("helpful_count", "unhelpful_count"):
        article.setdefault(name, 0)
    if article.get("review_date"):
        try:
            date.fromisoformat(article["review_date"])
        except ValueError:
            raise Invalid(f"«{article['review_date']}» is no day of the calendar; write YYYY-MM-DD", field="review_date") from None


def must_be_draft(article: Document) -> None:
    """Refuse to publish what is published."""
    if article["state"] == "PUBLISHED":
        raise WrongState("the article is published; there is nothing to do")


def must_be_shown(article: Document) -> None:
    """Refuse to hide what is not published."""
    if article["state"] != "PUBLISHED":
        raise WrongState("the article is not published; there is nothing to hide", code="ARTICLE_NOT_PUBLISHED")


def must_be_public(article: Document) -> None:
    """Refuse votes on what is not published."""
    if article["state"] != "PUBLISHED":
        raise WrongState("only a published article can be voted on", code="ARTICLE_NOT_PUBLISHED")


def published(article: Document, now: datetime) -> Document:
    """The changes when it is shown to the public."""
    must_be_draft(article)
    return {"state": "PUBLISHED", "publish_time": now}


def unpublished(article: Document) -> Document:
    """The changes when it is hidden from the public."""
    must_be_shown(article)
    return {"state": "DRAFT"}


def voted(article: Document, before: bool | None, helpful: bool) -> Document:
    """The changes when a reader votes; a second vote of the same reader replaces the first."""
    must_be_public(article)
    if before is helpful:
        return {}
    counts = {"helpful_count": article.get("helpful_count", 0), "unhelpful_count": article.get("unhelpful_count", 0)}
    names = {True: "helpful_count", False: "unhelpful_count"}
    if before is not None:
        counts[names[before]] -= 1
    counts[names[helpful]] += 1
    return counts
