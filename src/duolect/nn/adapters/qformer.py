"""A window-level Q-Former.

B utterances · T frames · N windows · w frames of a window · q queries · R rows (windows) · D width · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.adapters.base import CtcLogits
from duolect.nn.masks import Frames, key_bias, length_mask
from duolect.nn.transformer import GATED, Heard, TransformerLayer, masked


@dataclass(frozen=True, kw_only=True)
class QFormerConfig:
    """Windows of `window` frames, without overlap, each read by the same `queries` learnt vectors (Tang et al. 2024,
    SALMONN: windows of 0.33 s, one query, two layers): a position of the LLM for each query and window.
    """

    kind: Literal["qformer"] = "qformer"
    window: int = 8
    queries: int = 4
    layers: int = 2
    heads: int = 4
    feed_forward: int | None = None  # None: 4 x the encoder's width
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("window", "queries", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"adapter: {name} must be at least 1, not {getattr(self, name)}.")
        if self.feed_forward is not None and self.feed_forward < 1:
            raise ConfigError(f"adapter: feed_forward must be at least 1, not {self.feed_forward}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"adapter: dropout must be at least 0 and below 1, not {self.dropout}.")


class QFormer(nn.Module):
    """q vectors for each of the ⌈T / w⌉ windows: among the queries self-attention, cross-attention to the frames of
    the window, feed-forward, several times; then one linear layer. The frames carry their place in the window.

    The last window of an utterance may be shorter: what would lie beyond is attended to by none.
    """

    def __init__(self, config: QFormerConfig, width: int, llm_width: int) -> None:
        super().__init__()
        if width % config.heads:
            raise ConfigError(
                f"adapter: heads must divide the width of the states that it reads ({width}), {config.heads} do not."
            )
        self.config, self.width = config, llm_width
        self.queries, self.places = nn.Embedding(config.queries, width), nn.Embedding(config.window, width)
        for table in (self.queries, self.places):
            nn.init.normal_(table.weight, std=0.02)
        inner = config.feed_forward or 4 * width
        self.layers = nn.ModuleList(
            TransformerLayer(width, config.heads, inner, config.dropout, style=GATED, encoder_width=width)
            for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.linear = nn.Linear(width, llm_width)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `Adapter.output_lengths`."""
        window = self.config.window
        return (lengths_B + window - 1) // window * self.config.queries

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """See `Adapter`."""
        padded_BTD = functional.pad(states_BTD, (0, 0, 0, -states_BTD.shape[1] % self.config.window))
        mask_BT = length_mask(lengths_B, padded_BTD.shape[1])
        windows_BNwD = padded_BTD.unflatten(1, (-1, self.config.window)) + self.places.weight
        # Windows are rows of their own; those outside an utterance would attend to nothing, and are left out.
        mask_BNw = mask_BT.unflatten(1, (-1, self.config.window))
        used_BN = mask_BNw.any(-1)
        bias = key_bias(mask_BNw[used_BN], states_BTD.dtype)[:, None, None, :]
        everything = masked(torch.zeros(1, 1, 1, 1, dtype=states_BTD.dtype, device=states_BTD.device))
        x_RqD = self.queries.weight.expand(len(bias), -1, -1)
        heard = Heard(windows_BNwD[used_BN], bias)
        for layer in self.layers:
            x_RqD = layer(x_RqD, everything, heard)
        found_RqE = self.linear(self.norm(x_RqD))
        audio_BNqE = found_RqE.new_zeros(*used_BN.shape, *found_RqE.shape[1:])
        audio_BNqE[used_BN] = found_RqE
        return audio_BNqE.flatten(1, 2), self.output_lengths(lengths_B)
