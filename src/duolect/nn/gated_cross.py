"""Gated cross-attention: a way into a trained decoder that changes nothing until its gate opens.

Alayrac et al. 2022 (Flamingo, arXiv 2204.14198), section 2.2: x + tanh(α) · attention(x, audio), with α = 0 at first,
and, where wanted, a feed-forward behind its own gate.

B utterances · R rows (hypotheses) · N labels · T audio positions · H heads of keys and values · d width of a head ·
E width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias, length_mask
from duolect.nn.rows import RowLayout
from duolect.nn.slots import KeysValues
from duolect.nn.tensors import bars_gradients
from duolect.nn.transformer import CrossAttention, GatedFeedForward


@dataclass(frozen=True)
class CrossSource:
    """What some blocks attend to: for each its keys and values (B, H, T, d), or the states_BTE to make them of.

    Padding is zero in both. An utterance may have no position at all: nothing is added to its rows.
    """

    blocks: Sequence[KeysValues | Tensor]
    lengths_B: Tensor
    bias_B11T: Tensor

    @classmethod
    def of(cls, states_BTE: Tensor, lengths_B: Tensor, blocks: int) -> CrossSource:
        """Right-padded states, whatever lies in the padding, for so many blocks."""
        if not states_BTE.shape[1]:
            states_BTE = functional.pad(states_BTE, (0, 0, 0, 1))
        mask_BT = length_mask(lengths_B, states_BTE.shape[1])
        states_BTE = states_BTE.masked_fill(~mask_BT[..., None], 0)
        return cls([states_BTE] * blocks, lengths_B, key_bias(mask_BT, states_BTE.dtype)[:, None, None])

    def keys_values(self) -> Iterator[KeysValues]:
        """Those of the blocks, where they are made already."""
        return (source for source in self.blocks if not isinstance(source, Tensor))

    def select(self, kept_B: Tensor) -> CrossSource:
        """Keys and values of the utterances `kept_B`, as wide as the longest of them."""
        lengths_B = self.lengths_B[kept_B]
        width = max(int(lengths_B.max()), 1) if len(kept_B) else 1
        blocks = [(keys[kept_B, :, :width], values[kept_B, :, :width]) for keys, values in self.keys_values()]
        return CrossSource(blocks, lengths_B, self.bias_B11T[kept_B, ..., :width])

    def differentiable(self) -> CrossSource:
        """This, or a copy where its keys were made in inference mode and gradients are now asked for."""
        if not bars_gradients(self.bias_B11T):
            return self
        blocks = [(keys.clone(), values.clone()) for keys, values in self.keys_values()]
        return replace(self, blocks=blocks, lengths_B=self.lengths_B.clone(), bias_B11T=self.bias_B11T.clone())


class GatedCrossBlock(nn.Module):
    """x + tanh(α) · attention(norm(x)), then, where there is an `inner`, x + tanh(β) · feed-forward(norm(x)).

    Both gates are closed at first. A block in front of a bfloat16 decoder computes in bfloat16; its own weights, and so
    what is learnt, stay in float32.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int | None = None,
        inner: int | None = None,
        dropout: float = 0.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=eps)
        self.attention = CrossAttention(width, width, heads, dropout, kv_heads=kv_heads)
        # One number, but with an axis: what has none cannot be divided over processes.
        self.gate = nn.Parameter(torch.zeros(1))
        self.feed_norm = self.feed_forward = self.feed_gate = None
        if inner is not None:
            self.feed_norm = nn.RMSNorm(width, eps=eps)
            self.feed_forward = GatedFeedForward(width, inner, dropout)
            self.feed_gate = nn.Parameter(torch.zeros(1))
        self.dropout = Dropout(dropout)

    def keys_values(self, states_BTE: Tensor, dtype: torch.dtype) -> KeysValues:
        """Computed once per utterance, whatever number of hypotheses it will have; for a decoder of type `dtype`."""
        with _computing_in(dtype, states_BTE.device):
            return self.attention.keys_values(states_BTE)

    def forward(
        self,
        x_RNE: Tensor,
        source: KeysValues | Tensor,
        bias_B11T: Tensor,
        lengths_B: Tensor,
        layout: RowLayout | None = None,
    ) -> Tensor:
        """x_RNE of the same type; `layout` None: one row per utterance, in order. See `CrossSource` for the others."""
        with _computing_in(x_RNE.dtype, x_RNE.device):
            # Within `forward`, where a sharded block has its weights.
            keys_values = self.attention.keys_values(source) if isinstance(source, Tensor) else source
            attended = self.dropout(self.attention(_normed(self.norm, x_RNE), keys_values, bias_B11T, layout))
            x = x_RNE + (self.gate.tanh() * attended).to(x_RNE.dtype)
            if self.feed_norm is None or self.feed_forward is None or self.feed_gate is None:
                return x
            fed = self.feed_gate.tanh() * self.dropout(self.feed_forward(_normed(self.feed_norm, x)))
            heard_B = lengths_B > 0
            heard_R11 = (heard_B if layout is None else heard_B[layout.utterance_R])[:, None, None]
            return x + (fed * heard_R11).to(x.dtype)


def _normed(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    return norm(x.to(norm.weight.dtype))


def _computing_in(dtype: torch.dtype, device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision where the decoder is in half precision; else as it is around it (an autocast of the caller's)."""
    if dtype.is_floating_point and dtype.itemsize == 2:
        return torch.autocast(device.type, dtype)
    return contextlib.nullcontext()
