"""Subject and text of a mail with variables: `{name}` stands for a value, `{{` and `}}` are braces as such. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

SUBJECT = ("name",)
BODY = ("name", "unsubscribe_url")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_MEANT = re.compile(r"(?:(?<!\{)\{\{|｛)\s*([^{}｛｝]*?)\s*(?:\}\}(?!\})|｝)")


def fault(text: str, known: tuple[str, ...]) -> str:
    """What is wrong with a text, and how to mend it; "" when nothing is."""
    for found in _MEANT.finditer(text):
        if found[1] in known:  # other systems write it so; here the contact would read the braces
            return f"«{found[0]}» would be sent as it is written; write {{{found[1]}}}"
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "}"):
            around = text[max(0, token.start() - 10) : token.end() + 10]
            return f"the brace in «{around}» stands alone; write {token[0] * 2} for a brace as such"
        if token[1] is not None and token[1].strip() not in known:
            return f"there is no variable «{token[0][:60]}»; known are {', '.join(f'{{{name}}}' for name in known)}; {{{{ and }}}} are braces as such"
    return ""


def names(text: str, variable: str) -> bool:
    """Whether a text names a variable."""
    return any((token[1] or "").strip() == variable for token in _TOKEN.finditer(text))


def rendered(text: str, values: Mapping[str, str]) -> str:
    """The text with its values. What is no variable stays as it is: texts of before they were checked are sent as they were."""

    def put(token: re.Match[str]) -> str:
        if token[0] in ("{{", "}}"):
            return token[0][0]
        return values.get((token[1] or "").strip(), token[0])

    return _TOKEN.sub(put, text)
