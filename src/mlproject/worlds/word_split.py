"""Splits a text in any script into words and marks, for counting.

A word is a run of letters, digits and their combining marks; an apostrophe or hyphen inside it belongs to it. In
scripts without spaces between words (Chinese, Japanese) each character is a token. Any other character is a token of
its own; a run of the same character (`...`, `##`) is one token.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_UNSPACED = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""Ideographs and kana."""

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4\u0060", "'"))
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011", "-"))
_ASCII = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|([^\w\s]|_)\1*")


def split_words(text: str) -> list[str]:
    """The tokens of a text in order: words and marks, in compatibility normal form (NFKC) and without case."""
    if text.isascii():
        return [match.group() for match in _ASCII.finditer(text.replace("`", "'").lower())]
    plain = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).translate(_HYPHENS).casefold()
    return [match.group() for match in _pattern().finditer(plain)]


def is_word(token: str) -> bool:
    """Whether a token is a word and not a mark."""
    return token[0].isalnum()


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    marks = "".join(re.escape(chr(c)) for c in range(0x300, 0x20000) if unicodedata.category(chr(c)).startswith("M"))
    letter = rf"(?:[^\W_{_UNSPACED}]|(?<=[\w{marks}])[{marks}])"
    return re.compile(rf"[{_UNSPACED}]|{letter}+(?:['-]{letter}+)*|([^\w\s]|_)\1*")
