"""Signs that a hypothesis says what was not said, each a function of texts alone.

A "word" here is what white space parts, and in scripts that are written without spaces (Chinese, Japanese, Thai, Lao,
Burmese, Khmer) a character: a loop of one sentence would else be a single word.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
_GLUED = 1.5  # words of Chinese, parted by a segmenter, have 1.6 characters
_EVENT = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|[♪♫♬♩*]")


@dataclass(frozen=True)
class Surplus:
    """The place where a hypothesis has most words too many: how many that are, and what stands there."""

    count: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Loop:
    """An n-gram, and how many times it stands there in a row."""

    repeats: int
    words: tuple[str, ...]


def split_words(text: str) -> list[str]:
    """The words of a text, as the module's text says. An empty list for a blank one."""
    return _WORD.findall(text)


def characters_per_word(texts: Iterable[str]) -> float | None:
    """How many words, as `split_words` finds them, stand between two spaces on average; None unless most of the texts
    are in scripts without spaces, and where spaces part most of their characters all the same."""
    written = [text for text in texts if text.strip()]
    found = [text for text in written if 2 * len(_CHARACTER.findall(text)) > len("".join(text.split()))]
    if 2 * len(found) <= len(written):
        return None
    mean = sum(len(split_words(text)) for text in found) / sum(len(text.split()) for text in found)
    return mean if mean >= _GLUED else None


def without_events(text: str) -> str:
    """The text without what stands in brackets ("[music]", "(silence)", "<noise>"), and without asterisks and notes."""
    return " ".join(_EVENT.sub(" ", text).split())


def surplus(pairs: Sequence[tuple[str | None, str | None]]) -> Surplus:
    """The longest run of inserted words of an alignment, (None, h) being an insertion and (r, None) a deletion.

    Between two words that both texts share, an alignment may order its insertions and substitutions in any way at the
    same cost. Here they are ordered so that the insertions stand together, so their number is that of the words the
    hypothesis has there, less those of the reference.
    """
    best, spoken, said = Surplus(0, ()), 0, []
    for r, h in [*pairs, ("", "")]:  # the last one closes the last place
        if r == h:
            if len(said) - spoken > best.count:
                best = Surplus(len(said) - spoken, tuple(said))
            spoken, said = 0, []
            continue
        spoken += r is not None
        if h is not None:
            said.append(h)
    return best


def longest_loop(words: Sequence[str], order: int) -> Loop:
    """The n-gram, n from 1 to `order`, that is repeated most often in a row; the shortest and first of several.

    "a b a b a b c": ("a", "b") three times. Without words: no repeats. O(order × words).
    """
    best = Loop(min(len(words), 1), tuple(words[:1]))
    for n in range(1, min(order, len(words) // 2) + 1):
        run = 0
        for place in range(n, len(words)):
            run = run + 1 if words[place] == words[place - n] else 0
            if run // n + 1 > best.repeats:
                start = place - run - n + 1
                best = Loop(run // n + 1, tuple(words[start : start + n]))
    return best


def compression_ratio(text: str, window: int) -> float:
    """UTF-8 bytes over the bytes that zlib makes of them: openai/whisper's measure of a text that repeats itself.

    A text of at least two windows is cut into equal pieces of `window` to 2 × `window` characters, and the highest
    ratio of a piece is taken: natural text of many minutes compresses ever better as a whole. 0 for an empty text.
    """
    count = max(1, len(text) // window)
    bounds = [len(text) * n // count for n in range(count + 1)]
    pieces = [text[a:b].encode("utf-8", "replace") for a, b in pairwise(bounds)]
    return max(len(piece) / len(zlib.compress(piece)) for piece in pieces)
