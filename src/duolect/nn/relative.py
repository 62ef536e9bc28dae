"""Self-attention with relative positions (Transformer-XL, Dai et al. 2019, section 3.3).

B utterances · T frames · D width · H heads · d width of a head · P = 2T - 1 distances.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.nn.masks import sinusoids

QUERY_BLOCK = 1024
"""Without gradients, at most so many queries are scored at once: half an hour of speech fits in memory."""


def relative_positions(frames: int, width: int, device: torch.device) -> Tensor:
    """(P, D) encodings of the distances query - key, from T - 1 down to -(T - 1)."""
    return sinusoids(torch.arange(frames - 1, -frames, -1, device=device), width)


def shift(scores: Tensor, keys: int) -> Tensor:
    """Scores by distance (..., q, keys + q - 1), largest distance first, to scores by key (..., q, keys). A view.

    Query i of the q reads its distances from column q - 1 - i on; rows laid end to end, each start is one column
    earlier than a row's length later, so that cutting the flat array into rows one shorter lines them up.
    """
    queries = scores.shape[-2]
    if queries == 1:
        return scores
    row = keys + queries - 2
    flat = scores.flatten(-2)[..., queries - 1 : queries - 1 + queries * row]
    return flat.unflatten(-1, (queries, row))[..., :keys]


class RelativeAttention(nn.Module):
    """Multi-head self-attention: softmax(((q + u)·k + (q + v)·r[i - j]) / √d) over the frames of the utterance.

    `scale` takes the place of 1 / √d.
    """

    def __init__(self, width: int, heads: int, dropout: float, scale: float | None = None) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.scale = (width // heads) ** -0.5 if scale is None else scale
        self.project = nn.Linear(width, 3 * width)
        self.distance = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.key_query_bias = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.distance_query_bias = nn.Parameter(torch.zeros(heads, 1, width // heads))
        nn.init.xavier_uniform_(self.project.weight, gain=2**-0.5)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor, positions_PD: Tensor) -> Tensor:
        """Attention output_BTD; `bias_B11T` is added to the scores of each key (`masks.key_bias`)."""
        frames = x_BTD.shape[1]
        query, key, value = self.project(x_BTD).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        distance_HPd = self.distance(positions_PD.to(x_BTD.dtype)).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        block = frames if torch.is_grad_enabled() else QUERY_BLOCK
        outputs = []
        for start in range(0, frames, block):
            end = min(start + block, frames)
            # Queries start..end-1 meet the distances end-1 ... start-(T-1).
            near_HPd = distance_HPd[:, frames - end : 2 * frames - 1 - start]
            outputs.append(self._attend(query[:, :, start:end], key, value, near_HPd, bias_B11T))
        attended_BHTd = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
        return self.output(attended_BHTd.transpose(1, 2).flatten(2))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, distance_HPd: Tensor, bias_B11T: Tensor) -> Tensor:
        by_distance = (query + self.distance_query_bias) * self.scale @ distance_HPd.transpose(-1, -2)
        bias_BHTT = shift(by_distance, key.shape[2]) + bias_B11T
        dropout = self.dropout if self.training else 0.0
        return functional.scaled_dot_product_attention(
            query + self.key_query_bias,
            key,
            value,
            attn_mask=bias_BHTT.to(query.dtype),
            dropout_p=dropout,
            scale=self.scale,
        )
