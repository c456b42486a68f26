"""Both scripts of Chinese as one: what is compared is simplified, character by character. Pure."""

from __future__ import annotations

from functools import cache

import opencc

HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_BLOCKS = (range(0x3400, 0xA000), range(0xF900, 0xFB00))


@cache
def _table() -> dict[int, str]:
    """Every traditional character → its simplified one, by OpenCC's table."""
    letters = [chr(code) for block in _BLOCKS for code in block]
    plain = opencc.OpenCC("t2s").convert("\n".join(letters)).split("\n")
    return {ord(letter): simple for letter, simple in zip(letters, plain, strict=True) if letter != simple}


def simplified(text: str) -> str:
    """The text with simplified characters, one for one, so that 臺灣 and 台湾 meet."""
    return text if text.isascii() else text.translate(_table())
