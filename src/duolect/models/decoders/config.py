"""The kinds of attention decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from duolect.errors import ConfigError
from duolect.nn.transformer import CLASSIC, GATED, LayerStyle


@dataclass(frozen=True, kw_only=True)
class DecoderSizes:
    """What all kinds have."""

    width: int
    layers: int
    heads: int
    feed_forward: int | None = None
    dropout: float = 0.1
    auxiliary_layer: int | None = None
    auxiliary_weight: float = 1.0
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"decoder: {name} must be positive, not {getattr(self, name)}.")
        if self.width % self.heads or self.width % 2:
            raise ConfigError(f"decoder: width {self.width} must be even and a multiple of heads ({self.heads}).")
        if self.feed_forward is not None and self.feed_forward < 1:
            raise ConfigError(f"decoder: feed_forward must be positive, not {self.feed_forward}.")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"decoder: {name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if self.auxiliary_layer is not None and not 1 <= self.auxiliary_layer < self.layers:
            raise ConfigError(
                f"decoder: auxiliary_layer must be from 1 to {self.layers - 1}, not {self.auxiliary_layer}."
            )


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(DecoderSizes):
    """The decoder of arXiv 2603.15045: RMSNorm, gated feed-forward, no biases, one table for input and output.

    The paper's: width 1024, 6 layers, 8 heads, auxiliary loss at layer 3, smoothing 0.1. `feed_forward` None: 2/3 of
    4 x width, rounded up to a multiple of a quarter of the width.
    """

    kind: Literal["gated"] = "gated"
    width: int = 144
    layers: int = 4
    heads: int = 4

    @property
    def inner(self) -> int:
        """Width inside the gated feed-forward (1024: 2816)."""
        if self.feed_forward is not None:
            return self.feed_forward
        step = max(self.width // 4, 1)
        return -(-8 * self.width // 3 // step) * step

    @property
    def style(self) -> LayerStyle:
        """What the layers are made of."""
        return GATED

    @property
    def tied(self) -> bool:
        """Whether the input's table is the output's too."""
        return True


@dataclass(frozen=True, kw_only=True)
class TransformerDecoderConfig(DecoderSizes):
    """The decoders of arXiv 2501.02370: LayerNorm, ReLU, biases, a table each for input and output.

    `coupling`: the labels attend to the encoder's states in a block of each layer ("cross"), or the states stand before
    the labels and self-attention serves both ("prepend", which takes states of the decoder's width). With
    `causal_prefix` a state that stands there sees those before it only, without it all of its utterance. The paper's:
    width 512, 8 heads; 6 layers after an encoder of 12, the prefix causal; without encoder layers 18 or 32, the prefix
    not causal. `feed_forward` None: 4 x width.
    """

    kind: Literal["transformer"] = "transformer"
    width: int = 512
    layers: int = 6
    heads: int = 8
    coupling: Literal["cross", "prepend"] = "cross"
    causal_prefix: bool = True

    @property
    def inner(self) -> int:
        """Width inside the feed-forward step."""
        return self.feed_forward or 4 * self.width

    @property
    def style(self) -> LayerStyle:
        """What the layers are made of."""
        return CLASSIC

    @property
    def tied(self) -> bool:
        """Whether the input's table is the output's too."""
        return False


AnyDecoderConfig = DecoderConfig | TransformerDecoderConfig
"""Every kind of decoder, told apart by `kind`."""
