"""The first pass: from a batch to n-best lists of labels, over frames or over labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from duolect.nn.ledger import staged
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Delayed,
    Hypothesis,
    PriorScorer,
    Weighted,
    frame_synchronous,
    greedy,
    label_synchronous,
)
from duolect.systems.components import log_prior, spelling_units
from duolect.systems.config import OWNERS
from duolect.systems.context import Context
from duolect.systems.drafting import draft_pass
from duolect.systems.limits import frame_limits, search_limits
from duolect.systems.space import SearchSpace, search_space
from duolect.text import retokeniser

Lists = list[list[Hypothesis]]


def run_first_pass(context: Context) -> Lists:
    """N-best lists, best first, one for each utterance of the batch; the terms inside the search are filled in."""
    space = search_space(context)
    return space.restore(_PASSES[context.search.first_pass](context, space))


def _greedy(context: Context, space: SearchSpace) -> Lists:
    found = greedy(*space.heard, eos_id=space.eos_id, forbidden_ids=space.forbidden_ids, ids=context.ids)
    scale = context.search.inside.ctc
    return found if scale == 1.0 else [[replace(h, score=h.score * scale) for h in each] for each in found]


def _frames(context: Context, space: SearchSpace) -> Lists:
    search = context.search
    others = [_weighted(context, space, term) for term in search.inside.active if term not in ("ctc", "lm", "prior")]
    return frame_synchronous(
        *space.heard,
        beam=search.beam,
        nbest=search.nbest,
        labels_per_frame=search.labels_per_frame,
        merge=search.merge,
        ctc_weight=search.inside.ctc,
        lm=_weighted(context, space, "lm") if search.inside.lm and not search.delays_lm else None,
        prior=_weighted(context, space, "prior") if search.inside.prior and not search.delays_prior else None,
        scorers=others,
        delayed=_delayed(context, space) if search.delays_lm else None,
        skip_blank=search.skip_blank,
        limits_B=frame_limits(context, [term for term in search.inside.active if term != "lm" or not search.delays_lm]),
        exact_ctc=search.exact_ctc,
        eos_id=space.eos_id,
        forbidden_ids=space.forbidden_ids,
        ids=context.ids,
    )


def _delayed(context: Context, space: SearchSpace) -> Delayed:
    """The LM on finished words; where it shares the units of CTC, on labels."""
    search, parts = context.search, context.parts
    lm, units = parts["language"], spelling_units(parts, search)
    model, _ = context.speaker("lm")
    shared = units.fingerprint == lm.units.fingerprint
    counts, prior = log_prior(parts, search), None
    if search.inside.prior and search.delays_prior:
        assert counts is not None, "checked when the system was made"
        prior = Weighted("prior", PriorScorer(counts), search.inside.prior)
    assert search.lm_interval is not None, "asked for"
    return Delayed(
        lm=Weighted("lm", AutoregressiveScorer(model, None, context.count("lm")), search.inside.lm),
        interval=search.lm_interval,
        retokeniser=None if shared else retokeniser(units, lm.units),
        prior=prior,
        prior_over="tokens" if search.prior_kind == "tokens" else "labels",
        max_tokens=None if math.isinf(lm.positions) else max(int(lm.positions) - 2, 1),
        labels_BC=None if space.kept is None else space.kept.labels_BC,
        eos_id=lm.units.eos_id,
    )


def _labels(context: Context, space: SearchSpace) -> Lists:
    search = context.search
    return label_synchronous(
        [_weighted(context, space, term) for term in search.inside.active],
        context.encoded(search.spelling),
        beam=search.beam,
        nbest=search.nbest,
        limits_B=search_limits(context),
        length_exponent=search.length_exponent,
        stop=search.stop,
        # CTC alone has nobody to choose its candidates with.
        candidates=search.candidates if OWNERS.keys() & search.inside.active else None,
        no_repeat_ngram=search.no_repeat_ngram,
        eos_id=space.eos_id,
        forbidden_ids=space.forbidden_ids,
        ids=context.ids,
    )


_PASSES: dict[str, Callable[[Context, SearchSpace], Lists]] = {
    "greedy": _greedy,
    "frames": _frames,
    "labels": _labels,
    "draft": lambda context, _: draft_pass(context),
}


def _weighted(context: Context, space: SearchSpace, term: str) -> Weighted:
    return Weighted(term, _SCORERS[term](context, space), getattr(context.search.inside, term))


def _ctc_scorer(context: Context, space: SearchSpace) -> CTCPrefixScorer:
    return staged(CTCPrefixScorer(*space.heard, eos_id=space.eos_id, ids=context.ids), "search/ctc")


def _model_scorer(context: Context, space: SearchSpace, term: str) -> AutoregressiveScorer:
    model, encoded = context.speaker(term)
    return AutoregressiveScorer(space.model(model), encoded, context.count(term))


def _prior_scorer(context: Context, space: SearchSpace) -> PriorScorer:
    log_prior_V = log_prior(context.parts, context.search)
    assert log_prior_V is not None, "checked when the system was made"
    return space.prior(log_prior_V)


_SCORERS: dict[str, Callable[[Context, SearchSpace], CTCPrefixScorer | AutoregressiveScorer | PriorScorer]] = {
    "ctc": _ctc_scorer,
    "prior": _prior_scorer,
    **{term: partial(_model_scorer, term=term) for term in OWNERS},
}
