"""The first pass: from a batch to n-best lists of labels, over frames or over labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Hypothesis,
    PriorScorer,
    Weighted,
    frame_synchronous,
    greedy,
    label_synchronous,
)
from duolect.systems.components import spelling_units
from duolect.systems.context import Context
from duolect.systems.drafting import draft_pass
from duolect.systems.limits import forbidden, label_limits

Lists = list[list[Hypothesis]]

_MODELS = frozenset({"decoder", "speech_llm", "lm"})  # by whose distributions CTC's candidates can be chosen


def run_first_pass(context: Context) -> Lists:
    """N-best lists, best first, one for each utterance of the batch; the terms inside the search are filled in."""
    return _PASSES[context.search.first_pass](context)


def _greedy(context: Context) -> Lists:
    units = spelling_units(context.parts, context.search)
    log_probs_BTW, frames_B = context.ctc()
    found = greedy(log_probs_BTW, frames_B, eos_id=units.eos_id, forbidden_ids=forbidden(units), ids=context.ids)
    scale = context.search.inside.ctc
    return found if scale == 1.0 else [[replace(h, score=h.score * scale) for h in each] for each in found]


def _frames(context: Context) -> Lists:
    search, units = context.search, spelling_units(context.parts, context.search)
    log_probs_BTW, frames_B = context.ctc()
    others = [_weighted(context, term) for term in search.inside.active if term not in ("ctc", "lm", "prior")]
    return frame_synchronous(
        log_probs_BTW,
        frames_B,
        beam=search.beam,
        nbest=search.nbest,
        labels_per_frame=search.labels_per_frame,
        merge=search.merge,
        ctc_weight=search.inside.ctc,
        lm=_weighted(context, "lm") if search.inside.lm else None,
        prior=_weighted(context, "prior") if search.inside.prior else None,
        scorers=others,
        exact_ctc=search.exact_ctc,
        eos_id=units.eos_id,
        forbidden_ids=forbidden(units),
        ids=context.ids,
    )


def _labels(context: Context) -> Lists:
    search, units = context.search, spelling_units(context.parts, context.search)
    encoded = context.encoded(search.spelling)
    limits = [min(a, b) for a, b in zip(encoded.lengths_B.tolist(), label_limits(context), strict=True)]
    return label_synchronous(
        [_weighted(context, term) for term in search.inside.active],
        encoded,
        beam=search.beam,
        nbest=search.nbest,
        limits_B=limits,
        length_exponent=search.length_exponent,
        stop=search.stop,
        candidates=search.candidates if _MODELS.intersection(search.inside.active) else None,
        eos_id=units.eos_id,
        forbidden_ids=forbidden(units),
        ids=context.ids,
    )


_PASSES: dict[str, Callable[[Context], Lists]] = {
    "greedy": _greedy,
    "frames": _frames,
    "labels": _labels,
    "draft": draft_pass,
}


def _weighted(context: Context, term: str) -> Weighted:
    return Weighted(term, _SCORERS[term](context), getattr(context.search.inside, term))


def _ctc_scorer(context: Context) -> CTCPrefixScorer:
    log_probs_BTW, frames_B = context.ctc()
    units = spelling_units(context.parts, context.search)
    return CTCPrefixScorer(log_probs_BTW, frames_B, eos_id=units.eos_id, ids=context.ids)


def _decoder_scorer(context: Context) -> AutoregressiveScorer:
    decoder = context.parts["acoustic"].model.decoder
    return AutoregressiveScorer(decoder, context.encoded("acoustic"), context.count("decoder"))


def _speech_llm_scorer(context: Context) -> AutoregressiveScorer:
    model = context.parts["speech_llm"].model
    return AutoregressiveScorer(model, context.encoded("speech_llm"), context.count("speech_llm"))


def _lm_scorer(context: Context) -> AutoregressiveScorer:
    return AutoregressiveScorer(context.parts["language"].model, None, context.count("lm"))


def _prior_scorer(context: Context) -> PriorScorer:
    log_prior_V = context.parts[context.search.spelling].log_prior_V
    assert log_prior_V is not None, "checked when the system was made"
    return PriorScorer(log_prior_V)


_SCORERS = {
    "ctc": _ctc_scorer,
    "decoder": _decoder_scorer,
    "speech_llm": _speech_llm_scorer,
    "lm": _lm_scorer,
    "prior": _prior_scorer,
}
