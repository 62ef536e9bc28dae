"""Strided convolutions over time.

B utterances · T frames · S positions · D encoder width · C channels · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.adapters.base import CtcLogits
from duolect.nn.masks import Frames, length_mask


@dataclass(frozen=True, kw_only=True)
class ConvConfig:
    """`layers` convolutions over time, each followed by its activation, then one linear layer.

    The defaults are the length adapter of arXiv 2501.02370 (kernel 5, stride 2, GLU over the channels) with as many
    channels as the encoder is wide.
    """

    kind: Literal["conv"] = "conv"
    layers: int = 2
    kernel: int = 5
    stride: int = 2
    channels: int | None = None  # after the activation; None: the encoder's width
    activation: Literal["glu", "gelu"] = "glu"

    def __post_init__(self) -> None:
        for name in ("layers", "kernel", "stride"):
            if getattr(self, name) < 1:
                raise ConfigError(f"adapter: {name} must be at least 1, not {getattr(self, name)}.")
        if self.channels is not None and self.channels < 1:
            raise ConfigError(f"adapter: channels must be at least 1, not {self.channels}.")
        if self.stride > self.kernel:
            raise ConfigError(
                f"adapter: a stride of {self.stride} passes over frames that no kernel of {self.kernel} sees; it must "
                f"be at most {self.kernel}."
            )


class ConvAdapter(nn.Module):
    """Each layer makes ⌈T / stride⌉ frames of T.

    What lies outside an utterance is zero before each convolution. An even kernel K sees (K - 1) // 2 frames of the
    past and K // 2 of the future.
    """

    def __init__(self, config: ConvConfig, width: int, llm_width: int) -> None:
        super().__init__()
        self.config, self.width = config, llm_width
        channels = config.channels or width
        inner = 2 * channels if config.activation == "glu" else channels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels if layer else width, inner, config.kernel, stride=config.stride)
            for layer in range(config.layers)
        )
        self.linear = nn.Linear(channels, llm_width)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `Adapter.output_lengths`."""
        for _ in self.convolutions:
            lengths_B = self._shorter(lengths_B)
        return lengths_B

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """See `Adapter`."""
        padding = (self.config.kernel - 1) // 2, self.config.kernel // 2
        x_BDT = states_BTD.transpose(1, 2)
        for convolution in self.convolutions:
            x_BDT = x_BDT * length_mask(lengths_B, x_BDT.shape[2]).unsqueeze(1)
            x_BCT = convolution(functional.pad(x_BDT, padding))
            x_BDT = functional.glu(x_BCT, dim=1) if self.config.activation == "glu" else functional.gelu(x_BCT)
            lengths_B = self._shorter(lengths_B)
        audio_BSE = self.linear(x_BDT.transpose(1, 2))
        return audio_BSE * length_mask(lengths_B, audio_BSE.shape[1]).unsqueeze(-1), lengths_B

    def _shorter(self, lengths_B: Tensor) -> Tensor:
        return (lengths_B + self.config.stride - 1) // self.config.stride
