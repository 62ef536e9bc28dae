"""The convolutional front end: features to a sequence six (or four) times shorter.

B utterances · T frames · F feature bins · C channels · D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.masks import length_mask


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """3x3 convolutions with ReLU; the defaults are those of arXiv 2603.15045 (a frame of 60 ms from 10 ms features)."""

    channels: tuple[int, ...] = (32, 64, 64)
    time_strides: tuple[int, ...] = (1, 3, 2)
    frequency_strides: tuple[int, ...] = (1, 1, 1)
    frequency_pool: int = 2  # maximum over so many neighbouring bins, after the first convolution

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


class ConvFrontEnd(nn.Module):
    """Convolutions over time and frequency, then a projection without bias.

    Every frame outside its utterance is set to zero before each convolution, so that an utterance's output does not
    depend on how far it was padded. One frame of padding on both sides: a stage of stride s makes ⌈T / s⌉ frames of T.
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
        for stride in self.config.time_strides:
            lengths_B = (lengths_B + stride - 1) // stride
        return lengths_B

    def forward(self, features_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(states_BTD, lengths_B) of features_BTF; frames outside an utterance are zero."""
        x = features_BTF if features_BTF.shape[1] else features_BTF.new_zeros(len(lengths_B), 1, features_BTF.shape[2])
        # Channels last: twice as fast on a CPU, and what a GPU wants too.
        x = x.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        for stage, convolution in enumerate(self.convolutions):
            mask_B1T1 = length_mask(lengths_B, x.shape[2])[:, None, :, None]
            x = convolution(x * mask_B1T1)
            stride = self.config.time_strides[stage]
            lengths_B = (lengths_B + stride - 1) // stride
            if stage == 0 and self.config.frequency_pool > 1:
                x = functional.max_pool2d(x, (1, self.config.frequency_pool))
            x = torch.relu(x)  # after the pool, which it commutes with: half the work
        states_BTD = self.project(x.permute(0, 2, 3, 1).flatten(2))
        return states_BTD * length_mask(lengths_B, states_BTD.shape[1]).unsqueeze(-1), lengths_B
