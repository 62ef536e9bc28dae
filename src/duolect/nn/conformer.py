"""The Conformer encoder (Gulati et al. 2020) in the forms of arXiv 2603.15045 and arXiv 2501.02370.

B utterances · T frames · F feature bins · D width · P distances.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.dropout import Dropout
from duolect.nn.frontend import AnyFrontEndConfig, FrontEndConfig, GatedFrontEndConfig
from duolect.nn.masks import Frames, Shorten, key_bias
from duolect.nn.norms import MaskedBatchNorm
from duolect.nn.relative import RelativeAttention, relative_positions
from duolect.nn.stack import LayeredEncoder, check_sizes, run_layers


@dataclass(frozen=True, kw_only=True)
class ConformerConfig:
    """Sizes and form of the encoder.

    The form is that of arXiv 2603.15045, whose sizes are: width 1024, 16 layers, 8 heads, feed-forward 4096, kernel 32,
    dropout 0.1. `FBK_CONFORMER` is that of arXiv 2501.02370. `activation` and `feed_forward_bias` are those of the
    feed-forward steps; scores of attention are divided by the square root of the width of a head, or of the whole.
    """

    kind: Literal["conformer"] = "conformer"
    width: int = 144
    layers: int = 6
    heads: int = 4
    feed_forward: int | None = None  # None: 4 x width
    kernel: int = 32
    dropout: float = 0.1
    front_end: AnyFrontEndConfig = field(default_factory=FrontEndConfig)
    activation: Literal["squared_relu", "silu"] = "squared_relu"
    feed_forward_bias: bool = False
    depthwise_bias: bool = True
    batch_norm_eps: float = 1e-3
    scores_over: Literal["head", "width"] = "head"

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kernel"):
            if getattr(self, name) < 1:
                raise ConfigError(f"encoder: {name} must be positive, not {getattr(self, name)}.")
        check_sizes(self)
        if self.batch_norm_eps <= 0:
            raise ConfigError(f"encoder: batch_norm_eps must be above 0, not {self.batch_norm_eps}.")


FBK_CONFORMER = ConformerConfig(
    width=512,
    layers=12,
    heads=8,
    kernel=31,
    front_end=GatedFrontEndConfig(),
    activation="silu",
    feed_forward_bias=True,
    depthwise_bias=False,
    batch_norm_eps=1e-5,
    scores_over="width",
)
"""That of arXiv 2501.02370. Relative positions are the signed distances of Dai et al. (2019), also of later frames: for
these the authors' shift takes the scores that the next frame has for other distances.
"""


class SquaredReLU(torch.autograd.Function):
    """max(x, 0)², keeping one tensor for the backward pass where two composed operations keep two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """max(x, 0)²."""
        positive = torch.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """2 max(x, 0) times the gradient."""
        (positive,) = ctx.saved_tensors
        return 2 * gradients[0] * positive


_ACTIVATIONS = {"squared_relu": SquaredReLU.apply, "silu": functional.silu}


class FeedForward(nn.Module):
    """Norm, linear, activation (squared ReLU: So et al. 2021), linear."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width, inner, bias = config.width, config.feed_forward or 4 * config.width, config.feed_forward_bias
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner, bias=bias)
        self.contract = nn.Linear(inner, width, bias=bias)
        self.activation = _ACTIVATIONS[config.activation]
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The residual branch for x_BTD."""
        inner = self.activation(self.expand(self.norm(x_BTD)))
        return self.dropout(self.contract(self.dropout(inner)))


class ConvolutionModule(nn.Module):
    """Norm, pointwise convolution with GLU, depthwise convolution, batch norm, SiLU, pointwise convolution.

    An even kernel K sees (K - 1) // 2 frames of the past and K // 2 of the future (32: 15 and 16).
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width, kernel = config.width, config.kernel
        self.past, self.future = (kernel - 1) // 2, kernel // 2
        self.layer_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, bias=config.depthwise_bias)
        self.batch_norm = MaskedBatchNorm(width, eps=config.batch_norm_eps)
        self.contract = nn.Linear(width, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """The residual branch for x_BTD; what lies outside the mask does not reach the inside."""
        x = functional.glu(self.expand(self.layer_norm(x_BTD)), dim=-1) * mask_BT.unsqueeze(-1)
        x = self.depthwise(functional.pad(x.transpose(1, 2), (self.past, self.future))).transpose(1, 2)
        x = functional.silu(self.batch_norm(x, mask_BT))
        return self.dropout(self.contract(x))


class ConformerLayer(nn.Module):
    """Half a feed-forward step, attention, convolution, half a feed-forward step, norm; all with residuals."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width = config.width
        scale = width**-0.5 if config.scores_over == "width" else None
        self.first_feed_forward = FeedForward(config)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RelativeAttention(width, config.heads, config.dropout, scale)
        self.convolution = ConvolutionModule(config)
        self.last_feed_forward = FeedForward(config)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, bias_B11T: Tensor, positions_PD: Tensor) -> Tensor:
        """Next layer's x_BTD."""
        x = x_BTD + 0.5 * self.first_feed_forward(x_BTD)
        x = x + self.dropout(self.attention(self.attention_norm(x), bias_B11T, positions_PD))
        x = x + self.convolution(x, mask_BT)
        x = x + 0.5 * self.last_feed_forward(x)
        return self.norm(x)


class Conformer(LayeredEncoder):
    """Front end and Conformer layers."""

    def __init__(self, config: ConformerConfig, bins: int) -> None:
        super().__init__(config, bins)
        self.layers = nn.ModuleList([ConformerLayer(config) for _ in range(config.layers)])

    def forward(
        self,
        features_BTF: Tensor,
        lengths_B: Tensor,
        keep_layers: Collection[int] = (),
        shorten: Mapping[int, Shorten] | None = None,
    ) -> tuple[Tensor, Tensor, dict[int, Frames]]:
        """Encode features_BTF; see `duolect.models.encoders`, and `run_layers` for what is returned.

        An utterance without frames has length 0.
        """
        x, lengths_B = self.front_end(features_BTF, lengths_B)
        return run_layers(self.layers, self.dropout(x), lengths_B, _surroundings, keep_layers, shorten)


def _surroundings(x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a layer needs beside the states: mask_BT, bias_B11T of the keys, positions_PD."""
    bias_B11T = key_bias(mask_BT, x_BTD.dtype)[:, None, None, :]
    return mask_BT, bias_B11T, relative_positions(x_BTD.shape[1], x_BTD.shape[2], x_BTD.device)
