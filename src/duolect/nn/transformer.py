"""Pre-norm decoder layers with RMSNorm, SwiGLU and cross-attention, for training and for cached search.

R rows (hypotheses) · N labels · X labels of a row, earlier ones included · B utterances · K rows of one utterance ·
S = K·N · T frames · D width · H heads · d head width.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from duolect.nn.dropout import Dropout
from duolect.nn.rows import RowLayout
from duolect.nn.slots import KeysValues

Exchange = Callable[[Tensor, Tensor], KeysValues]
"""Takes the keys and values (R, H, N, d) of new labels, gives those (H, R, X, d) of all labels of each row."""


class SelfAttention(nn.Module):
    """Causal multi-head self-attention without biases."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x_RND: Tensor, exchange: Exchange | None = None, mask_RNX: Tensor | None = None) -> Tensor:
        """Output x_RND. Without `exchange` plainly causal; with it, to all it returns, but for what a mask hides."""
        query, key, value = self.project(x_RND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if exchange is not None:
            key, value = (x_HRXd.transpose(0, 1) for x_HRXd in exchange(key, value))
        attended = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask_RNX is None else mask_RNX.unsqueeze(1),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=exchange is None,
        )
        return self.output(attended.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of the labels to the encoder's states, without biases.

    The keys and values of padding are zero, so that a row with no frame at all gets zero.
    """

    def __init__(self, width: int, encoder_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(encoder_width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def keys_values(self, states_BTD: Tensor) -> KeysValues:
        """Computed once per utterance, whatever number of hypotheses it will have."""
        key, value = self.key_value(states_BTD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return key, value

    def forward(self, x_RND: Tensor, keys_values: KeysValues, bias_B11T: Tensor, layout: RowLayout | None) -> Tensor:
        """Output x_RND; `layout` None: one row per utterance, in order."""
        labels = x_RND.shape[1]
        query = self.query(x_RND)
        query_BSD = query if layout is None else layout.spread(query)
        attended = functional.scaled_dot_product_attention(
            query_BSD.unflatten(-1, (self.heads, -1)).transpose(1, 2),
            *keys_values,
            attn_mask=bias_B11T.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        attended_BSD = attended.transpose(1, 2).flatten(2)
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


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, gated feed-forward; each after an RMSNorm and added to its input."""

    def __init__(self, width: int, encoder_width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_norm, self.cross_norm, self.feed_norm = (nn.RMSNorm(width, eps=1e-6) for _ in range(3))
        self.self_attention = SelfAttention(width, heads, dropout)
        self.cross_attention = CrossAttention(width, encoder_width, heads, dropout)
        self.feed_forward = GatedFeedForward(width, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x_RND: Tensor,
        cross: KeysValues | Tensor,
        bias_B11T: Tensor,
        layout: RowLayout | None = None,
        exchange: Exchange | None = None,
        mask_RNX: Tensor | None = None,
    ) -> Tensor:
        """Next layer's x_RND.

        `cross`: the cross-attention's keys and values, or the encoder's states_BTD to make them of.
        """
        if isinstance(cross, Tensor):
            cross = self.cross_attention.keys_values(cross)
        x = x_RND + self.dropout(self.self_attention(self.self_norm(x_RND), exchange, mask_RNX))
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), cross, bias_B11T, layout))
        return x + self.dropout(self.feed_forward(self.feed_norm(x)))
