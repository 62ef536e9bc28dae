"""The entropy gate: which utterances CTC is so sure of that no other model need be asked.

Legend: B utterances · T frames · W = V + 1 classes (blank last).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import in_parts

EntropyOf = Literal["mean", "max"]


def frame_entropies(log_probs_BTW: Tensor, lengths_B: Tensor, by: EntropyOf = "max") -> Tensor:
    """How unsure CTC is of each utterance (B,): the mean or the largest entropy of its frames, in nats.

    A frame has H = −Σ_c y(c)·log y(c), from 0 to log W; an utterance without frames has 0. "max" is the entropy of the
    one frame it is least sure of; the mean also falls with every blank frame, so it depends on how fast one speaks.
    """
    if not log_probs_BTW.shape[1]:
        return log_probs_BTW.new_zeros(len(log_probs_BTW), dtype=torch.float32)
    frames_T = torch.arange(log_probs_BTW.shape[1], device=log_probs_BTW.device)
    lengths_B = lengths_B.to(log_probs_BTW.device)
    entropies_BT = torch.cat([torch.special.entr(part.float().exp()).sum(-1) for part in in_parts(log_probs_BTW)])
    entropies_BT = entropies_BT.masked_fill(frames_T >= lengths_B[:, None], 0.0)
    if by == "max":
        return entropies_BT.amax(1)
    return entropies_BT.sum(1) / lengths_B.clamp(min=1)


def confident(log_probs_BTW: Tensor, lengths_B: Tensor, threshold: float | None, by: EntropyOf = "max") -> Tensor:
    """Whose CTC output may be taken as it is (B,) bool: entropy below `threshold` (nats).

    None and 0 take nothing, infinity everything. Raises SearchError for a threshold that is negative or NaN.
    """
    if threshold is None:
        return torch.zeros(len(log_probs_BTW), dtype=torch.bool, device=log_probs_BTW.device)
    if math.isnan(threshold) or threshold < 0:
        raise SearchError(f"gate: {threshold} is not an entropy of at least 0.")
    return frame_entropies(log_probs_BTW, lengths_B, by) < threshold
