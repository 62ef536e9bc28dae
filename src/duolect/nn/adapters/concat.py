"""Neighbouring frames side by side. B utterances · T frames · S positions · D encoder width · E LLM width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.adapters.base import CtcLogits
from duolect.nn.masks import Frames, length_mask


@dataclass(frozen=True, kw_only=True)
class ConcatLinearConfig:
    """`factor` neighbouring frames side by side, then one linear layer (arXiv 2603.15045: factor 1 or 2)."""

    kind: Literal["concat_linear"] = "concat_linear"
    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ConfigError(f"adapter: factor must be at least 1, not {self.factor}.")


class ConcatLinear(nn.Module):
    """⌈T / factor⌉ positions; the last one is filled up with zeros where `factor` does not divide T."""

    def __init__(self, config: ConcatLinearConfig, width: int, llm_width: int) -> None:
        super().__init__()
        self.factor, self.width = config.factor, llm_width
        self.linear = nn.Linear(config.factor * width, llm_width)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `Adapter.output_lengths`."""
        return (lengths_B + self.factor - 1) // self.factor

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """See `Adapter`."""
        x = states_BTD * length_mask(lengths_B, states_BTD.shape[1]).unsqueeze(-1)
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        audio_BSE = self.linear(x.unflatten(1, (-1, self.factor)).flatten(2))
        lengths_B = self.output_lengths(lengths_B)
        return audio_BSE * length_mask(lengths_B, audio_BSE.shape[1]).unsqueeze(-1), lengths_B
