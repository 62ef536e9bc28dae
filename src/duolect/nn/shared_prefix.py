"""Attention of many hypotheses to a prefix that is kept once per utterance, and to their own few labels.

The queries of an utterance's hypotheses are laid side by side, so that one product with the utterance's keys serves
them all. The scores of the prefix and those of the labels then share one softmax: the merging of two partial softmaxes
by their log-sum-exps, with the two sums computed as one. Neither keys nor values are repeated, for hypotheses or for
the query heads of a group (Ainslie et al. 2023, arXiv 2305.13245).

B utterances · T prefix positions · R rows (hypotheses) · P of them in this forward · K of one utterance · N labels ·
X label positions · Q query heads · H heads of keys and values · g = Q / H · M = g·N · d width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from duolect.nn.masks import key_bias, length_mask
from duolect.nn.rows import RowLayout
from duolect.nn.slots import KeysValues
from duolect.nn.tensors import bars_gradients


@dataclass(frozen=True)
class SharedPrefix:
    """Per layer the keys and values (H, B, T, d) of right-padded prefixes, those of padding zero."""

    layers: list[KeysValues]
    lengths_B: Tensor
    bias_BT: Tensor | None  # what keeps padding unseen; None where there is none

    @classmethod
    def of(cls, layers: list[KeysValues], lengths_B: Tensor) -> SharedPrefix:
        """The prefix of layers (B, H, T, d) each, which a model has just computed; copies them once."""
        width, dtype = layers[0][0].shape[2], layers[0][0].dtype
        if int(lengths_B.min()) == width:
            packed = [(_heads_first(keys), _heads_first(values)) for keys, values in layers]
            return cls(packed, lengths_B, None)
        mask_BT = length_mask(lengths_B, width)
        # Rubbish in the padding is never attended to, but 0 times NaN is NaN.
        void_1BT1 = ~mask_BT[None, :, :, None]
        packed = [
            (_heads_first(keys).masked_fill_(void_1BT1, 0), _heads_first(values).masked_fill_(void_1BT1, 0))
            for keys, values in layers
        ]
        return cls(packed, lengths_B, key_bias(mask_BT, dtype))

    def select(self, kept_B: Tensor) -> SharedPrefix:
        """The prefixes of the utterances `kept_B`, as wide as the longest of them."""
        lengths_B = self.lengths_B[kept_B]
        width = int(lengths_B.max()) if len(kept_B) else 0
        layers = [
            (keys[:, :, :width].index_select(1, kept_B), values[:, :, :width].index_select(1, kept_B))
            for keys, values in self.layers
        ]
        bias_BT = None
        if self.bias_BT is not None and len(kept_B) and int(lengths_B.min()) < width:
            bias_BT = self.bias_BT[kept_B, :width]
        return SharedPrefix(layers, lengths_B, bias_BT)

    def differentiable(self) -> SharedPrefix:
        """This, or a copy where it was made in inference mode and gradients are now asked for."""
        if not bars_gradients(self.layers[0][0]):
            return self
        bias_BT = None if self.bias_BT is None else self.bias_BT.clone()
        layers = [(keys.clone(), values.clone()) for keys, values in self.layers]
        return replace(self, layers=layers, bias_BT=bias_BT)


class OwnLabels(NamedTuple):
    """Keys and values (H, P, X, d) of each row's labels, and their additive mask (1 or P, N, X), None: all are seen."""

    keys: Tensor
    values: Tensor
    bias_PNX: Tensor | None


def attend(
    query_PQNd: Tensor,
    prefix: KeysValues,
    bias_BT: Tensor | None,
    labels: OwnLabels,
    layout: RowLayout,
    scale: float,
) -> Tensor:
    """softmax(scale · query · keys) · values over prefix and labels together: (P, N, Q, d), of the query's dtype.

    prefix: keys and values (H, B, T, d) of the utterances that `layout` has the P rows in. Statistics are
    in float32 at least.
    """
    (keys_HBTd, values_HBTd), (keys_HPXd, values_HPXd, bias_PNX) = prefix, labels
    heads, utterances, positions, width = keys_HBTd.shape
    rows, _, count, _ = query_PQNd.shape
    query_HPMd = (query_PQNd * scale).transpose(0, 1).unflatten(0, (heads, -1)).transpose(1, 2).flatten(2, 3)
    group = query_HPMd.shape[2]
    side = heads * utterances, layout.width * group  # all queries of an utterance side by side

    scores = layout.place(query_HPMd, 1).reshape(*side, width) @ keys_HBTd.flatten(0, 1).transpose(1, 2)
    if bias_BT is not None:
        scores.unflatten(0, (heads, utterances)).add_(bias_BT[:, None])
    prefix_HPMT = layout.unplace(scores.reshape(heads, utterances * layout.width, group, positions), 1)
    own_HPMX = (query_HPMd.flatten(0, 1) @ keys_HPXd.flatten(0, 1).transpose(1, 2)).unflatten(0, (heads, rows))
    if bias_PNX is not None:
        own_HPMX.unflatten(2, (-1, count)).add_(bias_PNX[:, None])

    scores = torch.cat((prefix_HPMT, own_HPMX), 3)
    weights = scores.softmax(3, dtype=torch.promote_types(scores.dtype, torch.float32)).to(values_HBTd.dtype)
    prefix_HPMT, own_HPMX = weights.split((positions, own_HPMX.shape[3]), 3)
    attended = layout.place(prefix_HPMT, 1).reshape(*side, positions) @ values_HBTd.flatten(0, 1)
    attended_HPMd = layout.unplace(attended.reshape(heads, utterances * layout.width, group, -1), 1)
    attended = torch.baddbmm(attended_HPMd.flatten(0, 1), own_HPMX.flatten(0, 1), values_HPXd.flatten(0, 1))
    # (H·P, g·N, d) -> (P, N, H·g, d)
    return attended.view(heads, rows, -1, count, attended.shape[2]).permute(1, 3, 0, 2, 4).flatten(2, 3)


def _heads_first(states_BHTd: Tensor) -> Tensor:
    return states_BHTd.transpose(0, 1).clone(memory_format=torch.contiguous_format)
