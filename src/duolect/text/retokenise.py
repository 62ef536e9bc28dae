"""From the labels of one model to the tokens of another, word by word.

A search hands an LLM the words of a hypothesis as they become complete, and yet the tokens of all words together must
be those of the whole text, or the LLM would score a spelling that it never saw. Per pair of units a rule is looked for
and tried out (delayed fusion, Hori et al. 2025, arXiv 2501.09258); where none holds, and for text that is not plain
words with single spaces, the whole text is encoded again, and tokens given before may be taken back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from duolect.errors import UnitsError
from duolect.text.units import Units

Rule = Literal["space", "bare"]
"""How a word behind the first is encoded: with its space before it, or bare (the tokeniser adds a space itself)."""

_RULES: tuple[Rule, ...] = ("space", "bare")
_SENTENCES = 400  # that a rule is tried on
_SHAPES = ("it's", "don't", "o'clock", "5", "42", "2nd", "1990s", "a", "i")
_MOST_CHUNKS = 1 << 17  # spelled words that are remembered


@dataclass(frozen=True, slots=True)
class Spelled:
    """The beginning of a hypothesis in both units.

    `tokens` is None where the target cannot spell the text. `plain`: words with single spaces between them, so that
    what follows can be spelled by itself.
    """

    labels: tuple[int, ...] = ()
    tokens: tuple[int, ...] | None = ()
    plain: bool = True


class Retokeniser:
    """Spells label sequences of `source` in the tokens of `target`, whole or continued by further words.

    `rule` is None where words cannot be spelled one by one. Letter case and the like are the target's own matter:
    its `encode` gets the text that `source.decode` gives.
    """

    def __init__(self, source: Units, target: Units) -> None:
        self.source, self.target = source, target
        self._chunks: dict[tuple[tuple[int, ...], bool], tuple[int, ...] | None] = {}
        words = self._words_to_try()
        self.rule = next((rule for rule in _RULES if words and self._holds(rule, words)), None)

    @cached_property
    def starts(self) -> tuple[bool, ...]:
        """For each label of the source whether what comes before it is a whole word."""
        return tuple(self.source.starts_word(label) for label in range(self.source.size))

    def whole(self, labels: Sequence[int]) -> Spelled:
        """The tokens of the whole text: what rescoring would give the LLM."""
        try:
            tokens = tuple(self.target.encode(self.source.decode(labels)))
        except UnitsError:
            tokens = None
        return Spelled(tuple(labels), tokens, plain=False)

    def extend(self, before: Spelled, labels: Sequence[int]) -> Spelled:
        """`before` followed by `labels`, which begin and end with whole words.

        Only the new words are encoded where the rule allows that; else the whole text is, and the tokens of `before`
        need not be the first of the new ones.
        """
        both = (*before.labels, *labels)
        if self.rule is None or not before.plain or before.tokens is None:
            return self.whole(both)
        tokens = list(before.tokens)
        for number, chunk in enumerate(self._split(labels)):
            part = self._chunk(chunk, first=not before.labels and number == 0)
            if part is None:
                return self.whole(both)
            tokens += part
        return Spelled(both, tuple(tokens))

    def _split(self, labels: Sequence[int]) -> Iterator[tuple[int, ...]]:
        begin = 0
        for i in range(1, len(labels)):
            if self.starts[labels[i]]:
                yield tuple(labels[begin:i])
                begin = i
        if begin < len(labels):
            yield tuple(labels[begin:])

    def _chunk(self, labels: tuple[int, ...], first: bool) -> tuple[int, ...] | None:
        """The tokens of one word; None where it is not a word with at most its space before it, or not spellable."""
        key = labels, first
        if key not in self._chunks:
            if len(self._chunks) >= _MOST_CHUNKS:
                self._chunks.clear()
            self._chunks[key] = self._encode(self.source.decode(labels), first)
        return self._chunks[key]

    def _encode(self, text: str, first: bool) -> tuple[int, ...] | None:
        word = text if first else text.removeprefix(" ")
        if not word or any(character.isspace() for character in word):
            return None
        return self._word_tokens(word, first, self.rule or "bare")

    def _word_tokens(self, word: str, first: bool, rule: Rule) -> tuple[int, ...] | None:
        try:
            return tuple(self.target.encode(word if first or rule == "bare" else f" {word}"))
        except UnitsError:
            return None

    def _words_to_try(self) -> list[str]:
        """Words that the target can spell: of single labels of the source, of several, and of common shapes."""
        draw = random.Random(0)
        ordinary = [label for label in range(self.source.size) if label not in self.source.special_ids]
        spelled = [draw.choices(ordinary, k=k) for k in (1, 1, 2, 3, 5) for _ in range(200)] if ordinary else []
        texts = [*_SHAPES, *(self.source.decode(labels) for labels in spelled)]
        words = sorted({word for text in texts for word in text.split()})
        return [word for word in words if self._word_tokens(word, True, "bare")]

    def _holds(self, rule: Rule, words: Sequence[str]) -> bool:
        """Whether the tokens of words, one after the other, are those of random sentences of them."""
        draw = random.Random(1)
        for _ in range(_SENTENCES):
            sentence = draw.choices(words, k=draw.randint(2, 8))
            parts = [self._word_tokens(word, i == 0, rule) for i, word in enumerate(sentence)]
            try:
                whole = self.target.encode(" ".join(sentence))
            except UnitsError:
                return False
            if None in parts or [token for part in parts for token in part or ()] != whole:
                return False
        return True


@lru_cache(maxsize=8)
def retokeniser(source: Units, target: Units) -> Retokeniser:
    """The retokeniser of a pair of units; the rule is looked for once."""
    return Retokeniser(source, target)
