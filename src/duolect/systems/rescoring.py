"""Terms that are added on the n-best list: each model scores whole sequences, spelled in its own units."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from duolect.errors import UnitsError
from duolect.nn.ledger import stage
from duolect.search import ctc_full_sum, sequence_scores
from duolect.systems.components import log_prior, spelling_units, term_units
from duolect.systems.config import OWNERS
from duolect.systems.context import Context
from duolect.systems.limits import label_room
from duolect.systems.rows import Candidate

IMPOSSIBLE = -1e6
"""What stands in a file for the logarithm of a probability of zero: finite, and lower than any real score."""

DISTRIBUTIONS = 1 << 26  # numbers held at once in the distributions of one forward over whole sequences (256 MB)

Spelled = list[list[tuple[int, ...]]]


def add_terms(context: Context, lists: Sequence[Sequence[Candidate]], terms: Sequence[str]) -> list[list[Candidate]]:
    """The same hypotheses, in the same order, with `terms` filled in; scores are left as they are.

    A model that shares the units of the first pass gets its labels, any other the text in its own units. Where one text
    of an utterance cannot be spelled in them, or is longer than the LM's positions, the term is left out of that
    utterance's whole list and flagged. A probability of zero is `IMPOSSIBLE`, flagged "<term>_impossible".
    """
    result = [list(each) for each in lists]
    for term in terms:
        spelled, flags = _spell(context, term, result)
        scores = _SCORES[term](context, spelled)
        for b, (candidates, values) in enumerate(zip(result, scores, strict=True)):
            if flags[b]:
                result[b] = [replace(c, flags=(*c.flags, *flag)) for c, flag in zip(candidates, flags[b], strict=True)]
            else:
                result[b] = [_with_term(c, term, float(v)) for c, v in zip(candidates, values, strict=True)]
    return result


def rank(context: Context, lists: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
    """Best first by the first pass' score and the terms added after it; equal ones keep their order."""
    after, exponent = context.search.after, context.search.length_exponent
    ranked = []
    for candidates in lists:
        scored = []
        for c in candidates:
            normal = (len(c.labels) + 1) ** exponent
            scored.append(replace(c, score=c.score + after.combine(c.terms) / normal))
        ranked.append(sorted(scored, key=lambda c: -c.score))
    return ranked


def _spell(
    context: Context, term: str, lists: Sequence[Sequence[Candidate]]
) -> tuple[Spelled, list[list[tuple[str, ...]]]]:
    """Each hypothesis in the term's units; and for utterances where that failed, the flags of each hypothesis."""
    own, theirs = spelling_units(context.parts, context.search), term_units(context.parts, context.search, term)
    shared = own.fingerprint == theirs.fingerprint
    rooms = label_room(context, term)
    spelled: Spelled = []
    flags: list[list[tuple[str, ...]]] = []
    for candidates, room in zip(lists, rooms, strict=True):
        row: list[tuple[int, ...]] = []
        bad: dict[int, tuple[str, ...]] = {}
        for k, candidate in enumerate(candidates):
            try:
                row.append(candidate.labels if shared else tuple(theirs.encode(candidate.text)))
            except UnitsError:
                bad[k] = (f"{term}_cannot_spell",)
            else:
                if len(row[-1]) > room:
                    bad[k] = (f"{term}_too_long",)
        flags.append([(*bad.get(k, ()), f"{term}_left_out") for k in range(len(candidates))] if bad else [])
        spelled.append([] if bad else row)
    return spelled, flags


def _ctc_scores(context: Context, spelled: Spelled) -> list[Any]:
    with stage("rescoring/ctc"):
        return ctc_full_sum(*context.ctc(), spelled, context.ids)


def _model_scores(context: Context, spelled: Spelled, term: str) -> list[Any]:
    model, encoded = context.speaker(term, "rescoring")
    return sequence_scores(
        model,
        encoded,
        spelled,
        max_tokens=max(64, min(4096, DISTRIBUTIONS // model.vocabulary)),
        eos_id=term_units(context.parts, context.search, term).eos_id,
        ids=context.ids,
        name=term,
        statistics=context.count(term),
    )


def _prior_scores(context: Context, spelled: Spelled) -> list[Any]:
    log_prior_V = log_prior(context.parts, context.search)
    assert log_prior_V is not None, "checked when the system was made"
    prior = log_prior_V.double().cpu()
    return [[float(prior[list(labels)].sum()) if labels else 0.0 for labels in each] for each in spelled]


_SCORES: dict[str, Callable[[Context, Spelled], list[Any]]] = {
    "ctc": _ctc_scores,
    "prior": _prior_scores,
    **{term: functools.partial(_model_scores, term=term) for term in OWNERS},
}


def _with_term(candidate: Candidate, term: str, value: float) -> Candidate:
    flags = candidate.flags
    if not math.isfinite(value):
        value, flags = IMPOSSIBLE, (*flags, f"{term}_impossible")
    return replace(candidate, terms={**candidate.terms, term: value}, flags=flags)
