"""The Transformer encoder of arXiv 2501.02370; without layers, what a decoder-only model has before its decoder.

B utterances · T frames · F feature bins · D width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from duolect.errors import ConfigError
from duolect.nn.frontend import AnyFrontEndConfig, GatedFrontEndConfig
from duolect.nn.masks import Frames, Shorten, key_bias, sinusoids
from duolect.nn.stack import LayeredEncoder, check_sizes, run_layers
from duolect.nn.transformer import CLASSIC, Attend, TransformerLayer, masked


@dataclass(frozen=True, kw_only=True)
class TransformerEncoderConfig:
    """Sizes of the encoder; the defaults are the paper's. It may have no layers: then it is front end and norm."""

    kind: Literal["transformer"] = "transformer"
    width: int = 512
    layers: int = 12
    heads: int = 8
    feed_forward: int | None = None  # None: 4 x width
    dropout: float = 0.1
    front_end: AnyFrontEndConfig = field(default_factory=GatedFrontEndConfig)

    def __post_init__(self) -> None:
        for name in ("width", "heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"encoder: {name} must be positive, not {getattr(self, name)}.")
        if self.layers < 0:
            raise ConfigError(f"encoder: layers must be 0 or more, not {self.layers}.")
        if self.feed_forward is not None and self.feed_forward < 1:
            raise ConfigError(f"encoder: feed_forward must be positive, not {self.feed_forward}.")
        check_sizes(self)


class TransformerEncoder(LayeredEncoder):
    """Front end, sinusoidal positions, pre-norm layers with ReLU, norm; see `duolect.models.encoders`.

    The norm belongs to the last layer: a CTC head there hears what comes out of it.
    """

    def __init__(self, config: TransformerEncoderConfig, bins: int) -> None:
        super().__init__(config, bins)
        inner = config.feed_forward or 4 * config.width
        self.layers = nn.ModuleList(
            [
                TransformerLayer(config.width, config.heads, inner, config.dropout, style=CLASSIC)
                for _ in range(config.layers)
            ]
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        features_BTF: Tensor,
        lengths_B: Tensor,
        keep_layers: Collection[int] = (),
        shorten: Mapping[int, Shorten] | None = None,
    ) -> tuple[Tensor, Tensor, dict[int, Frames]]:
        """Encode features_BTF; see `duolect.models.encoders`, and `run_layers` for what is returned."""
        x, lengths_B = self.front_end(features_BTF, lengths_B)
        x = self.dropout(x + sinusoids(torch.arange(x.shape[1], device=x.device), self.width).to(x.dtype))
        layers: list[Any] = list(self.layers)
        if layers:
            layers[-1] = self._last
        else:
            x = self.norm(x)
        return run_layers(layers, x, lengths_B, _surroundings, keep_layers, shorten)

    def _last(self, x_BTD: Tensor, attend: Attend) -> Tensor:
        return self.norm(self.layers[-1](x_BTD, attend))


def _surroundings(x_BTD: Tensor, mask_BT: Tensor) -> tuple[Attend]:
    return (masked(key_bias(mask_BT, x_BTD.dtype)[:, None, None, :]),)
