"""Losses as sums with their own counts, so that a trainer can divide by counts over all devices and micro-batches.

B utterances · T frames · N labels · V labels of the vocabulary · W = V + 1 with the blank last · M packed positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from duolect.nn.masks import length_mask


class LossTerm(NamedTuple):
    """One part of a loss: the sum over labels (nats), how many labels, and its weight in the whole.

    The loss of a training step is Σ weight · total / count, with totals and counts summed over everything the step
    has seen. A tuple, so that wrappers of a model, which look for tensors in what it returns, find the total.
    """

    total: Tensor
    count: float
    weight: float = 1.0


def label_smoothed_cross_entropy(logits_MV: Tensor, targets_M: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum over M of the cross-entropy with (1 - smoothing) on the target and the rest spread evenly over V. float32."""
    return functional.cross_entropy(logits_MV.float(), targets_M, reduction="sum", label_smoothing=smoothing)


def ctc_frames_needed(labels_BN: Tensor, label_lengths_B: Tensor) -> Tensor:
    """The fewest frames of which labels have an alignment: one each, and a blank between equal neighbours."""
    equal_BN = (labels_BN[:, 1:] == labels_BN[:, :-1]) & length_mask(label_lengths_B, labels_BN.shape[1])[:, 1:]
    return label_lengths_B + equal_BN.sum(1)


def ctc_loss(logits_BTW: Tensor, lengths_B: Tensor, labels_BN: Tensor, label_lengths_B: Tensor) -> Tensor:
    """Sum over utterances of -log p_ctc(labels | x) (Graves et al. 2006), in float32; the blank is index W - 1.

    An utterance too short for its labels has no alignment and contributes neither loss nor gradient.
    """
    with torch.autocast(logits_BTW.device.type, enabled=False):
        log_probs_TBW = logits_BTW.float().log_softmax(-1).transpose(0, 1)
        return functional.ctc_loss(
            log_probs_TBW,
            labels_BN,
            lengths_B,
            label_lengths_B,
            blank=logits_BTW.shape[-1] - 1,
            reduction="sum",
            zero_infinity=True,
        )
