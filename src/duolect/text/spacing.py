"""Spaces between words, scripts that have none, and parts of a text put together again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

# By the beginnings of their characters' names; further the signs that stand for characters of these scripts.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_WITHOUT_SPACES += ("HALFWIDTH KATAKANA", "VERTICAL KANA", "VERTICAL IDEOGRAPHIC", "HANGZHOU NUMERAL")
_WITHOUT_SPACES += ("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER", "IDEOGRAPHIC CLOSING", "MASU MARK")
_SPACE = re.compile(r"(?<=(\S))\s+(?=(\S))")


def single_spaces(text: str) -> str:
    """A text with a single space between its words, and none around them.

    Labels may say more: a space that is a label of its own, before one that carries its space, at an end, or twice.
    """
    return " ".join(text.split())


def without_spaces(character: str) -> bool:
    """Whether a character is of a script that parts no words, such as Chinese, Japanese or Thai."""
    return not character.isascii() and unicodedata.name(character, "").startswith(_WITHOUT_SPACES)


def join_parts(parts: Iterable[str]) -> str:
    """The parts of a text, cut anywhere, as one: a space between two of them, but none between two characters of
    scripts without spaces, or their punctuation; unless the parts are themselves written with spaces there."""
    texts = [text for part in parts if (text := part.strip())]
    if all(text.isascii() for text in texts) or any(_spaced(text) for text in texts):
        return " ".join(texts)
    joined = texts[:1]
    for before, text in pairwise(texts):
        joined += [text] if _tight(before[-1]) and _tight(text[0]) else [" ", text]
    return "".join(joined)


def _spaced(text: str) -> bool:
    return any(without_spaces(left) and without_spaces(right) for left, right in _SPACE.findall(text))


def _tight(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WFH" and unicodedata.category(character).startswith("P")
    return wide or without_spaces(character)
