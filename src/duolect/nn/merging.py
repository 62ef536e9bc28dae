"""CTC compression (Gaido et al., EACL 2021): neighbouring frames of which CTC says the same become one vector.

B utterances · T frames · S vectors (runs, or groups of runs) · D width · W = V + 1 with the blank last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from duolect.errors import ConfigError
from duolect.nn.masks import Frames, length_mask
from duolect.nn.meters import Meter


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """How the runs of equal arg-max of a CTC head become vectors.

    `policy`: what frame t weighs in the vector of a run of the label c: the same ("mean"), in proportion to p_t(c)
    ("weighted"), or to exp p_t(c) ("softmax"). Runs of blank are kept, as in the paper, or dropped. `most`: vectors of
    an utterance at most; where there are more, say T', every ⌈T' / most⌉ neighbouring runs become one, whose label is
    that of the longest of them (the first of equals).
    """

    policy: Literal["mean", "weighted", "softmax"] = "mean"
    blanks: Literal["keep", "drop"] = "keep"
    most: int | None = None

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise ConfigError(f"CTC compression: most must be at least 1 vector, not {self.most}.")


class Grouping(NamedTuple):
    """`place_BT`: the vector a frame is part of, T where it is of none; `weight_BT`, float32 or wider: what it
    weighs there, 1 over all frames of a vector; `lengths_B` counts the vectors."""

    place_BT: Tensor
    weight_BT: Tensor
    lengths_B: Tensor


class Merge(nn.Module):
    """`merge_frames`, with a meter of how many frames become one vector, which is shown under `name` in training."""

    def __init__(self, config: MergeConfig, name: str) -> None:
        super().__init__()
        self.config, self.meter = config, Meter(name)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """The most vectors that so many frames can become."""
        most = self.config.most
        return lengths_B if most is None else lengths_B.clamp(max=most)

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, logits_BTW: Tensor) -> Frames:
        """See `merge_frames`."""
        vectors_BSD, counts_B = merge_frames(states_BTD, lengths_B, logits_BTW, self.config)
        self.meter.add(lengths_B.sum(), counts_B.sum())
        return vectors_BSD, counts_B


def merge_frames(states_BTD: Tensor, lengths_B: Tensor, logits_BTW: Tensor, config: MergeConfig) -> Frames:
    """(vectors_BSD, lengths_B) of states_BTD by what a CTC head says of the same frames, zero outside the utterance.

    Gradients flow through the states, not through the weights. An utterance of frames keeps at least one vector: where
    all its frames are blank and blanks are dropped, their mean.
    """
    place_BT, weight_BT, counts_B = group_frames(logits_BTW, lengths_B, config)
    most = max(int(counts_B.max()), 1) if len(counts_B) else 1
    wide = torch.promote_types(states_BTD.dtype, torch.float32)
    weighted_BTD = states_BTD.to(wide) * weight_BT.unsqueeze(-1)
    index_BTD = place_BT.clamp(max=most).unsqueeze(-1).expand_as(weighted_BTD)
    vectors = weighted_BTD.new_zeros(len(counts_B), most + 1, states_BTD.shape[2])  # the last one is thrown away
    return vectors.scatter_add(1, index_BTD, weighted_BTD)[:, :most].to(states_BTD.dtype), counts_B


@torch.no_grad()
def group_frames(logits_BTW: Tensor, lengths_B: Tensor, config: MergeConfig) -> Grouping:
    """Which frames become which vector, and what they weigh in it."""
    wide = torch.promote_types(logits_BTW.dtype, torch.float32)
    inside_BT = length_mask(lengths_B, logits_BTW.shape[1])
    label_BT = logits_BTW.argmax(-1)
    used_BT, blank_B = inside_BT, torch.zeros_like(lengths_B, dtype=torch.bool)
    if config.blanks == "drop":
        used_BT = inside_BT & (label_BT != logits_BTW.shape[-1] - 1)
        blank_B = ~used_BT.any(1)
        used_BT = used_BT | (inside_BT & blank_B[:, None])  # one run, for its label is the same throughout
    starts_BT = used_BT.clone()
    starts_BT[:, 1:] &= (label_BT[:, 1:] != label_BT[:, :-1]) | ~used_BT[:, :-1]
    run_BT = starts_BT.cumsum(1) - 1
    counts_B = starts_BT.sum(1)
    place_BT = run_BT
    if config.most is not None:
        factor_B = (-(-counts_B // config.most)).clamp(min=1)
        place_BT, counts_B = run_BT // factor_B[:, None], -(-counts_B // factor_B)
    place_BT = place_BT.masked_fill(~used_BT, place_BT.shape[1])
    if config.policy == "mean":
        raw_BT = torch.ones(label_BT.shape, dtype=wide, device=label_BT.device)
    else:
        if config.most is not None:
            label_BT = _merged_labels(label_BT, starts_BT, run_BT, place_BT, used_BT)
        logits_BTW = logits_BTW.to(wide)
        chosen_BT = logits_BTW.gather(2, label_BT.unsqueeze(-1))[..., 0]
        raw_BT = (chosen_BT - logits_BTW.logsumexp(-1)).exp()
        raw_BT = raw_BT.exp() if config.policy == "softmax" else raw_BT
        raw_BT = torch.where(blank_B[:, None], 1.0, raw_BT)
    raw_BT = raw_BT.masked_fill(~used_BT, 0.0)
    sums_BS = raw_BT.new_zeros(raw_BT.shape[0], raw_BT.shape[1] + 1).scatter_add(1, place_BT, raw_BT)
    return Grouping(place_BT, raw_BT / sums_BS.gather(1, place_BT).clamp(min=1e-30), counts_B)


def _merged_labels(label_BT: Tensor, starts_BT: Tensor, run_BT: Tensor, place_BT: Tensor, used_BT: Tensor) -> Tensor:
    """For each frame the label of its group: that of the group's longest run, the first of equals."""
    utterances, frames = label_BT.shape
    outside = frames  # a slot for what is not used
    run_BT = run_BT.masked_fill(~used_BT, outside)
    slots = label_BT.new_zeros(utterances, frames + 1)
    sizes_BS = slots.scatter_add(1, run_BT, used_BT.long())
    first = run_BT.masked_fill(~starts_BT, outside)
    labels_BS = slots.scatter(1, first, label_BT)
    groups_BS = torch.full_like(slots, outside).scatter(1, first, place_BT)
    # The longest, then the first: one number to compare by.
    order = torch.arange(frames, -1, -1, device=label_BT.device)
    best_BS = slots.scatter_reduce(1, groups_BS, sizes_BS * (frames + 1) + order, "amax")
    winner_BS = frames - best_BS % (frames + 1)
    return labels_BS.gather(1, winner_BS.gather(1, place_BT))
