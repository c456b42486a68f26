"""The words of the public pages, zh-CN and en; the keys are the same in both (a test holds them equal)."""

from __future__ import annotations

LANGUAGES = ("zh", "en")
WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "tag": "zh-CN",
        "title": "常见问题",
        "search": "搜索",
        "placeholder": "您想了解什么？",
        "all": "全部分类",
        "none": "没有找到文章。请换个说法，或联系客服。",
        "found": "篇文章",
        "helpful": "这篇文章有帮助吗？",
        "yes": "有帮助",
        "no": "没有帮助",
        "thanks": "谢谢您的反馈！",
        "votes": "人觉得有帮助",
        "back": "返回常见问题",
        "other": "English",
        "missing": "没有这篇文章，或它已不再公开。",
        "away": "服务暂时不可用，请稍后再试。",
        "wrong": "请求有误，请返回重试。",
        "expired": "页面已过期，请返回文章重新投票。",
        "skip": "跳到内容",
    },
    "en": {
        "tag": "en",
        "title": "Frequently asked questions",
        "search": "Search",
        "placeholder": "What would you like to know?",
        "all": "All topics",
        "none": "No article found. Try other words, or contact support.",
        "found": "articles",
        "helpful": "Did this article help?",
        "yes": "Yes",
        "no": "No",
        "thanks": "Thank you for telling us!",
        "votes": "people found this helpful",
        "back": "Back to all questions",
        "other": "中文",
        "missing": "There is no such article, or it is no longer public.",
        "away": "The service is away for a moment. Please try again.",
        "wrong": "Something was wrong with the request. Please go back and try again.",
        "expired": "The page has expired. Please go back to the article and vote again.",
        "skip": "Skip to content",
    },
}
