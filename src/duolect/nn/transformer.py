"""Pre-norm Transformer layers, of the decoder and of the encoder, for training and for cached search.

R rows (hypotheses, or utterances) · N labels (or frames) · X labels of a row, earlier ones included · B utterances · K
rows of one utterance · S = K·N · T frames · D width · H heads (of keys and
values) · g heads of queries to each of them · d head width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.nn.dropout import Dropout
from duolect.nn.rows import RowLayout
from duolect.nn.slots import KeysValues

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Takes queries, keys and values (R, H, N, d) of what goes through a layer, and a rate of dropout; gives what is seen,
(R, H, N, d). Where it gives fewer than N positions, these are the last ones, and the layer is done with the others.
"""

Exchange = Callable[[Tensor, Tensor], KeysValues]
"""Takes the keys and values (R, H, N, d) of new labels, gives those (H, R, X, d) of all labels of each row."""


def causal(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """`Attend`: each label sees itself and those before it."""
    return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)


def masked(bias: Tensor) -> Attend:
    """`Attend`: each sees all keys but those that the additive mask `bias`, which broadcasts to (R, H, N, X), hides."""

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        mask = bias.to(query.dtype)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

    return attend


def after_others(exchange: Exchange, mask_RNX: Tensor | None) -> Attend:
    """`Attend`: each label sees those before it, which `exchange` knows; all of its row's where there is no mask."""

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        key, value = (x_HRXd.transpose(0, 1) for x_HRXd in exchange(key, value))
        mask = None if mask_RNX is None else mask_RNX.unsqueeze(1)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)

    return attend


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, dropout: float, *, bias: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(width, 3 * width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def forward(self, x_RND: Tensor, attend: Attend) -> Tensor:
        """Output x_RND; `attend` says who sees whom."""
        query, key, value = self.project(x_RND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = attend(query, key, value, self.dropout if self.training else 0.0)
        return self.output(attended.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of the labels to the encoder's states.

    Where there are no biases, the keys and values of padding are zero, so that a row with no frame at all gets zero.
    With `kv_heads` (None: as many as heads) groups of heads share keys and values (Ainslie et al. 2023,
    arXiv 2305.13245).
    """

    def __init__(
        self,
        width: int,
        encoder_width: int,
        heads: int,
        dropout: float,
        *,
        bias: bool = False,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout = heads, kv_heads or heads, dropout
        self.query = nn.Linear(width, width, bias=bias)
        self.key_value = nn.Linear(encoder_width, 2 * self.kv_heads * (width // heads), bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def keys_values(self, states_BTD: Tensor) -> KeysValues:
        """Computed once per utterance, whatever number of hypotheses it will have."""
        key, value = self.key_value(states_BTD).unflatten(-1, (2, self.kv_heads, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, x_RND: Tensor, keys_values: KeysValues, bias_B11T: Tensor, layout: RowLayout | None) -> Tensor:
        """Output x_RND; `layout` None: one row per utterance, in order."""
        labels = x_RND.shape[1]
        query = self.query(x_RND)
        query_BSD = query if layout is None else layout.spread(query)
        # The queries of a group stand side by side as well: (B, S, H·g·d) -> (B, H, g·S, d), and back.
        group = self.heads // self.kv_heads
        attended = functional.scaled_dot_product_attention(
            query_BSD.unflatten(-1, (self.kv_heads, group, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3),
            *keys_values,
            attn_mask=bias_B11T.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        attended_BSD = attended.unflatten(2, (group, -1)).permute(0, 3, 1, 2, 4).flatten(2)
        return self.output(attended_BSD if layout is None else layout.collect(attended_BSD, labels))


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer 2020): contract(silu(gate(x)) · expand(x)), no biases."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.gate_expand = nn.Linear(width, 2 * inner, bias=False)
        self.contract = nn.Linear(inner, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x_RND: Tensor) -> Tensor:
        """Output of x's shape."""
        gate, expanded = self.gate_expand(x_RND).chunk(2, dim=-1)
        return self.contract(self.dropout(functional.silu(gate) * expanded))


class ReLUFeedForward(nn.Module):
    """contract(max(expand(x), 0)), with biases (Vaswani et al. 2017)."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_RND: Tensor) -> Tensor:
        """Output of x's shape."""
        return self.contract(self.dropout(torch.relu(self.expand(x_RND))))


@dataclass(frozen=True)
class LayerStyle:
    """What a layer is made of: its norms, its feed-forward step, and whether attention has biases."""

    norm: Callable[[int], nn.Module]
    feed_forward: Callable[[int, int, float], nn.Module]
    bias: bool


GATED = LayerStyle(functools.partial(nn.RMSNorm, eps=1e-6), GatedFeedForward, bias=False)
"""RMSNorm, SwiGLU, no biases, as in today's LLMs and in the decoder of arXiv 2603.15045."""

CLASSIC = LayerStyle(nn.LayerNorm, ReLUFeedForward, bias=True)
"""LayerNorm, ReLU, biases everywhere (Vaswani et al. 2017), as in arXiv 2501.02370."""


class Heard(NamedTuple):
    """What cross-attention attends to: keys and values, or the encoder's states_BTD to make them of.

    layout: which utterance each row belongs to; None: one row per utterance, in order.
    """

    states: KeysValues | Tensor
    bias_B11T: Tensor
    layout: RowLayout | None = None


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward; each after a norm and added to its input.

    Without `encoder_width` there is no cross-attention.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        *,
        style: LayerStyle,
        encoder_width: int | None = None,
    ) -> None:
        super().__init__()
        self.self_norm = style.norm(width)
        self.cross_norm = None if encoder_width is None else style.norm(width)
        self.feed_norm = style.norm(width)
        self.self_attention = SelfAttention(width, heads, dropout, bias=style.bias)
        self.cross_attention: CrossAttention | None = None
        if encoder_width is not None:
            self.cross_attention = CrossAttention(width, encoder_width, heads, dropout, bias=style.bias)
        self.feed_forward = style.feed_forward(width, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x_RND: Tensor, attend: Attend, heard: Heard | None = None) -> Tensor:
        """Next layer's x_RND; `heard` is for layers with cross-attention."""
        attended = self.dropout(self.self_attention(self.self_norm(x_RND), attend))
        x = x_RND[:, x_RND.shape[1] - attended.shape[1] :] + attended
        if self.cross_norm is not None and self.cross_attention is not None and heard is not None:
            states, bias_B11T, layout = heard
            keys_values = self.cross_attention.keys_values(states) if isinstance(states, Tensor) else states
            x = x + self.dropout(self.cross_attention(self.cross_norm(x), keys_values, bias_B11T, layout))
        return x + self.dropout(self.feed_forward(self.feed_norm(x)))
