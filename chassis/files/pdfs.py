"""What runs in a PDF when somebody opens it: looked for in all of it, in its packed objects too. Pure.

A PDF names its scripts, launches and embedded files in the dictionaries of objects. Those stand in the clear, or packed in streams of objects
(ObjStm), which are unpacked here as far as is bounded. A name may be written with #, as /J#61vaScript.
"""

from __future__ import annotations

import re
import zlib

SCRIPT, LAUNCH, EMBEDDED = b"/JavaScript", b"/Launch", b"/EmbeddedFile"
_RICH, _OBJECTS = b"/RichMedia", b"/ObjStm"
_NAMES = (SCRIPT, LAUNCH, EMBEDDED, _RICH)
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM = b"stream"
MOST_UNPACKED = 64 * 1024 * 1024
_STEP, _DICTIONARY = 16_384, 2048  # bytes taken and unpacked at once; how far before its stream a dictionary may begin
_OVERLAP = 64  # more than the longest name has, each of its letters written with #


class Pdf:
    """What was met in a PDF that is fed in parts of any size."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.hidden = False  # whether objects lie where nobody can look: encrypted, packed in another way, or swelling
        self.unpacked = 0
        self._raw, self._inner, self._window, self._at = b"", b"", b"", 0
        self._packed: zlib._Decompress | None = None

    def feed(self, part: bytes) -> None:
        """The next bytes."""
        self._raw = self._meet(self._raw + part)
        self._window += part
        while self._unpack(self._packed) if self._packed else self._next_stream():
            continue
        begins = max(0, self._at - _DICTIONARY)
        self._window, self._at = self._window[begins:], self._at - begins

    @property
    def runs(self) -> bool:
        """Whether it does something by itself when it is opened."""
        return not self.names.isdisjoint((SCRIPT, LAUNCH, _RICH))

    @property
    def closed(self) -> bool:
        """Whether it holds another file, or what cannot be looked at: then nothing may show it by itself."""
        return EMBEDDED in self.names or self.hidden

    def _meet(self, looked: bytes) -> bytes:
        """Note the names in a text; what has to be looked at again with the next part."""
        plain = _unescaped(looked)
        self.names |= {name for name in _NAMES if name not in self.names and name in plain}
        return looked[-_OVERLAP:]

    def _next_stream(self) -> bool:
        """Whether one more stream begins in the window; what comes next begins behind that."""
        at = self._window.find(_STREAM, self._at)
        begins = at + len(_STREAM) + 2
        if at < 0 or len(self._window) < begins:
            self._at = max(self._at, len(self._window) - len(_STREAM) if at < 0 else at)
            return False
        about = _unescaped(self._window[max(0, at - _DICTIONARY) : at]).rpartition(b"obj")[2]
        self._at = at + len(_STREAM)
        if _OBJECTS in about and not about.endswith(b"end"):
            line = self._window[self._at : begins]
            self._at += 2 if line == b"\r\n" else 1 if line[:1] in (b"\n", b"\r") else 0
            self._packed, self._inner = zlib.decompressobj(), b""
        return True

    def _unpack(self, packed: zlib._Decompress) -> bool:
        """Whether there is more to unpack in the window, after the next step."""
        given = self._window[self._at : self._at + _STEP]
        if not given:
            return False
        try:
            out = packed.decompress(given, _STEP)
        except zlib.error:
            self.hidden, self._packed = True, None
            return True
        self.unpacked += len(out)
        self._inner = self._meet(self._inner + out)
        self._at += len(given) - len(packed.unused_data if packed.eof else packed.unconsumed_tail)
        if packed.eof or self.unpacked > MOST_UNPACKED:
            self.hidden, self._packed = self.hidden or not packed.eof, None
        return True


def _unescaped(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), text) if b"#" in text else text
