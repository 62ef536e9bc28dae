"""What losses and scores are computed on. B utterances · N labels · M = N + 1 · P packed positions · V labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from duolect.nn.masks import length_mask

if TYPE_CHECKING:
    from duolect.data.loader import SpeechBatch


class LabelBatch(Protocol):
    """The part of a batch that every loss looks at: labels without BOS and EOS, right-padded."""

    @property
    def labels_BN(self) -> Tensor: ...

    @property
    def label_lengths_B(self) -> Tensor: ...


def next_label_targets(labels_BN: Tensor, lengths_B: Tensor, eos_id: int) -> tuple[Tensor, Tensor]:
    """(mask_BM, targets_P): which of the M = N + 1 positions predict a label or EOS, and what, packed row by row."""
    mask_BM, targets_BM = _next_labels(labels_BN, lengths_B, eos_id)
    return mask_BM, targets_BM[mask_BM]


def next_label_scores(
    log_probs_BMV: Tensor, labels_BN: Tensor, lengths_B: Tensor, eos_id: int
) -> tuple[Tensor, Tensor]:
    """(log p of each label and of EOS (B, M), 0 beyond them; mask_BM), from what `sequence_log_probs` gives."""
    mask_BM, targets_BM = _next_labels(labels_BN, lengths_B, eos_id)
    return log_probs_BMV.gather(2, targets_BM[..., None])[..., 0].masked_fill(~mask_BM, 0.0), mask_BM


def _next_labels(labels_BN: Tensor, lengths_B: Tensor, eos_id: int) -> tuple[Tensor, Tensor]:
    targets_BM = torch.nn.functional.pad(labels_BN, (0, 1)).scatter(1, lengths_B[:, None], eos_id)
    return length_mask(lengths_B + 1, targets_BM.shape[1]), targets_BM


def label_count(batch: LabelBatch) -> float:
    """Labels and sentence ends a model of next labels is trained on in this batch."""
    return float(batch.label_lengths_B.sum() + len(batch.label_lengths_B))


def ctc_labels(batch: SpeechBatch) -> tuple[Tensor, Tensor]:
    """(labels_BN, lengths_B) in the units CTC speaks."""
    if batch.ctc_labels_BN is not None and batch.ctc_label_lengths_B is not None:
        return batch.ctc_labels_BN, batch.ctc_label_lengths_B
    return batch.labels_BN, batch.label_lengths_B


def ctc_count(batch: SpeechBatch) -> float:
    """Labels CTC is trained on in this batch; an utterance without labels counts as one."""
    return float(ctc_labels(batch)[1].clamp(min=1).sum())
