"""The words of the public page, zh-CN and en; the keys are the same in both (a test holds them equal)."""

from __future__ import annotations

LANGUAGES = ("zh", "en")
WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "tag": "zh-CN",
        "title": "退订邮件",
        "ask": "不想再收到我们的推广邮件？点击按钮后，此邮箱不会再收到。",
        "button": "退订",
        "done": "已退订。此邮箱不会再收到我们的推广邮件。",
        "other": "English",
        "missing": "此链接无效。请使用邮件中的完整链接。",
        "away": "服务暂时不可用，请稍后再试。",
        "wrong": "请求有误，请返回重试。",
        "skip": "跳到内容",
    },
    "en": {
        "tag": "en",
        "title": "Unsubscribe",
        "ask": "No more promotional mail from us? With this button no more is sent to your address.",
        "button": "Unsubscribe",
        "done": "You are unsubscribed. No more promotional mail is sent to your address.",
        "other": "中文",
        "missing": "This link is not one of ours. Please use the whole link of the mail.",
        "away": "The service is away for a moment. Please try again.",
        "wrong": "Something was wrong with the request. Please go back and try again.",
        "skip": "Skip to content",
    },
}
