"""What each label of given sequences scored, term by term: the parts that whole-sequence scores are the sums of.

Legend: T frames · W = V + 1 classes (blank last) · R sequences, all of one utterance · N labels · M = N + 1, EOS last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from duolect.models.targets import next_label_scores
from duolect.search.checks import check_labels
from duolect.search.ctc_prefix import CTCPrefixScorer
from duolect.search.padding import padded_labels

if TYPE_CHECKING:
    from duolect.models import Autoregressive


def model_label_scores(
    model: Autoregressive, encoded: Any, sequences: Sequence[Sequence[int]], *, eos_id: int, name: str = "lm"
) -> list[Tensor]:
    """log p of each label and of EOS (M,) of every sequence; their sums are those of `sequence_scores`.

    encoded: what the model attends to, one utterance; None for a language model.
    """
    check_labels(name, (c for a in sequences for c in a), model.vocabulary)
    device = encoded.lengths_B.device if encoded is not None else next(iter(model.parameters())).device  # ty: ignore
    labels_RN, counts_R = padded_labels(sequences, device)
    if encoded is not None:
        encoded = encoded.select(torch.zeros(len(sequences), dtype=torch.long, device=device))
    with torch.no_grad():
        log_probs_RMV = model.sequence_log_probs(encoded, labels_RN, counts_R)
        scores_RM = next_label_scores(log_probs_RMV, labels_RN, counts_R, eos_id)[0].cpu()
    return [scores_M[: len(a) + 1] for scores_M, a in zip(scores_RM, sequences, strict=True)]


def ctc_label_scores(
    log_probs_1TW: Tensor, lengths_1: Tensor, sequences: Sequence[Sequence[int]], *, eos_id: int
) -> list[Tensor]:
    """log ψ(h·c) − log ψ(h) of each label and of EOS (M,), float64; their sums are those of `ctc_full_sum`.

    −inf from the first label on that no alignment leaves room for.
    """
    check_labels("ctc", (c for a in sequences for c in a), log_probs_1TW.shape[-1] - 1)
    labels_RN, counts_R = padded_labels(sequences, log_probs_1TW.device)
    with torch.no_grad():
        scorer = CTCPrefixScorer(log_probs_1TW, lengths_1, eos_id=eos_id)
        parent_R = torch.zeros_like(counts_R)
        state = scorer.advance(scorer.start(None, 1), None, parent_R, parent_R - 1)
        prefixes = [state.prefix_R]
        for n in range(labels_RN.shape[1]):
            rows_R = torch.arange(len(counts_R), device=counts_R.device)
            state = scorer.advance(state, None, rows_R, torch.where(n < counts_R, labels_RN[:, n], -1))
            prefixes.append(state.prefix_R)
        ends_R = scorer.full_sum(state).cpu()
        prefixes_RM = torch.stack(prefixes, 1).cpu()
    scores = []
    for prefix_M, end, a in zip(prefixes_RM, ends_R, sequences, strict=True):
        logs = torch.cat([prefix_M[: len(a) + 1], end[None]])
        scores.append(torch.where(logs[1:] > -torch.inf, logs.diff(), -torch.inf))
    return scores
