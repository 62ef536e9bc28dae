"""Draft and verify: the greedy search of an autoregressive model, in far fewer forward passes.

A draft of the labels to come (`drafts`: the CTC hypothesis) is scored by one forward pass. The longest part of it that
the model agrees with, label by label its own arg-max, is kept, and with it the model's own next label, which the same
pass gives; a new draft goes on from there, until that label is EOS or the label limit is reached. What is found is what
greedy search finds, whatever is drafted (speculative decoding with a deterministic draft, after Stern et al. 2018 and
Leviathan et al. 2023): only two labels whose log-probabilities differ by less than passes over one and over many labels
do can change places, and these are counted.

Legend: B utterances · R rows (utterances still live) · N labels of a draft · M = N + 1 · V labels (EOS included) ·
G labels decided in this pass · L labels of an utterance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from duolect.search.checks import (
    check_count,
    check_limits,
    check_scores,
    check_weight,
    special_labels,
    utterance_names,
)
from duolect.search.drafts import Drafter
from duolect.search.result import DraftStatistics, Hypothesis

if TYPE_CHECKING:
    from duolect.models import Autoregressive

TIE = 1e-4
"""Two labels whose log-probabilities are closer than this are a tie."""


class _Verdict(NamedTuple):
    """What a forward pass decided for each row."""

    kept_R: Tensor  # labels of the draft that the model agrees with
    own_R: Tensor  # the model's next label; EOS at the limit
    gained_R: Tensor  # log p of both, float64
    forced_R: Tensor  # the limit made it EOS
    dead_R: Tensor  # there is no next label of non-zero probability
    ties: int


@dataclass
class _Output:
    """What is known of each utterance; `labels_BL` is written as labels are decided."""

    labels_BL: Tensor
    counts_B: Tensor
    score_B: Tensor
    truncated_B: Tensor
    dead_B: Tensor


@dataclass(frozen=True)
class _Task:
    limits_B: Tensor
    forbidden_V: Tensor
    eos_id: int
    longest_draft: int | None
    adaptive: bool
    ids: Sequence[str]
    name: str


def draft_and_verify(
    model: Autoregressive,
    encoded: Any,
    drafter: Drafter,
    *,
    limits_B: Sequence[int] | Tensor,
    eos_id: int,
    longest_draft: int | Literal["adaptive"] | None = None,
    forbidden_ids: Iterable[int] = (),
    ids: Sequence[str] | None = None,
    name: str = "speech_llm",
    weight: float = 1.0,
    statistics: DraftStatistics | None = None,
) -> list[list[Hypothesis]]:
    """The greedy hypothesis of every utterance, as a list of one: that of `label_synchronous` with a beam of 1.

    encoded: what `model.start` is given (None for a language model); the batch is `limits_B` long.
    drafter: knows the same utterances in the same order.
    limits_B: most labels of each utterance; at the limit EOS is forced and scored, as in `label_synchronous`.
    longest_draft: most labels drafted at once (None: all that the drafter has, which takes the fewest passes).
        "adaptive": after a draft of which n labels were right, at most 2·(n + 1), and twice as many after one that was
        all right: nearly as few passes, and far fewer labels to no purpose where model and drafter rarely agree.
    forbidden_ids: labels that never occur. name, weight: of the term in the hypothesis.
    statistics: is added to: forward passes, rows, labels consumed, labels drafted and accepted, ties (`TIE`).
    Ended utterances leave all later forward passes.
    Raises SearchError for impossible settings, and for NaN or +inf from the model.
    """
    limits = [int(n) for n in limits_B]
    names = utterance_names(ids, len(limits))
    check_weight(name, weight)
    check_limits(limits, names)
    if longest_draft is not None and longest_draft != "adaptive":
        check_count("longest_draft", longest_draft, least=0)
    statistics = DraftStatistics() if statistics is None else statistics
    statistics.utterances += len(limits)
    if not limits:
        return []
    with torch.no_grad():
        log_probs_RV, state = model.start(encoded, len(limits))
        statistics.add(len(limits), 0)
        device, vocabulary = log_probs_RV.device, log_probs_RV.shape[1]
        task = _task(limits, vocabulary, eos_id, longest_draft, forbidden_ids, names, name, device)
        output = _Output(
            labels_BL=torch.zeros(len(limits), max(limits), dtype=torch.long, device=device),
            counts_B=torch.zeros(len(limits), dtype=torch.long, device=device),
            score_B=torch.zeros(len(limits), dtype=torch.float64, device=device),
            truncated_B=torch.zeros(len(limits), dtype=torch.bool, device=device),
            dead_B=torch.zeros(len(limits), dtype=torch.bool, device=device),
        )
        _run(task, model, state, log_probs_RV, drafter, output, statistics)
    return _hypotheses(output, name, weight)


def _run(
    task: _Task,
    model: Autoregressive,
    state: Any,
    log_probs_RV: Tensor,
    drafter: Drafter,
    output: _Output,
    statistics: DraftStatistics,
) -> None:
    """Rounds of verifying and drafting until no utterance is live."""
    utterance_R = torch.arange(len(log_probs_RV), device=log_probs_RV.device)
    block_RMV = log_probs_RV[:, None]
    draft_RN, drafted_R = utterance_R.new_zeros(len(utterance_R), 0), torch.zeros_like(utterance_R)
    most = int(task.limits_B.max()) if task.longest_draft is None else task.longest_draft
    allowed_R = torch.full_like(utterance_R, most)
    drafts = drafter.start(len(utterance_R))
    while True:
        verdict = _verify(task, block_RMV, draft_RN, drafted_R, utterance_R, output.counts_B[utterance_R])
        statistics.accepted += int(verdict.kept_R.sum())
        statistics.ties += verdict.ties
        added_RM, counts_R, live_R = _write(task, verdict, draft_RN, utterance_R, output)
        if not len(live_R):
            return
        # All that is decided but for the last label has been consumed; what was drafted beyond it is forgotten.
        wrong_R = (drafted_R - verdict.kept_R)[live_R]
        state = model.select(state, live_R)
        if draft_RN.shape[1]:
            state = model.forget(state, wrong_R)
        utterance_R, own_R = utterance_R[live_R], verdict.own_R[live_R]
        drafts = drafter.follow(drafts, live_R, added_RM[live_R], counts_R[live_R])
        if task.adaptive:
            allowed_R = torch.where(verdict.kept_R == drafted_R, 2 * allowed_R, 2 * (verdict.kept_R + 1))
            allowed_R = allowed_R.clamp(max=most)
        allowed_R = allowed_R[live_R]
        room_R = task.limits_B[utterance_R] - output.counts_B[utterance_R]
        draft_RN, drafted_R = drafter.propose(drafts, torch.minimum(allowed_R, room_R))
        statistics.drafted += int(drafted_R.sum())
        statistics.add(len(own_R), len(own_R) + int(drafted_R.sum()))
        block_RMV, state = model.step(state, torch.cat([own_R[:, None], draft_RN], 1), drafted_R + 1)


def _verify(
    task: _Task, block_RMV: Tensor, draft_RN: Tensor, drafted_R: Tensor, utterance_R: Tensor, counts_R: Tensor
) -> _Verdict:
    """block_RMV: the model's distributions after 0 … N labels of the draft; counts_R: labels decided before."""
    positions = block_RMV.shape[1]
    allowed_RMV = block_RMV.masked_fill(task.forbidden_V, -torch.inf)
    best_RM = allowed_RMV.argmax(-1)
    places_M = torch.arange(positions, device=best_RM.device)
    agreed_RN = (draft_RN == best_RM[:, :-1]) & (draft_RN != task.eos_id) & (places_M[:-1] < drafted_R[:, None])
    agreed_RN &= allowed_RMV[:, :-1].amax(-1) != -torch.inf  # the best of impossible labels is none
    kept_R = agreed_RN.long().cumprod(1).sum(1)
    decided_RM = places_M <= kept_R[:, None]
    if not bool((allowed_RMV.amax(-1)[decided_RM] < torch.inf).all()):  # amax keeps a NaN
        check_scores(block_RMV.masked_fill(~decided_RM[..., None], 0.0), utterance_R, ids=task.ids, name=task.name)
    top_G2 = allowed_RMV[decided_RM].topk(min(2, allowed_RMV.shape[-1]), -1).values
    ties = int((top_G2[:, 0] - top_G2[:, -1] < TIE).sum()) if top_G2.shape[1] == 2 else 0

    own_R = best_RM.gather(1, kept_R[:, None])[:, 0]
    at_limit_R = counts_R + kept_R == task.limits_B[utterance_R]
    forced_R = at_limit_R & (own_R != task.eos_id)
    own_R = own_R.masked_fill(at_limit_R, task.eos_id)
    chosen_RM = torch.nn.functional.pad(draft_RN, (0, 1)).scatter(1, kept_R[:, None], own_R[:, None])
    scores_RM = allowed_RMV.gather(2, chosen_RM[..., None])[..., 0]
    dead_R = scores_RM.gather(1, kept_R[:, None])[:, 0] == -torch.inf
    counted_RM = decided_RM & ~(dead_R[:, None] & (places_M == kept_R[:, None]))
    gained_R = scores_RM.masked_fill(~counted_RM, 0.0).double().sum(1)
    return _Verdict(kept_R, own_R, gained_R, forced_R, dead_R, ties)


def _write(
    task: _Task, verdict: _Verdict, draft_RN: Tensor, utterance_R: Tensor, output: _Output
) -> tuple[Tensor, Tensor, Tensor]:
    """Puts down what was decided; returns the labels added to each row (R, M), their numbers, and which rows live."""
    ended_R = verdict.dead_R | (verdict.own_R == task.eos_id)
    added_RM = torch.nn.functional.pad(draft_RN, (0, 1)).scatter(1, verdict.kept_R[:, None], verdict.own_R[:, None])
    counts_R = verdict.kept_R + (~ended_R).long()
    row_G, place_G = (torch.arange(added_RM.shape[1], device=added_RM.device) < counts_R[:, None]).nonzero(
        as_tuple=True
    )
    owner_G = utterance_R[row_G]
    output.labels_BL[owner_G, output.counts_B[owner_G] + place_G] = added_RM[row_G, place_G]
    output.counts_B[utterance_R] += counts_R
    output.score_B[utterance_R] += verdict.gained_R
    output.truncated_B[utterance_R] = verdict.forced_R | verdict.dead_R
    output.dead_B[utterance_R] = verdict.dead_R
    return added_RM, counts_R, (~ended_R).nonzero()[:, 0]


def _task(
    limits: Sequence[int],
    vocabulary: int,
    eos_id: int,
    longest_draft: int | Literal["adaptive"] | None,
    forbidden_ids: Iterable[int],
    ids: Sequence[str],
    name: str,
    device: torch.device,
) -> _Task:
    forbidden_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
    forbidden_V[special_labels(eos_id, forbidden_ids, vocabulary)] = True
    forbidden_V[eos_id] = False
    return _Task(
        limits_B=torch.tensor(limits, device=device),
        forbidden_V=forbidden_V,
        eos_id=eos_id,
        longest_draft=None if longest_draft == "adaptive" else longest_draft,
        adaptive=longest_draft == "adaptive",
        ids=ids,
        name=name,
    )


def _hypotheses(output: _Output, name: str, weight: float) -> list[list[Hypothesis]]:
    fields = (output.labels_BL, output.counts_B, output.score_B, output.truncated_B, output.dead_B)
    return [
        [
            Hypothesis(
                labels=tuple(labels[:count]),
                score=weight * score,
                terms={name: score},
                truncated=truncated,
                flags=("unfinished",) if dead else (),
            )
        ]
        for labels, count, score, truncated, dead in zip(*(each.tolist() for each in fields), strict=True)
    ]
