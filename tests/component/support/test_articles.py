"""Articles over gRPC and the public FAQ over HTTP: search in both languages, votes, drafts unseen, nothing executable."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.support.checks import equals, mask, refused, trace
from tests.support.installation import Installation

ARTICLES = "support.articles"


async def make(crm: Installation, title: str = "标题", body: str = "正文", *, publish: bool = True, **more: Any) -> Any:
    values = {"role": "SUPPORT_AGENT", "title": title, "body": body, "category": "账户", "language": 1, **more}
    made = (await crm.ask("CreateArticle", **values)).article
    return (await crm.ask("PublishArticle", role="SUPPORT_AGENT", article_id=made.id)).article if publish else made


async def found(crm: Installation, query: str, **more: Any) -> list[str]:
    return [hit.id for hit in (await crm.ask("SearchArticles", role="SUPPORT_AGENT", query=query, **more)).articles]


def web(crm: Installation) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{crm.plan.faq_port}", timeout=20)


async def test_an_article_is_written_published_and_hidden(crm: Installation) -> None:
    made = await make(crm, " 生平 ", publish=False)
    key = {"article_id": made.id}
    assert (made.title, made.state, made.version) == ("生平", 1, 1)
    for action, code in (
        (crm.ask("UnpublishArticle", **key), "ARTICLE_NOT_PUBLISHED"),
        (crm.ask("VoteArticle", **key, reader_key="r", helpful=True), "ARTICLE_NOT_PUBLISHED"),
        (crm.ask("PublishArticle", **key, version=4), "VERSION_CONFLICT"),
        (crm.ask("PublishArticle", role="SALES_REP", **key), "NOT_ALLOWED"),
        (crm.ask("UpdateArticle", **key, version=1, update_mask=mask("title"), title="  "), "INVALID_ARGUMENT"),
        (crm.ask("UpdateArticle", **key, version=1, update_mask=mask("body")), "INVALID_ARGUMENT"),
        (crm.ask("UpdateArticle", **key, version=1, update_mask=mask("review_date"), review_date="2026-02-30"), "INVALID_ARGUMENT"),
    ):
        await refused(crm, ARTICLES, action, code, record_id=made.id)
    assert (await crm.ask("PublishArticle", **key)).article.HasField("publish_time")
    await refused(crm, ARTICLES, crm.ask("PublishArticle", **key), "WRONG_STATE", record_id=made.id)
    assert (await crm.ask("UnpublishArticle", **key)).article.state == 1
    await crm.ask("ArchiveArticle", **key)
    await refused(crm, ARTICLES, crm.ask("PublishArticle", **key), "ARCHIVED", record_id=made.id)
    await refused(
        crm, ARTICLES, crm.ask("UpdateArticle", **key, version=4, update_mask=mask("title"), title="x"), "ARCHIVED", record_id=made.id
    )
    assert (await crm.ask("RestoreArticle", **key)).article.version == 5
    assert list((await crm.ask("BatchGetArticles", ids=[made.id, "x"])).missing_ids) == ["x"]
    for role in ("SALES_REP", "MARKETER", "ADMINISTRATOR"):
        await refused(crm, ARTICLES, make(crm, role=role), "NOT_ALLOWED")


async def test_nobody_votes_on_an_archived_article(crm: Installation) -> None:
    made = await make(crm)
    await crm.ask("ArchiveArticle", article_id=made.id)
    await refused(crm, ARTICLES, crm.ask("VoteArticle", article_id=made.id, reader_key="r", helpful=True), "ARCHIVED", record_id=made.id)


async def test_articles_are_found_in_both_languages_the_best_first(crm: Installation) -> None:
    best = await make(crm, "如何重置密码", "点击忘记密码，按提示操作。")
    other = await make(crm, "如何查询发票", "若忘记密码请联系客服，再重置。发票在订单页。")
    english = await make(crm, "Reset your password", "Press forgotten password.", language=2)
    assert [one for one in await found(crm, "怎么重置密码？") if one in (best.id, other.id)] == [best.id, other.id]
    assert (await found(crm, "password reset"))[0] == english.id
    assert english.id not in await found(crm, "password reset", filter=equals("language", "ZH"))
    assert await found(crm, "！？。") == []
    changed = await crm.ask(
        "UpdateArticle", article_id=english.id, version=2, update_mask=mask("title", "body"), title="Zebra", body="stripes"
    )
    assert english.id not in await found(crm, "password reset")
    assert await found(crm, "zebra") == [english.id]
    await crm.ask("ArchiveArticle", article_id=english.id, version=changed.article.version)
    assert await found(crm, "zebra") == []


async def test_singular_finds_plural(crm: Installation) -> None:
    made = await make(crm, "Where are my invoices", "They lie below.", language=2)
    assert made.id in await found(crm, "invoice")


async def test_each_reader_counts_once_whatever_they_press(crm: Installation) -> None:
    made = await make(crm)
    await asyncio.gather(
        *(crm.ask("VoteArticle", article_id=made.id, reader_key=f"r{number % 4}", helpful=number % 2 == 0) for number in range(8))
    )
    article = (await crm.ask("GetArticle", article_id=made.id)).article
    assert (article.helpful_count, article.unhelpful_count) == (2, 2)
    article = (await crm.ask("VoteArticle", article_id=made.id, reader_key="r0", helpful=False)).article
    assert (article.helpful_count, article.unhelpful_count) == (1, 3)
    version = article.version
    assert (await crm.ask("VoteArticle", article_id=made.id, reader_key="r0", helpful=False)).article.version == version
    await refused(crm, ARTICLES, crm.ask("VoteArticle", role="SALES_REP", article_id=made.id, reader_key="x", helpful=True), "NOT_ALLOWED")


async def test_articles_are_imported_once(crm: Installation) -> None:
    row = {"source_key": "kb:1", "title": "t", "body": "b", "category": "c", "language": 2}
    for results in ([1, 4], [3, 4]):
        answer = await crm.ask("BatchUpsertArticles", articles=[row, {**row, "source_key": "kb:2", "body": " "}])
        assert [one.result for one in answer.outcomes] == results
    assert answer.outcomes[1].error_field == "body"


async def test_the_public_list_and_search_show_published_articles_of_the_language(crm: Installation) -> None:
    shown = await make(crm, "独角兽文章", "独角兽在此")
    draft = await make(crm, "独角兽草稿", "独角兽在此", publish=False)
    english = await make(crm, "Unicorn article", "a unicorn", language=2)
    async with web(crm) as client:
        for path, here, absent in (
            ("/faq?lang=zh", (shown.id,), (draft.id, english.id)),
            ("/faq?lang=en", (english.id,), (draft.id, shown.id)),
            ("/faq?lang=zh&q=独角兽", (shown.id,), (draft.id, english.id)),
            ("/faq?lang=en&q=unicorns", (english.id,), (shown.id,)),
            ("/faq?lang=zh&category=账户", (shown.id,), (draft.id, english.id)),
            ("/faq?lang=zh&category=没有", (), (shown.id, draft.id)),
        ):
            page = await client.get(path)
            assert page.status_code == 200
            assert all(identity in page.text for identity in here), path
            assert not any(identity in page.text for identity in absent), path
        english_page = await client.get("/faq", headers={"Accept-Language": "en-GB,en;q=0.9"})
        assert '<html lang="en">' in english_page.text
        assert '<html lang="zh-CN">' in (await client.get("/faq", headers={"Accept-Language": "fr"})).text
        assert (await client.get("/")).headers["location"].endswith("/faq")
        for path in (f"/faq/{draft.id}", "/faq/nothing", "/faq/..%2f..%2fetc", "/faq/" + "a" * 65, "/faq/é", "/nowhere"):
            assert (await client.get(path)).status_code == 404, path
        await crm.ask("UnpublishArticle", article_id=shown.id)
        assert (await client.get(f"/faq/{shown.id}")).status_code == 404
        await crm.ask("ArchiveArticle", article_id=english.id)
        assert (await client.get(f"/faq/{english.id}")).status_code == 404


async def test_an_article_page_runs_nothing(crm: Installation) -> None:
    body = "**bold** <script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) <b onclick=alert(1)>b</b>"
    made = await make(crm, "<script>title</script>", body)
    async with web(crm) as client:
        page = await client.get(f"/faq/{made.id}?lang=zh")
        assert page.status_code == 200
        assert "<strong>bold</strong>" in page.text
        for bad in ("<script", "<img", "<b ", 'href="javascript'):
            assert bad not in page.text.lower(), bad
        reflected = await client.get("/faq", params={"q": '"><script>x</script>', "category": "<script>", "lang": "zh"})
        assert "<script" not in reflected.text
        for answer in (page, reflected, await client.get("/faq/nothing"), await client.post(f"/faq/{made.id}/vote")):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert "httponly" in page.headers["set-cookie"].lower()


async def test_a_vote_needs_the_form_and_counts_once(crm: Installation) -> None:
    made = await make(crm)

    async def counts() -> tuple[int, int]:
        article = (await crm.ask("GetArticle", article_id=made.id)).article
        return article.helpful_count, article.unhelpful_count

    async with web(crm) as client:
        page = await client.get(f"/faq/{made.id}?lang=en")
        token = re.search(r'name="token" value="([0-9a-f]+)"', page.text).group(1)  # type: ignore[union-attr]
        for _ in range(2):
            answer = await client.post(f"/faq/{made.id}/vote?lang=en", data={"token": token, "helpful": "yes"})
            assert answer.status_code == 303
        assert await counts() == (1, 0)
        thanks = await client.get(answer.headers["location"])
        assert "Thank you" in thanks.text
        assert (await client.post(f"/faq/{made.id}/vote", data={"token": token, "helpful": "no"})).status_code == 303
        assert await counts() == (0, 1)
        before = await trace(crm, *ARTICLES.split("."), made.id)
        for path in (f"/faq/{made.id}/vote", f"/faq/{made.id}/vote?helpful=yes&token={token}", f"/faq/{made.id}?helpful=yes&voted=yes"):
            assert (await client.get(path)).status_code in (200, 405)
        other = await make(crm)
        for where, data in (
            (made.id, {"token": "0" * 64, "helpful": "yes"}),
            (made.id, {"helpful": "yes"}),
            (made.id, {}),
            (other.id, {"token": token, "helpful": "yes"}),
        ):
            assert (await client.post(f"/faq/{where}/vote", data=data)).status_code == 403
        assert (await client.post(f"/faq/{made.id}/vote", data={"token": token, "x": "y" * 20_000})).status_code == 413
        client.cookies.clear()
        assert (await client.post(f"/faq/{made.id}/vote", data={"token": token, "helpful": "yes"})).status_code == 403
        assert await trace(crm, *ARTICLES.split("."), made.id) == before


@pytest.mark.parametrize("token", ["é", "密码", "\x00"])
async def test_a_token_of_any_letters_is_forbidden_not_a_failure(crm: Installation, token: str) -> None:
    made = await make(crm)
    async with web(crm) as client:
        await client.get(f"/faq/{made.id}")
        assert (await client.post(f"/faq/{made.id}/vote", data={"token": token, "helpful": "yes"})).status_code == 403


async def test_a_vote_that_says_nothing_is_not_a_no(crm: Installation) -> None:
    made = await make(crm)
    async with web(crm) as client:
        page = await client.get(f"/faq/{made.id}")
        token = re.search(r'name="token" value="([0-9a-f]+)"', page.text).group(1)  # type: ignore[union-attr]
        assert (await client.post(f"/faq/{made.id}/vote", data={"token": token})).status_code == 400
    assert (await crm.ask("GetArticle", article_id=made.id)).article.unhelpful_count == 0


async def test_single_characters_letters_beside_digits_and_question_words_are_understood(crm: Installation) -> None:
    back = (await make(crm, "退货流程", "收到商品七天内可以退货。")).id
    phone = (await make(crm, "iPhone15 保修", "一年内免费。")).id
    code = (await make(crm, "错误 E-1024", "请重启设备。")).id
    taiwan = (await make(crm, "臺灣地區配送", "三日内到达。")).id
    for query, wanted in (
        ("退", back), ("怎么退", back), ("请问如何退货？", back), ("退掉", back), ("iPhone 15", phone), ("iphone-15", phone), ("IPHONE15", phone),
        ("E1024", code), ("e 1024", code), ("1024", code), ("台湾配送", taiwan), ("臺灣", taiwan),
    ):  # fmt: skip
        assert (await found(crm, query))[:1] == [wanted], query


async def test_what_stands_in_thousands_of_articles_does_not_push_the_best_out(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.support.articles import store

    monkeypatch.setattr(store, "_CANDIDATES", 5)
    for number in range(16):
        await make(crm, f"常见问题 {number}", "常见问题的回答")
    best = (await make(crm, "常见问题：发票抬头更换", "在设置中更换。")).id
    assert (await found(crm, "常见问题 发票抬头"))[0] == best
    assert len(await found(crm, "常见问题")) > 0


async def test_a_category_with_more_articles_than_a_page_shows_all_of_them_page_by_page(crm: Installation) -> None:
    rows = [
        {"source_key": f"many:{number}", "title": f"许多 {number:03}", "body": "x", "category": "许多", "language": 1, "state": 2,
         "publish_time": {"seconds": 1_790_000_000}}
        for number in range(108)
    ]  # fmt: skip
    outcomes = (await crm.ask("BatchUpsertArticles", articles=rows)).outcomes
    assert {one.error_code for one in outcomes} == {""}
    seen: list[str] = []
    address: str | None = "/faq?category=许多&lang=zh"
    async with web(crm) as client:
        while address:
            page = (await client.get(address)).text
            found = re.findall(r">(许多 \d{3})<", page)
            seen += found
            following = re.search(r'rel="next" href="([^"]+)"', page)
            assert ("还有更多" in page) == bool(following)
            address = following[1].replace("&amp;", "&") if following else None
        assert sorted(seen) == [f"许多 {number:03}" for number in range(108)]
        assert (await client.get("/faq?category=许多&lang=zh&page=nonsense")).status_code == 400
        assert "20 篇最相关的文章" in (await client.get("/faq?q=许多&lang=zh")).text
