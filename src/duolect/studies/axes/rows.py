"""What the studies of speech LLMs have in common: how a row comes about, and where findings were published."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.memory import KeyValues
from duolect.studies.study import Entry

INTEGRATION = "arXiv 2603.15045"
"""LLMs and Speech: Integration vs. Combination."""
PREPENDING = "arXiv 2501.02370"
"""Prepending or Cross-Attention for Speech-to-Text?"""

ALONE, JOINT = "speech-llm", "speech-llm+ctc"
HOW: Mapping[str, str] = {"with CTC": JOINT, "alone": ALONE}
"""How a speech LLM is searched with → the method."""

UNTUNED = "The search weighs CTC and speech LLM alike in all rows, so that nothing is tuned."
KEY_VALUES = (
    "KV/s: keys and values that the LLM holds for a second of audio, in KiB, for 4 hypotheses of 16 labels each and 16 "
    "utterances of test."
)
NO_TABLE = (
    f"The tables of {INTEGRATION} are not at hand: its abstract names the axis and the authors' recipes show settings, "
    "but no error rates, so that there is no number to stand beside ours and no finding to confirm."
)


def row(
    scale: Scale,
    name: str,
    system: Callable[[int], Stage],
    method: str,
    *,
    small_effect: bool = False,
    memory: bool = False,
    value: float | None = None,
    line: str = "",
    facts: Mapping[str, str] | None = None,
    published: str = "",
    against: str = "",
    **recognition: Any,
) -> Entry:
    """The row of what `system` gives for a seed, recognised under `method` with the settings `recognition`.

    `memory`: measure its keys and values too, which the seed does not change.
    """
    corpus = recognition.get("corpus") or scale.corpus

    def run(seed: int) -> Stage:
        return scale.recognition(f"{name}, seed {seed}", system(seed), method, **recognition)

    measured = KeyValues(name=f"keys and values: {name}", system=system(scale.seeds[0]), corpus=corpus)
    return Entry(
        name=name,
        runs=scale.each_seed(run, small_effect=small_effect),
        value=value,
        line=line,
        facts=facts or {},
        measured=[measured] if memory else [],
        published=published,
        against=against,
    )


def both_ways(
    scale: Scale, systems: Mapping[str, Callable[[int], Stage]], *, memory: bool = True, **fields: Any
) -> list[Entry]:
    """A row for each of `systems`, name → what it is for a seed, with CTC in the search, and then one for each alone.

    Each is tested against the first of its way of searching.
    `fields`: as of `row`.
    """
    return grouped(
        [row(scale, f"{name}, {how}", system, method, memory=memory, **fields) for name, system in systems.items()]
        for how, method in HOW.items()
    )


def grouped(groups: Iterable[Sequence[Entry]]) -> list[Entry]:
    """The rows of all groups, each tested against the first of its group."""
    return [
        entry if entry is group[0] else dataclasses.replace(entry, against=group[0].name)
        for group in groups
        for entry in group
    ]
