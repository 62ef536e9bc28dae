"""Samples as they are, for encoders that bring their own front end; and what an encoder may be given at all.

B utterances · N samples · T frames · F feature bins
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from duolect.audio.features import FeatureConfig, LogMel
from duolect.audio.files import SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class WaveformConfig:
    """The samples themselves. `normalise`: to mean 0 and variance 1 over each utterance, as wav2vec 2.0 may want it."""

    kind: Literal["waveform"] = "waveform"
    normalise: bool = True

    @property
    def seconds_per_frame(self) -> float:
        """Duration of a sample."""
        return 1 / SAMPLE_RATE

    @property
    def first_centre(self) -> float:
        """Seconds from the beginning of the sound to the first sample."""
        return 0.0


InputConfig = FeatureConfig | WaveformConfig
"""What an encoder is given: log-mel features or samples, told apart by `kind`."""


class Waveform(nn.Module):
    """Samples at 16 kHz to samples that are 0 outside the utterance."""

    def __init__(self, config: WaveformConfig | None = None) -> None:
        super().__init__()
        self.config = config or WaveformConfig()

    def forward(self, samples_BN: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(samples_BN float32, lengths_B); what lies beyond an utterance's length is not looked at.

        Normalised as (x - mean) / √(variance + 1e-7), by transformers' `Wav2Vec2FeatureExtractor`.
        """
        outside_BN = torch.arange(samples_BN.shape[1], device=samples_BN.device) >= lengths_B[:, None]
        x_BN = samples_BN.float().masked_fill(outside_BN, 0.0)
        if self.config.normalise:
            count_B1 = lengths_B[:, None].clamp(min=1)
            x_BN = (x_BN - x_BN.sum(1, keepdim=True) / count_B1).masked_fill(outside_BN, 0.0)
            x_BN = x_BN * torch.rsqrt(x_BN.square().sum(1, keepdim=True) / count_B1 + 1e-7)
        return x_BN, lengths_B


def build_input(config: InputConfig) -> LogMel | Waveform:
    """The module that makes of samples what `config` says."""
    return Waveform(config) if isinstance(config, WaveformConfig) else LogMel(config)
