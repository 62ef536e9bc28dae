"""Label-synchronous beam search: every step adds one label to every live hypothesis of every utterance.

Serves the attention decoder, the speech LLM and any weighted set of scorers, CTC prefix scores among them
(arXiv 2603.15045, joint recognition):

    s(h·c) = s(h) + Σ λ_i·log p_i(c | h)

From the best 2K candidates of an utterance, EOS ones among the first K finish; the best K others live on. At the label
limit only EOS is allowed and is scored like any other label: the search space is all sequences of at most that length.

Legend: B utterances of the call · U utterances still live · R rows (live hypotheses by utterance, best first) ·
V labels (EOS included) · C candidates · J ranked continuations of an utterance (at most 2·beam) · M scorers · N labels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_count, check_limits, check_scores, special_labels, utterance_names
from duolect.search.repeats import repeats
from duolect.search.result import Hypothesis, ranked
from duolect.search.scorer import ByCandidate, Weighted, check_vocabularies

Stop = Literal["exact", "heuristic"]


@dataclass(frozen=True)
class _Task:
    """What stays the same during one call."""

    scorers: Sequence[Weighted]
    beam: int
    nbest: int
    limits: frozenset[int]
    limits_B: Tensor
    eos_id: int
    forbidden_V: Tensor
    length_exponent: float
    stop: Stop
    candidates: int | None
    no_repeat_ngram: int | None
    ids: Sequence[str]


@dataclass
class _Rows:
    """Live hypotheses; all have the same number of labels."""

    utterance_R: Tensor
    score_R: Tensor
    terms_RM: Tensor
    labels_RN: Tensor
    states: list[Any]


@dataclass
class _Finished:
    """Hypotheses that took EOS, step by step, and per utterance the best n-best ranking scores so far."""

    best_BN: Tensor
    found: list[list[Hypothesis]] = field(default_factory=list)


def label_synchronous(
    scorers: Sequence[Weighted],
    encoded: Any,
    *,
    beam: int,
    nbest: int,
    limits_B: Sequence[int] | Tensor,
    eos_id: int,
    length_exponent: float = 0.0,
    stop: Stop = "exact",
    candidates: int | None = None,
    no_repeat_ngram: int | None = None,
    forbidden_ids: Iterable[int] = (),
    ids: Sequence[str] | None = None,
) -> list[list[Hypothesis]]:
    """N-best lists, best first, of every utterance; the rows of ended utterances leave all later forward passes.

    scorers: any weighted set; s(h·c) = s(h) + Σ λ_i·score_i(c|h), the prior subtracted.
    encoded: passed to each scorer's `start` (None where no scorer needs it); the batch is `limits_B` long.
    limits_B: most labels of each utterance; at the limit only EOS is allowed, and is scored like any other.
    length_exponent: α ≥ 0; hypotheses are ranked by s/N^α, N counts labels and EOS.
    stop: "exact": an utterance ends when no live hypothesis can enter its n-best list within its limit;
        "heuristic": when none would enter it with its present score and number of labels.
    candidates: scorers that cost by candidate (CTC) see only the best C labels by the others' scores and their own
        `estimate`, and EOS; None, or C ≥ V, is exact.
    no_repeat_ngram: the search space is the sequences in which no so many labels in a row occur twice; None: all.
    forbidden_ids: labels that never occur (BOS, padding, unknown).
    Raises SearchError for impossible settings, and for NaN or +inf from a model (utterance and scorer named).
    """
    limits = [int(n) for n in limits_B]
    names = utterance_names(ids, len(limits))
    _check_settings(scorers, beam, nbest, length_exponent, stop, candidates, no_repeat_ngram)
    check_limits(limits, names)
    if not limits:
        return []
    vocabulary = check_vocabularies(scorers)
    special = special_labels(eos_id, forbidden_ids, vocabulary)
    with torch.no_grad():
        states = [w.scorer.start(encoded, len(limits)) for w in scorers]
        device = scorers[0].scorer.device
        forbidden_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        forbidden_V[special] = True
        forbidden_V[eos_id] = False
        task = _Task(
            scorers=scorers,
            beam=beam,
            nbest=nbest,
            limits=frozenset(limits),
            limits_B=torch.tensor(limits, device=device),
            eos_id=eos_id,
            forbidden_V=forbidden_V,
            length_exponent=length_exponent,
            stop=stop,
            candidates=candidates if candidates is not None and candidates < vocabulary else None,
            no_repeat_ngram=no_repeat_ngram,
            ids=names,
        )
        rows: _Rows | None = _Rows(
            utterance_R=torch.arange(len(limits), device=device),
            score_R=torch.zeros(len(limits), device=device),
            terms_RM=torch.zeros(len(limits), len(scorers), device=device),
            labels_RN=torch.zeros(len(limits), 0, dtype=torch.long, device=device),
            states=states,
        )
        finished = _Finished(torch.full((len(limits), nbest), -torch.inf, device=device), [[] for _ in limits])
        while rows is not None:
            rows = _step(task, rows, finished)
    return [ranked(found)[:nbest] for found in finished.found]


def _step(task: _Task, rows: _Rows, finished: _Finished) -> _Rows | None:
    """One label for every row: EOS ones finish, the best others live on; None when no utterance is live."""
    count = rows.labels_RN.shape[1]
    totals_RC, labels_RC, parts, pending = _scores(task, rows)
    truncated_R = torch.zeros_like(rows.utterance_R, dtype=torch.bool)
    if count in task.limits:
        is_eos_RC = labels_RC == task.eos_id
        at_limit_R = task.limits_B[rows.utterance_R] == count
        truncated_R = at_limit_R & ~is_eos_RC.gather(1, totals_RC.argmax(1, keepdim=True))[:, 0]
        totals_RC = totals_RC.masked_fill(at_limit_R[:, None] & ~is_eos_RC, -torch.inf)

    utterance_U, score_UJ, row_UJ, column_UJ = _best_continuations(rows.utterance_R, totals_RC, 2 * task.beam)
    valid_UJ = score_UJ > -torch.inf
    ends_UJ = labels_RC[row_UJ, column_UJ] == task.eos_id
    finish_UJ = valid_UJ & ends_UJ
    finish_UJ[:, task.beam :] = False
    lives_UJ = valid_UJ & ~ends_UJ
    lives_UJ &= lives_UJ.cumsum(1) <= task.beam

    ranking_UJ = (score_UJ / (count + 1) ** task.length_exponent).masked_fill(~finish_UJ, -torch.inf)
    pool_UN = torch.cat([finished.best_BN[utterance_U], ranking_UJ], 1).topk(task.nbest).values
    finished.best_BN[utterance_U] = pool_UN
    row_F, column_F = row_UJ[finish_UJ], column_UJ[finish_UJ]
    terms_FM = rows.terms_RM[row_F] + _pick(parts, row_F, column_F)
    _record(task, finished, rows, row_F, ranking_UJ[finish_UJ], terms_FM, truncated_R[row_F].tolist())

    best_live_U = score_UJ.masked_fill(~lives_UJ, -torch.inf).amax(1)
    ended_U = pool_UN[:, -1] >= _bound(task, best_live_U, count + 1, task.limits_B[utterance_U])
    ended_U |= best_live_U == -torch.inf
    empty_handed_U = ended_U & (pool_UN[:, 0] == -torch.inf)
    if bool(empty_handed_U.any()):
        first_F = torch.searchsorted(rows.utterance_R, utterance_U[empty_handed_U])  # its best row
        _record(task, finished, rows, first_F, rows.score_R[first_F], rows.terms_RM[first_F], None)
    lives_UJ &= ~ended_U[:, None]
    parent_R, column_R = row_UJ[lives_UJ], column_UJ[lives_UJ]
    if not len(parent_R):
        return None
    label_R = labels_RC[parent_R, column_R]
    states = [
        w.scorer.advance(state, computed, parent_R, label_R)
        for w, state, computed in zip(task.scorers, rows.states, pending, strict=True)
    ]
    return _Rows(
        utterance_R=rows.utterance_R[parent_R],
        score_R=score_UJ[lives_UJ],
        terms_RM=rows.terms_RM[parent_R] + _pick(parts, parent_R, column_R),
        labels_RN=torch.cat([rows.labels_RN[parent_R], label_R[:, None]], 1),
        states=states,
    )


def _scores(task: _Task, rows: _Rows) -> tuple[Tensor, Tensor, list[Tensor], list[Any]]:
    """Weighted totals and labels of each row's continuations (R, C or V), each scorer's own logs, and what it computed.

    EOS is always among the continuations; labels that are forbidden, or would repeat an n-gram, may be, at −inf.
    """
    labels_RC: Tensor | None = None
    row_P, label_P = repeats(rows.labels_RN, task.no_repeat_ngram)
    if task.candidates is not None:
        labels_RC = _candidates(task, rows, task.candidates, row_P, label_P)
    parts, pending = [], []
    total: Tensor | None = None
    for weighted, state in zip(task.scorers, rows.states, strict=True):
        part_RC, computed = weighted.scorer.score(state, labels_RC)
        parts.append(part_RC)
        pending.append(computed)
        if weighted.factor:  # a factor of 0 would turn −inf into NaN
            weighted_RC = part_RC if weighted.factor == 1 else part_RC * weighted.factor
            total = weighted_RC if total is None else total + weighted_RC
    assert total is not None
    totals_RC = rows.score_R[:, None] + total
    # One look at the sum finds the bad ones; only then is it asked whose they are.
    if not bool((totals_RC.amax(1) < torch.inf).all()):
        for weighted, part_RC in zip(task.scorers, parts, strict=True):
            check_scores(part_RC, rows.utterance_R, ids=task.ids, name=weighted.name)
    if labels_RC is None:
        labels_RC = torch.arange(totals_RC.shape[1], device=totals_RC.device).expand(len(totals_RC), -1)
        totals_RC.masked_fill_(task.forbidden_V, -torch.inf)
        totals_RC[row_P, label_P] = -torch.inf
    else:
        void_RC = task.forbidden_V[labels_RC]
        void_RC[:, :-1] |= (
            labels_RC[:, :-1] == task.eos_id
        )  # chosen for want of other labels; its own column is the last
        pair_H, column_H = (labels_RC[row_P] == label_P[:, None]).nonzero(as_tuple=True)
        void_RC[row_P[pair_H], column_H] = True
        totals_RC = totals_RC.masked_fill(void_RC, -torch.inf)
    return totals_RC, labels_RC, parts, pending


def _candidates(task: _Task, rows: _Rows, count: int, row_P: Tensor, label_P: Tensor) -> Tensor:
    """Each row's `count` best labels by what is known of all labels without candidates, and EOS in the last column.

    The pairs of row_P and label_P are not wanted.
    """
    total: Tensor | None = None
    for weighted, state in zip(task.scorers, rows.states, strict=True):
        if weighted.factor:
            scorer = weighted.scorer
            known_RV = cast(ByCandidate, scorer).estimate(state) if scorer.by_candidate else scorer.score(state)[0]
            part_RV = known_RV * weighted.factor
            total = part_RV if total is None else total + part_RV
    assert total is not None
    total = total.masked_fill(task.forbidden_V, -torch.inf)
    total[:, task.eos_id] = -torch.inf
    total[row_P, label_P] = -torch.inf
    best_RC = total.topk(count, 1).indices
    ends_R1 = torch.full_like(best_RC[:, :1], task.eos_id)
    return torch.cat([best_RC, ends_R1], 1)


def _best_continuations(utterance_R: Tensor, totals_RC: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best `count` (or all) continuations of each live utterance, best first.

    Returns its number (U,), scores (U, J), rows (U, J) and columns (U, J); absent ones score −inf.
    """
    utterance_U, place_R, rows_U = utterance_R.unique_consecutive(return_inverse=True, return_counts=True)
    first_U = rows_U.cumsum(0) - rows_U
    slot_R = torch.arange(len(utterance_R), device=utterance_R.device) - first_U[place_R]
    best_RJ, column_RJ = totals_RC.topk(min(count, totals_RC.shape[1]), 1)
    width = best_RJ.shape[1]
    padded_USJ = best_RJ.new_full((len(utterance_U), int(rows_U.max()), width), -torch.inf)
    padded_USJ[place_R, slot_R] = best_RJ
    score_UJ, at_UJ = padded_USJ.flatten(1).topk(min(count, padded_USJ[0].numel()), 1)
    slot_UJ = torch.minimum(at_UJ // width, rows_U[:, None] - 1)  # absent rows stand for any row: their score is −inf
    row_UJ = first_U[:, None] + slot_UJ
    return utterance_U, score_UJ, row_UJ, column_RJ[row_UJ, at_UJ % width]


def _bound(task: _Task, best_live_U: Tensor, count: int, limit_U: Tensor) -> Tensor:
    """The best ranking score (U,) that a live hypothesis of `count` labels can still reach.

    N = count + 1 … limit + 1 counts labels and EOS; each further label adds at most the scorers' largest gains (0 but
    for the prior). The heuristic is that of `generate`: the present score at the present number of labels.
    """
    if task.stop == "heuristic":
        return best_live_U / count**task.length_exponent
    gain = sum(w.gain for w in task.scorers)
    lengths_N = torch.arange(count + 1, max(int(limit_U.max()), count) + 2, device=limit_U.device)
    reach_UN = (best_live_U[:, None] + gain * (lengths_N - (count + 1))) / lengths_N**task.length_exponent
    return reach_UN.masked_fill(lengths_N > limit_U[:, None] + 1, -torch.inf).amax(1)


def _pick(parts: Sequence[Tensor], row_F: Tensor, column_F: Tensor) -> Tensor:
    return torch.stack([part_RC[row_F, column_F] for part_RC in parts], 1)


def _record(
    task: _Task,
    finished: _Finished,
    rows: _Rows,
    row_F: Tensor,
    score_F: Tensor,
    terms_FM: Tensor,
    truncated_F: list[bool] | None,
) -> None:
    """Keeps hypotheses of the rows `row_F`; without `truncated_F` they are prefixes that found no end."""
    names = [w.name for w in task.scorers]
    for place, (utterance, labels, score, terms) in enumerate(
        zip(
            rows.utterance_R[row_F].tolist(),
            rows.labels_RN[row_F].tolist(),
            score_F.tolist(),
            terms_FM.tolist(),
            strict=True,
        )
    ):
        hypothesis = Hypothesis(
            labels=tuple(labels),
            score=score,
            terms=dict(zip(names, terms, strict=True)),
            truncated=truncated_F is None or truncated_F[place],
            flags=("unfinished",) if truncated_F is None else (),
        )
        finished.found[utterance].append(hypothesis)


def _check_settings(
    scorers: Sequence[Weighted],
    beam: int,
    nbest: int,
    length_exponent: float,
    stop: str,
    candidates: int | None,
    no_repeat_ngram: int | None,
) -> None:
    names = [w.name for w in scorers]
    if not any(w.factor for w in scorers) or len(set(names)) != len(names):
        raise SearchError(f"scorers: at least one must have a weight above 0, and names must differ; given {names}.")
    check_count("beam", beam)
    check_count("nbest", nbest)
    if not (math.isfinite(length_exponent) and length_exponent >= 0.0):
        raise SearchError(f"length_exponent: {length_exponent} is not a finite number ≥ 0.")
    if stop not in ("exact", "heuristic"):
        raise SearchError(f"stop: {stop!r} is neither 'exact' nor 'heuristic'.")
    if no_repeat_ngram is not None:
        check_count("no_repeat_ngram", no_repeat_ngram)
    if candidates is not None:
        check_count("candidates", candidates)
        for weighted in scorers:
            if weighted.scorer.by_candidate and not hasattr(weighted.scorer, "estimate"):
                raise SearchError(f"candidates: the scorer {weighted.name!r} is by candidate, but has no `estimate`.")
        if all(w.scorer.by_candidate or w.factor <= 0.0 for w in scorers):  # a prior alone says nothing of the audio
            raise SearchError(
                "candidates: there is no other scorer to choose them by (attention decoder, speech LLM, LM)."
            )
