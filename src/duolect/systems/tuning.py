"""Scales chosen on a development set: n-best lists with every term, then a grid, minimum word error rate.

The models run once, to make the lists; the grid (`grid.py`) works on the terms alone. A joint search is tuned on the
lists of CTC alone together with its own under the method's untuned scales, every term scored anew for all of them, so
that the lists hold what either of the terms would choose; the scales then go into the real one-pass search.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolect import __version__
from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.evaluation.words import utterance_counts
from duolect.systems.batches import LONGEST_SECONDS, utterance_source
from duolect.systems.config import TERMS, Scales, SearchConfig
from duolect.systems.context import Context
from duolect.systems.first_pass import run_first_pass
from duolect.systems.grid import GridConfig, GridResult, TermTable, search_grid
from duolect.systems.methods import find_method
from duolect.systems.provenance import TuningRecord, utterance_set_hash
from duolect.systems.recognition import Progress, run_batches
from duolect.systems.recognizer import as_candidates
from duolect.systems.rescoring import add_terms
from duolect.systems.rows import Candidate
from duolect.systems.system import BATCH_SECONDS, System
from duolect.text import normalise

NBEST = 64
LABELS_PER_FRAME = 16  # of the lists of CTC alone, where the search itself names no number


@dataclass(frozen=True)
class Tuned:
    """The scales found, the word error rates (fractions) of the n-best lists before and with them, every grid point
    tried as {term: scale, …, "wer": rate}, what a system folder keeps, and the number of utterances skipped."""

    scales: Scales
    wer_before: float
    wer: float
    table: list[dict[str, float]]
    record: TuningRecord
    skipped: int


def tune(
    system: System,
    utterances: Sequence[Utterance],
    method: str | None = None,
    *,
    set_name: str = "dev",
    grid: GridConfig | None = None,
    nbest: int = NBEST,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = LONGEST_SECONDS,
    normaliser: Normaliser = "plain",
    progress: Progress | None = None,
) -> Tuned:
    """Choose the scales of `method` (None: the system's own) on a development set; λ of the method's anchor stays 1.

    The system is not changed: `system.with_tuning(tuned.record)` uses and remembers the result. Raises ConfigError for
    a method without scales to tune, or when no utterance of the set can be used.
    """
    name = method or system.method
    if name is None:
        raise ConfigError("tuning: the system has no named method; say which one is to be tuned.")
    grid = grid or GridConfig()
    chosen, search = find_method(name), system.search_of(name, tuned=False)
    parts = system.with_search(search).parts
    axes = [t for t in chosen.tuned if t != "prior" or parts[search.spelling].log_prior_V is not None]
    if not axes:
        raise ConfigError(f"tuning: the method {name!r} has no scales to tune.")
    terms = tuple(t for t in TERMS if t in {chosen.anchor, *axes, *search.scales.active})
    searches = _list_searches(search, nbest)

    def lists_of(context: Context) -> list[list[Candidate]]:
        return _lists(context, searches, terms)

    run = run_batches(
        parts,
        search,
        [utterance_source(i, u) for i, u in enumerate(utterances)],
        batch_seconds=batch_seconds,
        max_seconds=max_seconds,
        device=system.device,
        progress=progress,
        decode=lists_of,
    )
    used = [i for i in sorted(run.candidates) if _words(utterances[i].text, normaliser)]
    if not used:
        raise ConfigError(f"tuning: none of the {len(utterances)} utterances of {set_name} can be used.")
    table = term_table([run.candidates[i] for i in used], [utterances[i].text for i in used], terms, normaliser)
    exponent = search.length_exponent
    before = int(table.word_errors(_signed(terms, search.scales), exponent)[0])
    result = search_grid(table, anchor=chosen.anchor, axes=axes, grid=grid, length_exponent=exponent)
    tuned_search = with_scales(search, result)
    record = TuningRecord(
        method=name,
        search=tuned_search,
        set_name=set_name,
        set_hash=utterance_set_hash(utterances),
        utterances=len(used),
        words=table.words,
        nbest=nbest,
        wer_before=before / table.words,
        wer_after=result.errors / table.words,
        oracle_wer=table.oracle_errors / table.words,
        at_edge=result.at_edge,
        grid=grid,
        created_by=f"duolect {__version__}",
    )
    points = [{**scales, "wer": errors / table.words} for scales, errors in result.tried]
    return Tuned(tuned_search.scales, record.wer_before, record.wer_after, points, record, len(run.bad))


def term_table(
    lists: Sequence[Sequence[Candidate]],
    references: Sequence[str],
    terms: Sequence[str],
    normaliser: Normaliser = "plain",
) -> TermTable:
    """The table that the grid works on: word errors of every hypothesis, counted once after normalisation."""
    errors, words = [], 0
    for candidates, reference in zip(lists, references, strict=True):
        spoken = _words(reference, normaliser)
        words += len(spoken)
        distinct = {c.text: _words(c.text, normaliser) for c in candidates}
        counts_N4 = utterance_counts([spoken] * len(distinct), list(distinct.values()))
        by_text = dict(zip(distinct, counts_N4[:, :3].sum(1).tolist(), strict=True))
        errors.append([by_text[c.text] for c in candidates])
    return TermTable.build(
        terms,
        [[_comparable(c.terms, terms) for c in each] for each in lists],
        errors,
        [[len(c.labels) + 1 for c in each] for each in lists],
        words,
    )


def with_scales(search: SearchConfig, result: GridResult) -> SearchConfig:
    """The search with the scales of a grid, each where the search adds that term (the prior: where it adds the LM)."""
    inside: dict[str, float] = {}
    after: dict[str, float] = {}
    for term, scale in result.scales.items():
        leader = "lm" if term == "prior" and not search.scales.prior else term
        (after if getattr(search.after, leader) else inside)[term] = scale
    return dataclasses.replace(search, inside=Scales(**inside), after=Scales(**after))


def _list_searches(search: SearchConfig, nbest: int) -> list[SearchConfig]:
    """The searches whose n-best lists are joined: CTC alone over frames, and the search itself where more is inside."""
    alone = dataclasses.replace(
        search,
        first_pass="frames",
        inside=Scales(ctc=1.0),
        after=Scales(),
        beam=nbest,
        nbest=nbest,
        length_exponent=0.0,
        stop="exact",
        labels_per_frame=search.labels_per_frame or LABELS_PER_FRAME,
        merge="sum",
        exact_ctc=True,
    )
    own = dataclasses.replace(search, after=Scales(), beam=max(search.beam, search.nbest), nbest=search.beam)
    return [alone, own] if len(search.inside.active) > 1 else [alone]


def _lists(context: Context, searches: Sequence[SearchConfig], terms: Sequence[str]) -> list[list[Candidate]]:
    """The hypotheses of all `searches`, each label sequence once, with every term scored on the whole sequence."""
    joined: list[dict[tuple[int, ...], Candidate]] = [{} for _ in context.ids]
    for search in searches:
        view = dataclasses.replace(context, search=search)  # shares what the encoders have computed
        for found, candidates in zip(joined, as_candidates(view, run_first_pass(view)), strict=True):
            for candidate in candidates:
                found.setdefault(candidate.labels, candidate)
    bare = [[dataclasses.replace(c, terms={}) for c in found.values()] for found in joined]
    return add_terms(context, bare, terms)


def _comparable(values: Mapping[str, float], terms: Sequence[str]) -> Mapping[str, float]:
    """Where the LM was left out of a list, the prior is too, as in `Scales.combine`."""
    if "lm" in terms and "lm" not in values:
        return {name: value for name, value in values.items() if name != "prior"}
    return values


def _signed(terms: Sequence[str], scales: Scales) -> np.ndarray:
    signed = scales.signed()
    return np.array([[signed.get(term, 0.0) for term in terms]])


def _words(text: str, normaliser: Normaliser) -> list[str]:
    return (normalise(text) if normaliser == "plain" else text).split()
