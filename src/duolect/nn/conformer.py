"""The Conformer encoder (Gulati et al. 2020) in the form of arXiv 2603.15045.

B utterances · T frames · F feature bins · D width · P distances.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.dropout import Dropout
from duolect.nn.frontend import ConvFrontEnd, FrontEndConfig
from duolect.nn.masks import key_bias, length_mask
from duolect.nn.norms import MaskedBatchNorm
from duolect.nn.relative import RelativeAttention, relative_positions


@dataclass(frozen=True, kw_only=True)
class ConformerConfig:
    """Sizes of the encoder. The paper's: width 1024, 16 layers, 8 heads, feed-forward 4096, kernel 32, dropout 0.1."""

    kind: Literal["conformer"] = "conformer"
    width: int = 144
    layers: int = 6
    heads: int = 4
    feed_forward: int | None = None  # None: 4 x width
    kernel: int = 32
    dropout: float = 0.1
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kernel"):
            if getattr(self, name) < 1:
                raise ConfigError(f"encoder: {name} must be positive, not {getattr(self, name)}.")
        if self.width % self.heads or self.width % 2:
            raise ConfigError(f"encoder: width {self.width} must be even and a multiple of heads ({self.heads}).")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"encoder: dropout must be at least 0 and below 1, not {self.dropout}.")


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


class FeedForward(nn.Module):
    """Norm, linear, squared ReLU (So et al. 2021), linear; neither linear has a bias."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner, bias=False)
        self.contract = nn.Linear(inner, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The residual branch for x_BTD."""
        inner = SquaredReLU.apply(self.expand(self.norm(x_BTD)))
        return self.dropout(self.contract(self.dropout(inner)))


class ConvolutionModule(nn.Module):
    """Norm, pointwise convolution with GLU, depthwise convolution, batch norm, SiLU, pointwise convolution.

    An even kernel K sees (K - 1) // 2 frames of the past and K // 2 of the future (32: 15 and 16).
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.past, self.future = (kernel - 1) // 2, kernel // 2
        self.layer_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.batch_norm = MaskedBatchNorm(width)
        self.contract = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

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
        width, inner = config.width, config.feed_forward or 4 * config.width
        self.first_feed_forward = FeedForward(width, inner, config.dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RelativeAttention(width, config.heads, config.dropout)
        self.convolution = ConvolutionModule(width, config.kernel, config.dropout)
        self.last_feed_forward = FeedForward(width, inner, config.dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor, bias_B11T: Tensor, positions_PD: Tensor) -> Tensor:
        """Next layer's x_BTD."""
        x = x_BTD + 0.5 * self.first_feed_forward(x_BTD)
        x = x + self.dropout(self.attention(self.attention_norm(x), bias_B11T, positions_PD))
        x = x + self.convolution(x, mask_BT)
        x = x + 0.5 * self.last_feed_forward(x)
        return self.norm(x)


class Conformer(nn.Module):
    """Front end and layers. Evaluation is independent of padding and of the rest of the batch (`padding_safe`)."""

    padding_safe, normalises, masks_states, longest = True, True, False, None  # see `duolect.models.encoders`

    def __init__(self, config: ConformerConfig, bins: int) -> None:
        super().__init__()
        self.config = config
        self.front_end = ConvFrontEnd(bins, config.width, config.front_end)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList([ConformerLayer(config) for _ in range(config.layers)])

    @property
    def width(self) -> int:
        """D of the states."""
        return self.config.width

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.config.layers

    @property
    def downsampling(self) -> int:
        """Feature frames per state."""
        return self.config.front_end.downsampling

    def forward(
        self, features_BTF: Tensor, lengths_B: Tensor, keep_layers: Collection[int] = ()
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Encode features_BTF.

        Returns (states_BTD, lengths_B, {layer: states_BTD} for the layers, counted from 1, in `keep_layers`). States
        outside an utterance are zero. An utterance without frames has length 0.
        """
        x, lengths_B = self.front_end(features_BTF, lengths_B)
        mask_BT = length_mask(lengths_B, x.shape[1])
        mask_BT1 = mask_BT.unsqueeze(-1)
        x = self.dropout(x)
        bias_B11T = key_bias(mask_BT, x.dtype)[:, None, None, :]
        positions_PD = relative_positions(x.shape[1], self.config.width, x.device)
        kept: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, mask_BT, bias_B11T, positions_PD)
            if number in keep_layers:
                kept[number] = x * mask_BT1
        return x * mask_BT1, lengths_B, kept
