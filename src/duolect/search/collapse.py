"""Soft collapse: neighbouring CTC frames that surely say the same become one (the recipes for arXiv 2603.15045).

Frames t − 1 and t belong to one segment if their best class is the same and has a probability ≥ θ in both; a segment
becomes one frame. Only frames of one best class are merged, blank among them, so a label that is repeated after a
blank stays repeated; and since that class is the best of each of its frames it is the best of the merged one, so the
best path keeps its labels.

Legend: B utterances · T frames · S segments, the new frames · W = V + 1 classes (blank last) · F frames of all
utterances · M those of them that share a segment with another · G such segments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_log_probs, utterance_names

How = Literal["mean", "max"]
_LOWEST = -1e7  # stands for log 0 where a difference must not be NaN


@dataclass(frozen=True)
class Collapsed:
    """Posteriors with fewer frames; where some could be merged, padding is a certain blank.

    segment_BT: the new frame that each old one became part of, −1 in the padding; the times of a new frame are those
    of the old ones that point to it.
    """

    log_probs_BSW: Tensor
    lengths_B: Tensor
    segment_BT: Tensor

    @property
    def ratio(self) -> float:
        """Old frames per new one, ≥ 1; 1 where there are none."""
        return int((self.segment_BT >= 0).sum()) / max(int(self.lengths_B.sum()), 1) or 1.0


def soft_collapse(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    threshold: float | None,
    *,
    how: How = "mean",
    ids: Sequence[str] | None = None,
    name: str = "ctc",
) -> Collapsed:
    """Merge neighbouring frames of one best class with p ≥ `threshold` in each of them; None merges nothing.

    log_probs_BTW: log-softmax outputs, blank last; lengths_B: frames of each utterance (0 is allowed).
    threshold: θ in [0, 1]; 0.8 and 0.9 are the paper's. 1 is not off: a float32 softmax reaches it.
    how: "mean" is the mean of the frames' distributions, "max" the largest probability of each class, renormalised.
    A frame that is merged with no other is the same, bit by bit. Raises SearchError for a threshold outside [0, 1] or
    an unknown `how`, and for what `checks.check_log_probs` refuses.
    """
    check_log_probs(log_probs_BTW, lengths_B, ids=utterance_names(ids, len(log_probs_BTW)), name=name)
    check_collapse(threshold, how)
    batch, frames, width = log_probs_BTW.shape
    log_probs_BTW, lengths_B = log_probs_BTW.float(), lengths_B.to(log_probs_BTW.device)
    valid_BT = torch.arange(frames, device=lengths_B.device) < lengths_B[:, None]
    if threshold is None or not bool(valid_BT.any()):
        whole_BT = torch.arange(frames, device=lengths_B.device).where(valid_BT, -1)
        return Collapsed(log_probs_BTW, lengths_B, whole_BT)
    peak_BT, best_BT = log_probs_BTW.max(-1)
    sure_BT = valid_BT & (peak_BT.exp() >= threshold)
    opens_BT = valid_BT.clone()
    opens_BT[:, 1:] &= ~(sure_BT[:, 1:] & sure_BT[:, :-1] & (best_BT[:, 1:] == best_BT[:, :-1]))
    segment_BT = (opens_BT.cumsum(1) - 1).where(valid_BT, -1)
    new_lengths_B = opens_BT.sum(1)
    # Over all utterances: the first frame of each segment is copied, those of several frames are then made anew.
    segments = int(new_lengths_B.max())
    out_BSW = log_probs_BTW.new_full((batch, segments, width), -torch.inf)
    out_BSW[..., -1] = 0.0
    row_F, frame_F = opens_BT.nonzero(as_tuple=True)
    place_F = row_F * segments + segment_BT[row_F, frame_F]
    out = out_BSW.view(batch * segments, width)
    out[place_F] = log_probs_BTW[row_F, frame_F]
    places_BT = segment_BT + torch.arange(batch, device=lengths_B.device)[:, None] * segments
    sizes = torch.bincount(places_BT[valid_BT], minlength=batch * segments)
    shared_BT = valid_BT & (sizes[places_BT.clamp(min=0)] > 1)
    if bool(shared_BT.any()):
        place_G, which_M = torch.unique_consecutive(places_BT[shared_BT], return_inverse=True)
        out[place_G] = _merged(log_probs_BTW[shared_BT], which_M, sizes[place_G], how)
    return Collapsed(out_BSW, new_lengths_B, segment_BT)


def check_collapse(threshold: float | None, how: str) -> None:
    """Raise SearchError unless the threshold is None or in [0, 1], and `how` is known."""
    if threshold is not None and not (math.isfinite(threshold) and 0.0 <= threshold <= 1.0):
        raise SearchError(f"collapse: a threshold of {threshold} is outside [0, 1]; None turns the collapse off.")
    if how not in ("mean", "max"):
        raise SearchError(f"collapse: {how!r} is neither 'mean' nor 'max'.")


def _merged(log_probs_MW: Tensor, which_M: Tensor, sizes_G: Tensor, how: How) -> Tensor:
    """One distribution (G, W) for each segment; in logs throughout, so that small probabilities survive."""
    groups, width = len(sizes_G), log_probs_MW.shape[1]
    nothing_GW = log_probs_MW.new_full((groups, width), -torch.inf)
    peaks_GW = nothing_GW.scatter_reduce_(0, which_M[:, None].expand(-1, width), log_probs_MW, "amax")
    if how == "max":
        return peaks_GW.log_softmax(-1)
    shifts_GW = peaks_GW.clamp(min=_LOWEST)
    shares_MW = (log_probs_MW - shifts_GW[which_M]).exp_()
    sums_GW = torch.zeros_like(peaks_GW).index_add_(0, which_M, shares_MW)
    return sums_GW.log_().add_(shifts_GW) - sizes_G.log()[:, None]
