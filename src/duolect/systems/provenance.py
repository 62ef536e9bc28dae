"""Where scales and results come from: what was tuned on which set, and how to tell that a set is that set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from duolect.data import Utterance
from duolect.systems.config import Scales, SearchConfig
from duolect.systems.grid import GridConfig


@dataclass(frozen=True, kw_only=True)
class TuningRound:
    """One round of tuning: the scales tried, their word error rate (a fraction) on the lists as they were, and that of
    the search itself with these scales, which found `new` hypotheses that the lists did not hold.

    The first round has the method's untuned scales, chosen on no list.
    """

    scales: Scales
    list_wer: float | None
    wer: float
    new: int


@dataclass(frozen=True, kw_only=True)
class TuningRecord:
    """How the scales of a method were chosen: on which set, by which grid, and what that gave.

    `set_hash` is that of `utterance_set_hash`; `wer_before` and `wer_after` are the word error rates (fractions) of the
    search itself on the set, with the untuned and the chosen scales; `oracle_wer` that of the best hypothesis of each
    list; `at_edge`: an optimum may lie beyond the grid. Where no model was run (scales chosen from an n-best file
    alone) the rates are those of the lists, and there are no `rounds`.
    """

    method: str
    search: SearchConfig
    set_name: str
    set_hash: str
    utterances: int
    words: int
    nbest: int
    wer_before: float
    wer_after: float
    oracle_wer: float
    at_edge: bool
    grid: GridConfig
    created_by: str
    rounds: tuple[TuningRound, ...] = ()


def utterance_set_hash(utterances: Iterable[Utterance]) -> str:
    """16 hex digits for a set of utterances, whatever their order, their ids and wherever their files lie.

    A set is known by what was said in which stretch of which file (its last name), so that a copied or shuffled
    manifest is still the same set.
    """
    lines = sorted(
        json.dumps([u.audio_filepath.name, round(u.offset, 3), round(u.duration, 3), u.text], ensure_ascii=False)
        for u in utterances
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
