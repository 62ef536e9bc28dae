"""Word error rates of parts of a test set: of each speaker, of short and long utterances, of any field's values.

A field of few values is divided by value; a number of many values (seconds, SNR) by its quartiles, each utterance in
exactly one of them. Tables without types (CSV) give numbers as text, which count as numbers where every value is one;
but what a field of names holds (a speaker "1089") is a name. Utterances without the field are a part of their own, "not
given".

Intervals are percentile bootstraps within the part (fewer replicas than for the whole set, since there are many parts).
A part is not chosen at random among many: the worst of twenty speakers looks worse than it is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duolect.evaluation.blocks import FEWEST, FIELDS, Blocks
from duolect.evaluation.intervals import SEED, Interval, interval_of_counts, pooled_by_block
from duolect.evaluation.score import Score
from duolect.evaluation.words import WordErrors
from duolect.storage import finite_number

REPLICAS = 1_000
NOT_GIVEN = "not given"
MOST_VALUES = 20

_NAMES = {
    *FIELDS,
    "id",
    "ids",
    "parent",
    "spk",
    "reader",
    "client",
    "chapter",
    "book",
    "file",
    "path",
    "name",
    "source",
}
# A zero in front, as in "0042", is one of a name.
_NUMBER = re.compile(r"[+-]?(?!0[0-9])([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Part:
    """One part of the test set: its WER by each system, in the systems' order."""

    value: str
    utterances: int
    words: int
    errors: tuple[WordErrors, ...]
    intervals: tuple[Interval | None, ...]
    blocks: str | None = None
    """The field by whose values the intervals draw utterances together; None: each by itself."""
    units: int = 0
    """How many independent parts they draw from."""

    @property
    def drawn(self) -> str:
        """What the intervals draw."""
        return "utterances" if self.blocks is None else f"blocks by {self.blocks}"

    @property
    def wer(self) -> float:
        """The mean of the systems' rates: how hard the part is, whoever listens."""
        return sum(errors.wer for errors in self.errors) / len(self.errors)


@dataclass(frozen=True)
class Breakdown:
    """A test set by a field: its parts, worst first, or in the order of the numbers they were divided by."""

    field: str
    systems: tuple[str, ...]
    parts: tuple[Part, ...]
    numeric: bool = False

    @property
    def drawn(self) -> str:
        """What the intervals of most parts draw; blocks where that is even."""
        blocks = [part.drawn for part in self.parts if part.blocks is not None]
        return max(blocks, key=blocks.count) if 2 * len(blocks) >= len(self.parts) > 0 else "utterances"

    @property
    def rough(self) -> list[Part]:
        """Parts whose intervals were drawn from fewer blocks than can be trusted."""
        return [part for part in self.parts if part.blocks is not None and part.units < FEWEST]


def breakdown(
    scores: Mapping[str, Score],
    field: str,
    values: Mapping[str, Any],
    *,
    blocks: Callable[[Sequence[str]], Blocks | None] | None = None,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Breakdown:
    """The parts of the set by `field`; values: id → the field's value (utterances may lack it).

    The scores must be of the same utterances. blocks: the ids of a part → its blocks, which `find_blocks` looks for as
    it does for a whole set; without it they are those of the scores, however few of them a part has. Where the one
    block of a part is the part itself, utterances are drawn.
    """
    first = next(iter(scores.values()))
    labels, order = labels_of(field, values, first.ids)
    place = {label: p for p, label in enumerate(order)}
    parts_N = np.array([place[label] for label in labels])
    find = blocks or (lambda _: _blocks_of(first))
    parts = []
    for p, label in enumerate(order):
        rows = np.flatnonzero(parts_N == p)
        found = [score.counts_N4[rows] for score in scores.values()]
        together = find([first.ids[r] for r in rows])
        drawn = found
        if together is not None:
            names = [together.of.get(first.ids[r], f"utterance {first.ids[r]}") for r in rows]
            if together.name == field and len(set(names)) == 1:
                together = None
            else:
                drawn = [pooled_by_block(c, names) for c in found]
        parts.append(
            Part(
                value=label,
                utterances=len(rows),
                words=int(found[0][:, 3].sum()),
                errors=tuple(WordErrors.pooled(counts) for counts in found),
                intervals=tuple(interval_of_counts(c, replicas=replicas, seed=seed) for c in drawn),
                blocks=None if together is None else together.name,
                units=len(drawn[0]),
            )
        )
    numeric = _numbers(field, values, first.ids) is not None
    if not numeric:
        parts.sort(key=lambda part: (-part.wer, part.value))
    return Breakdown(field, tuple(scores), tuple(parts), numeric)


def labels_of(field: str, values: Mapping[str, Any], ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the part of each of `ids`, all parts in order): the values as text, or quartiles of a number of many values."""
    numbers = _numbers(field, values, ids)
    if numbers is None:
        labels = [_text(values[key]) if values.get(key) is not None else NOT_GIVEN for key in ids]
        return labels, sorted(set(labels))
    every = np.array(list(numbers.values()))
    bounds = np.unique(np.quantile(every, [0.25, 0.5, 0.75]))
    low, high = every.min(), every.max()
    edges = [low, *(b for b in bounds if low < b < high), high]
    names = _ranges(edges)
    labels = [
        NOT_GIVEN
        if key not in numbers
        else names[min(int(np.searchsorted(edges[1:-1], numbers[key], side="right")), len(names) - 1)]
        for key in ids
    ]
    return labels, [name for name in [*names, NOT_GIVEN] if name in set(labels)]


def fields_worth_showing(fields: Mapping[str, Mapping[str, Any]], ids: Sequence[str], most: int = 8) -> list[str]:
    """Fields of 2 to 20 values, each a part of at least two utterances on average; of fields that divide the set in the
    same way only the first. fields: name → id → value."""
    seen: set[Hashable] = set()
    found = []
    for name, values in fields.items():
        given = [values.get(key) for key in ids]
        if any(isinstance(value, list | dict) for value in given):
            continue
        texts = [_text(value) for value in given]
        number = len(set(texts))
        if not 2 <= number <= MOST_VALUES or 2 * number > len(ids):
            continue
        places: dict[str, int] = {}
        shape = tuple(places.setdefault(text, len(places)) for text in texts)
        if shape not in seen:
            seen.add(shape)
            found.append(name)
    return found[:most]


def _blocks_of(score: Score) -> Blocks | None:
    if score.blocks is None:
        return None
    return Blocks(score.blocks, dict(zip(score.ids, score.block_N, strict=True)))


def _numbers(field: str, values: Mapping[str, Any], ids: Sequence[str]) -> dict[str, float] | None:
    """id → number, of those of `ids` that have one; None where the field is no number of many values."""
    if _is_of_names(field):
        return None
    found = {}
    for key in ids:
        value = values.get(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        number = _number(value)
        if number is None:
            return None
        found[key] = number
    return found if len(set(found.values())) > MOST_VALUES else None


def _is_of_names(field: str) -> bool:
    *_, last = ["", *re.findall(r"[a-z]+", field.lower())]  # a speaker's age, or a file's size, is a number
    return last in _NAMES or last.removesuffix("id") in _NAMES


def _number(value: Any) -> float | None:
    """A finite number, or what a text says that is one; None for anything else."""
    if not isinstance(value, str):
        return finite_number(value)
    return finite_number(float(value)) if _NUMBER.fullmatch(value.strip()) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(edges: Sequence[float]) -> list[str]:
    """A name for each stretch between neighbouring edges, with as many digits as tell them apart."""
    shown: list[str] = []
    for digits in range(3, 17):
        shown = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(shown)) == len(shown):
            break
    last = len(shown) - 2
    return [f"{a} to {'' if n == last else 'below '}{b}" for n, (a, b) in enumerate(itertools.pairwise(shown))]
