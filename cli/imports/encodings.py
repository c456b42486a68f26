"""The encoding of a file, found over the whole of it and only where that is sure; a name given by hand counts before any guess."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cli.engines import EngineError
from cli.imports.letters import judge

# What is told → what is read by: the same, with what its users' systems added.
_CODECS = {
    "big5": "cp950", "shift_jis": "cp932", "euc_kr": "cp949", "gbk": "gb18030", "gb2312": "gb18030", "latin-1": "latin-1", "iso8859-1": "latin-1",
}  # fmt: skip
# cp1250, cp1254, koi8_r and cp866 are never taken by themselves, but speak against what they make doubtful.
EASTERN = ("gb18030", "big5", "shift_jis", "euc_kr")
GUESSED = (*EASTERN, "cp1251", "cp1252")
_WINDOWS = ("cp1250", "cp1251", "cp1252", "cp1254")
RIVALS = ("cp1250", "cp1254", "koi8_r", "cp866")
SURE = {"gb18030": 0.55, "big5": 0.55, "shift_jis": 0.55, "euc_kr": 0.6, "cp1251": 0.8, "koi8_r": 0.8, "cp866": 0.8}
SURE_WESTERN, MARGIN = 0.75, 0.15
SAMPLE = 300_000
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_CONTROLS = re.compile("[\x80-\x9f]")
BAD = "\udcff"

codecs.register_error("row by row", lambda error: (BAD, error.end) if isinstance(error, UnicodeDecodeError) else ("?", error.end))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Encoding:
    """`name` as it is told, `codec` by which it is read; `dirty`: some bytes are none of it, and the rows that hold them are refused;
    `controls`: it was named by hand, and control characters speak against it."""

    name: str
    codec: str
    dirty: bool = False
    controls: bool = False


Chunks = Callable[[], Iterable[bytes]]


def find(chunks: Chunks, label: str, named: str = "") -> Encoding:
    """The encoding. `chunks` gives the bytes anew at each call. Raises EngineError, naming what it may be, where that is not sure."""
    if named:
        return _checked(chunks, named, _codec(named))
    head = next(iter(chunks()), b"")
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return _checked(chunks, codec, codec)
    if wide := _wide(head):
        return _checked(chunks, wide, wide)
    whole = _checked(chunks, "utf-8", "utf-8")
    return whole if not whole.dirty else _guess(_Lines.of(chunks()), label)


def _codec(named: str) -> str:
    try:
        known = codecs.lookup(named).name
        "a".encode(named)  # what makes no text of bytes is refused here
    except (LookupError, UnicodeError):
        raise EngineError(f"there is no encoding «{named}»; use utf-8, utf-16, {', '.join(GUESSED)} or another that Python knows") from None
    return _CODECS.get(named.lower(), _CODECS.get(known, known))


def _wide(head: bytes) -> str:
    """UTF-16 without its mark: of texts that are mostly ASCII every second byte is zero."""
    half = len(head) // 2
    if half < 2:
        return ""
    even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    return "utf-16-le" if odd > 0.4 * half > 8 * even else "utf-16-be" if even > 0.4 * half > 8 * odd else ""


def _checked(chunks: Chunks, name: str, codec: str) -> Encoding:
    decoder, dirty, controls = codecs.getincrementaldecoder(codec)("strict"), False, False
    try:
        for chunk in chunks():
            text = decoder.decode(chunk)
            controls = controls or (not text.isascii() and bool(_CONTROLS.search(text)))
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        dirty = True
    return Encoding(name, codec, dirty, controls)


@dataclass
class _Lines:
    """Lines with bytes beyond ASCII, told apart by what can read them; as many as a judgement needs, the whole file for what it cannot read."""

    plain: int = 0
    strange: int = 0
    bad: dict[str, int] | None = None
    high: bool = False
    sample: bytes = b""

    @staticmethod
    def of(chunks: Iterable[bytes]) -> _Lines:
        """Read the whole file."""
        found = _Lines(bad=dict.fromkeys(("utf-8", *GUESSED, *RIVALS), 0))
        kept: list[bytes] = []
        size = 0
        for line in _split(chunks):
            if line.isascii():
                found.plain += 1
                continue
            found.take(line)
            if size < SAMPLE:
                kept.append(line)
                size += len(line)
        found.sample = b"\n".join(kept)
        return found

    def take(self, line: bytes) -> None:
        """Count what cannot read a line."""
        self.strange += 1
        self.high = self.high or any(0x80 <= byte <= 0x9F for byte in line)
        for name in self.bad or ():
            try:
                line.decode(_CODECS.get(name, name))
            except UnicodeDecodeError:
                self.bad[name] += 1  # type: ignore[index]

    def reads(self, name: str) -> bool:
        """Whether an encoding reads all but one line of a thousand."""
        return (self.bad or {})[name] * 1000 <= self.strange


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    yield rest


def _guess(lines: _Lines, label: str) -> Encoding:
    bad = lines.bad or {}
    if bad["utf-8"] * 10 <= lines.strange:  # nothing else makes nine of ten lines valid UTF-8
        return Encoding("utf-8", "utf-8", True)
    texts = {name: lines.sample.decode(_CODECS.get(name, name), "ignore") for name in (*GUESSED, *RIVALS) if lines.reads(name)}
    marks = {name: judge(name, text) for name, text in texts.items()}
    likely = sorted((name for name in marks if marks[name] >= SURE.get(name, SURE_WESTERN)), key=lambda name: -marks[name])
    if not likely and texts.keys() >= set(_WINDOWS) and texts.keys().isdisjoint(EASTERN) and len({texts[name] for name in _WINDOWS}) == 1:
        likely = ["cp1252"]  # signs that all of them have in the same place
    first = next((name for name in likely if name in GUESSED), "")
    against = [name for name in likely if name != first and texts[name] != texts.get(first) and marks[name] > marks.get(first, 0) - MARGIN]
    if first and not against:
        name = "latin-1" if first == "cp1252" and not lines.high else first
        return Encoding(name, _CODECS.get(first, first), bad[first] > 0)
    if not likely and lines.strange * 100 <= lines.plain + lines.strange:  # a few bytes that are nothing: their rows are refused
        return Encoding("utf-8", "utf-8", True)
    raise EngineError(_doubt(label, [first, *against] if first else likely, texts, lines))


def _doubt(label: str, likely: list[str], texts: dict[str, str], lines: _Lines) -> str:
    if not likely:
        likely = sorted(texts, key=lambda name: -judge(name, texts[name]))[:3]
    shown = "; ".join(f"{name} reads «{_sample(texts[name])}»" for name in likely[:3])
    most = f" ({shown})" if shown else ""
    return (
        f"{label}: it is no UTF-8, and which encoding it is cannot be told for sure{most}; "
        f"say which: --encoding {likely[0] if likely else 'gb18030'}. Nothing was written"
    )


def _sample(text: str) -> str:
    line = next((line for line in text.split("\n") if not line.isascii()), "")
    return "".join(letter if letter.isprintable() else "�" for letter in line.strip())[:60]
