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
from functools import cached_property
from typing import Literal

import numpy as np

from duolect.errors import UnitsError
from duolect.text.spacing import single_spaces
from duolect.text.units import Units

Rule = Literal["space", "bare"]
"""How a word behind the first is encoded: with its space before it, or bare (the tokeniser adds a space itself)."""

_RULES: tuple[Rule, ...] = ("space", "bare")
_TRIED = 400  # label sequences, and sentences, that a rule is tried on
_LEAST = 20  # of them that must be of plain words
_SHAPES = ("it's", "don't", "o'clock", "5", "42", "2nd", "1990s", "a", "i")
_MOST_MADE = 8  # retokenisers that are remembered
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
        self.rule: Rule | None = None
        self._chunks: dict[tuple[tuple[int, ...], bool], tuple[int, ...] | None] = {}
        sequences = self._sequences()
        if not any(self._holds(rule, sequences) for rule in _RULES):
            self.rule = None
        self._chunks.clear()

    @cached_property
    def starts_V(self) -> np.ndarray:
        """For each label of the source (V) whether what comes before it is a whole word."""
        return np.array([self.source.starts_word(label) for label in range(self.source.size)])

    def whole(self, labels: Sequence[int]) -> Spelled:
        """The tokens of the whole text, with single spaces: what rescoring would give the LLM."""
        try:
            tokens = tuple(self.target.encode(single_spaces(self.source.decode(labels))))
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
            if self.starts_V[labels[i]]:
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
        try:
            return tuple(self.target.encode(word if first or self.rule == "bare" else f" {word}"))
        except UnitsError:
            return None

    def _holds(self, rule: Rule, sequences: Sequence[tuple[int, ...]]) -> bool:
        """Whether words one by one give the tokens of the whole text, where that is made of plain words."""
        self.rule = rule
        self._chunks.clear()
        tried = 0
        for labels in sequences:
            spelled = Spelled()
            for word in self._split(labels):
                spelled = self.extend(spelled, word)
            if spelled.plain and spelled.tokens != self.whole(labels).tokens:
                return False
            tried += spelled.plain
        return tried >= _LEAST

    def _sequences(self) -> list[tuple[int, ...]]:
        """Random label sequences of a few words, and sentences of words of common shapes and of single labels.

        Whether the target can spell them is not known yet.
        """
        draw = random.Random(0)
        ordinary = [label for label in range(self.source.size) if label not in self.source.special_ids]
        starting = [label for label in ordinary if self.starts_V[label]]
        inside = [label for label in ordinary if not self.starts_V[label]]
        if not starting or not inside:
            starting = inside = ordinary
        sequences = [
            tuple(draw.choice(starting if draw.random() < 0.4 else inside) for _ in range(draw.randint(2, 16)))
            for _ in range(_TRIED if ordinary else 0)
        ]
        words = list(_SHAPES)
        for units in (self.source, self.target):
            for label in draw.choices(range(units.size), k=_TRIED):
                words += units.decode([label]).split()
        for _ in range(_TRIED):
            try:
                sequences.append(tuple(self.source.encode(" ".join(draw.choices(words, k=draw.randint(2, 8))))))
            except UnitsError:
                continue
        return sequences


def retokeniser(source: Units, target: Units) -> Retokeniser:
    """The retokeniser of a pair of units; its rule is looked for once."""
    key = source.fingerprint, target.fingerprint
    if key not in _MADE:
        if len(_MADE) >= _MOST_MADE:
            _MADE.clear()
        _MADE[key] = Retokeniser(source, target)
    return _MADE[key]


_MADE: dict[tuple[str, str], Retokeniser] = {}
