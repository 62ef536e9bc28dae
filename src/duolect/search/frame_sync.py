"""Frame-synchronous prefix beam search: CTC alone, or with scorers that have their say label by label, before pruning.

(Graves & Jaitly 2014; Hannun et al. 2014; label-wise shallow fusion as in arXiv 2603.15045.)

Every beam entry is a label sequence with two masses, of the alignments that end in blank and in its last label, so a
repeated label is right. One loop over frames (`frame_search`); all utterances and hypotheses advance together, and
nothing loops over hypotheses. CTC alone on a CPU goes to a compiled loop (`ctc_kernel`), where Numba is installed.

Legend: B utterances · T frames · V labels (EOS included) · W = V + 1 (blank last).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search import kernels
from duolect.search.checks import (
    check_count,
    check_limits,
    check_log_probs,
    check_weight,
    special_labels,
    utterance_names,
)
from duolect.search.ctc_prefix import ctc_full_sum
from duolect.search.delayed import Delayed
from duolect.search.frame_search import FrameSearch, Merge
from duolect.search.result import Hypothesis, combine, ranked
from duolect.search.scorer import Weighted


def frame_synchronous(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    *,
    beam: int,
    nbest: int,
    eos_id: int,
    labels_per_frame: int | None = None,
    merge: Merge = "sum",
    ctc_weight: float = 1.0,
    lm: Weighted | None = None,
    prior: Weighted | None = None,
    scorers: Sequence[Weighted] = (),
    encoded: Any = None,
    delayed: Delayed | None = None,
    skip_blank: float | None = None,
    limits_B: Sequence[int] | None = None,
    forbidden_ids: Iterable[int] = (),
    exact_ctc: bool = False,
    ids: Sequence[str] | None = None,
    name: str = "ctc",
) -> list[list[Hypothesis]]:
    """N-best lists (at most `beam` long), best first, under λ_ctc·log p_ctc + Σ λ_i·log p_i − λ_prior·log p_prior.

    log_probs_BTW: CTC log-softmax, blank last, V = W − 1 labels of which EOS is one (never emitted by CTC).
    labels_per_frame: only this many best labels of a frame may extend a hypothesis; None: all. An entry that is already
        in the beam always gets its own mass: its label repeated, and its parent followed by its last label.
    merge: "sum" adds the probabilities of alignments; "max" keeps the best one: an entry's two masses are then those
        of its best alignment ending in blank and in its label, a score is the larger of both, and with an unlimited
        beam the result is the sequence with the best single alignment.
    lm, prior, scorers: added when a hypothesis gains a label, before pruning; EOS at the end. `scorers` are further
        ones: an attention decoder or speech LLM over `encoded`. Their states advance only in frames in which a new
        sequence enters a beam, all utterances in one call; the scores of an entry are computed once, and again only
        if it leaves the beam and comes back.
    delayed: an LM, and with it the prior, that has its say on finished words: every so many frames, and at the end.
    skip_blank: no hypothesis is extended in frames with p(blank) ≥ this; entries of the beam keep their own mass, as
        with `labels_per_frame`. None: off (1.0 is not: a float32 softmax reaches it).
    limits_B: most labels of each utterance, as the positions of a scorer's model or a rate allow; None: no limit.
    exact_ctc: the term "ctc" becomes the full sum over all alignments (the search knows only those whose prefixes
        stayed in the beam), and the lists are ranked with it.
    Raises SearchError for impossible input (see `checks`), and for NaN or +inf from a scorer during the search.
    """
    names = utterance_names(ids, len(log_probs_BTW))
    check_log_probs(log_probs_BTW, lengths_B, ids=names, name=name)
    weighted = [w for w in (lm, *scorers, prior) if w is not None]
    every = [*weighted, *(delayed.weighted if delayed is not None else ())]
    special = special_labels(eos_id, forbidden_ids, log_probs_BTW.shape[-1] - 1)
    if limits_B is not None:
        check_limits(limits_B, names)
    _check_settings(beam, nbest, labels_per_frame, merge, ctc_weight, skip_blank, [name, *(w.name for w in every)])
    if not names:
        return []
    with torch.no_grad():
        if not every and limits_B is None and log_probs_BTW.device.type == "cpu" and kernels.available():
            results = kernels.ctc_beams(
                log_probs_BTW,
                lengths_B,
                beam=beam,
                nbest=nbest,
                special=special,
                labels_per_frame=labels_per_frame,
                take_max=merge == "max",
                skip_blank=skip_blank,
                ctc_weight=ctc_weight,
                name=name,
            )
        else:
            search = FrameSearch(
                log_probs_BTW,
                lengths_B,
                beam,
                labels_per_frame,
                merge,
                ctc_weight,
                special,
                weighted,
                names,
                delayed,
                skip_blank,
                limits_B,
            )
            results = search.results(search.run(encoded, eos_id), nbest, name)
        if exact_ctc:
            sums = ctc_full_sum(log_probs_BTW, lengths_B, [[h.labels for h in each] for each in results], names)
            factors = {name: ctc_weight, **{w.name: w.weight for w in every}}
            results = [
                _reranked(each, name, values.tolist(), factors) for each, values in zip(results, sums, strict=True)
            ]
    return results


def _reranked(
    nbest: Sequence[Hypothesis], name: str, sums: Sequence[float], weights: Mapping[str, float]
) -> list[Hypothesis]:
    """The list with another value of the term `name`, and ranked by it."""
    unfinished = [h for h in nbest if "unfinished" in h.flags]
    renewed = [h.with_term(name, v) for h, v in zip(nbest, sums, strict=True) if "unfinished" not in h.flags]

    def score(hypothesis: Hypothesis) -> float:  # an utterance that a delayed LM cannot spell has no such term
        return combine(hypothesis.terms, {name: w for name, w in weights.items() if name in hypothesis.terms})

    return ranked([*(replace(h, score=score(h)) for h in renewed), *unfinished])


def _check_settings(
    beam: int,
    nbest: int,
    labels_per_frame: int | None,
    merge: str,
    ctc_weight: float,
    skip_blank: float | None,
    names: Sequence[str],
) -> None:
    check_count("beam", beam)
    check_count("nbest", nbest)
    if labels_per_frame is not None:
        check_count("labels_per_frame", labels_per_frame)
    if merge not in ("sum", "max"):
        raise SearchError(f"merge: {merge!r} is neither 'sum' nor 'max'.")
    if skip_blank is not None and not 0.0 < skip_blank <= 1.0:
        raise SearchError(f"skip_blank: {skip_blank} is no probability above 0; None is off.")
    check_weight(names[0], ctc_weight)
    if not ctc_weight:
        raise SearchError(f"weight {names[0]!r}: a search over frames needs a CTC weight above 0.")
    if len(set(names)) != len(names):
        raise SearchError(f"scorers: names must differ; given {list(names)}.")
