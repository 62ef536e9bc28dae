"""The convolutional front ends: features to a sequence six (or four) times shorter.

B utterances · T frames · F feature bins · C channels · D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.masks import length_mask


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """3x3 convolutions with ReLU; the defaults are those of arXiv 2603.15045 (a frame of 60 ms from 10 ms features)."""

    kind: Literal["conv2d"] = "conv2d"
    channels: tuple[int, ...] = (32, 64, 64)
    time_strides: tuple[int, ...] = (1, 3, 2)
    frequency_strides: tuple[int, ...] = (1, 1, 1)
    frequency_pool: int = 2  # maximum over so many neighbouring bins, after the first convolution
    normalises: ClassVar[bool] = True  # its features are normalised by running statistics first

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.time_strides) == len(self.frequency_strides) > 0:
            raise ConfigError(
                f"front end: channels, time_strides and frequency_strides must be equally many and at least one, not "
                f"{len(self.channels)}, {len(self.time_strides)} and {len(self.frequency_strides)}."
            )
        for name in ("channels", "time_strides", "frequency_strides"):
            if min(getattr(self, name)) < 1:
                raise ConfigError(f"front end: {name} must be positive, not {getattr(self, name)}.")
        if self.frequency_pool < 1:
            raise ConfigError(f"front end: frequency_pool must be positive, not {self.frequency_pool}.")

    @property
    def downsampling(self) -> int:
        """Feature frames per output frame."""
        return math.prod(self.time_strides)


@dataclass(frozen=True, kw_only=True)
class GatedFrontEndConfig:
    """Convolutions over time, each halved by a gated linear unit (Synnaeve et al., arXiv 1911.08460).

    The defaults are those of arXiv 2501.02370: two of kernel 5 and stride 2, the first with 1024 channels before its
    gate; a frame of 40 ms from 10 ms features. `channels` are those of all convolutions but the last, whose gate leaves
    the encoder's width. It hears features as they are: normalise those per utterance (`FeatureConfig.normalisation`).
    """

    kind: Literal["gated_conv1d"] = "gated_conv1d"
    channels: int = 1024
    kernel: int = 5
    time_strides: tuple[int, ...] = (2, 2)
    normalises: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2:
            raise ConfigError(
                f"front end: channels must be even and positive, for a gate halves them, not {self.channels}."
            )
        if self.kernel < 1 or not self.kernel % 2:
            raise ConfigError(f"front end: kernel must be odd and positive, not {self.kernel}.")
        if not self.time_strides or min(self.time_strides) < 1:
            raise ConfigError(f"front end: time_strides must be positive and at least one, not {self.time_strides}.")

    @property
    def downsampling(self) -> int:
        """Feature frames per output frame."""
        return math.prod(self.time_strides)


AnyFrontEndConfig = FrontEndConfig | GatedFrontEndConfig
"""Every kind of front end, told apart by `kind`."""


def strided_lengths(lengths_B: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Frames that come out of convolutions padded by half their kernel: each makes ⌈T / s⌉ of T."""
    for stride in strides:
        lengths_B = (lengths_B + stride - 1) // stride
    return lengths_B


class ConvFrontEnd(nn.Module):
    """Convolutions over time and frequency, then a projection without bias.

    Every frame outside its utterance is set to zero before each convolution and at the end, so that an utterance's
    output does not depend on how far it was padded. One frame of padding on both sides: a stage of stride s makes
    ⌈T / s⌉ frames of T.
    """

    def __init__(self, bins: int, width: int, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.convolutions = nn.ModuleList()
        previous = 1
        for stage, channels in enumerate(config.channels):
            strides = (config.time_strides[stage], config.frequency_strides[stage])
            self.convolutions.append(nn.Conv2d(previous, channels, 3, stride=strides, padding=1))
            bins = -(-bins // strides[1])
            if stage == 0:
                bins //= config.frequency_pool
            previous = channels
        if bins < 1:
            raise ConfigError("front end: the frequency strides and the pool leave no bin; use fewer or more mel bins.")
        self.project = nn.Linear(previous * bins, width, bias=False)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Frames that come out for so many feature frames."""
        return strided_lengths(lengths_B, self.config.time_strides)

    def forward(self, features_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(states_BTD, lengths_B) of features_BTF; frames outside an utterance are zero."""
        x = _not_empty(features_BTF)
        # Channels last: twice as fast on a CPU, and what a GPU wants too. A single channel counts as last only by its
        # stride, which unsqueeze(1), and any sum or product of it, would lose.
        x = (x * length_mask(lengths_B, x.shape[1]).unsqueeze(-1)).unsqueeze(-1).permute(0, 3, 1, 2)
        for stage, convolution in enumerate(self.convolutions):
            x = convolution(x)
            lengths_B = strided_lengths(lengths_B, self.config.time_strides[stage : stage + 1])
            if stage == 0 and self.config.frequency_pool > 1:
                x = functional.max_pool2d(x, (1, self.config.frequency_pool))
            x = torch.relu(x)  # after the pool, which it commutes with: half the work
            x = x * length_mask(lengths_B, x.shape[2])[:, None, :, None]
        return self.project(x.permute(0, 2, 3, 1).flatten(2)), lengths_B  # without bias: what is zero stays zero


class GatedFrontEnd(nn.Module):
    """Convolutions over time with gated linear units; the result times √D.

    What lies outside its utterance is set to zero before each convolution and at the end, so that an utterance's output
    does not depend on how far it was padded. With a kernel K and its K // 2 frames of padding on both sides, a stage of
    stride s makes ⌊(T - 1) / s⌋ + 1 = ⌈T / s⌉ frames of T.
    """

    def __init__(self, bins: int, width: int, config: GatedFrontEndConfig) -> None:
        super().__init__()
        self.config, self.scale = config, width**0.5
        self.convolutions = nn.ModuleList()
        previous = bins
        for stage, stride in enumerate(config.time_strides, start=1):
            channels = 2 * width if stage == len(config.time_strides) else config.channels
            padding = config.kernel // 2
            self.convolutions.append(nn.Conv1d(previous, channels, config.kernel, stride=stride, padding=padding))
            previous = channels // 2

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Frames that come out for so many feature frames."""
        return strided_lengths(lengths_B, self.config.time_strides)

    def forward(self, features_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(states_BTD, lengths_B) of features_BTF; frames outside an utterance are zero."""
        x = _not_empty(features_BTF).transpose(1, 2)
        x = x * length_mask(lengths_B, x.shape[2])[:, None, :]
        for convolution, stride in zip(self.convolutions, self.config.time_strides, strict=True):
            x = functional.glu(convolution(x), dim=1)
            lengths_B = strided_lengths(lengths_B, (stride,))
            x = x * length_mask(lengths_B, x.shape[2])[:, None, :]
        return x.transpose(1, 2) * self.scale, lengths_B


FrontEnd = ConvFrontEnd | GatedFrontEnd
"""Every class of front end."""


def build_front_end(config: AnyFrontEndConfig, bins: int, width: int) -> FrontEnd:
    """The front end `config` asks for, from `bins` features to states of `width`."""
    if isinstance(config, GatedFrontEndConfig):
        return GatedFrontEnd(bins, width, config)
    return ConvFrontEnd(bins, width, config)


def _not_empty(features_BTF: Tensor) -> Tensor:
    """At least one frame, for convolutions want one."""
    return (
        features_BTF if features_BTF.shape[1] else features_BTF.new_zeros(len(features_BTF), 1, features_BTF.shape[2])
    )
