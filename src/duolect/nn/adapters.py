"""From encoder states to what an LLM reads. B utterances · T frames · D encoder width · E LLM width.

A new adapter is a config with its own `kind`, a module with `forward(states_BTD, lengths_B)` and `output_lengths`, and
an entry in `build_adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn.masks import length_mask


@dataclass(frozen=True, kw_only=True)
class ConcatLinearConfig:
    """`factor` neighbouring frames side by side, then one linear layer (arXiv 2603.15045: factor 1 or 2)."""

    kind: Literal["concat_linear"] = "concat_linear"
    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ConfigError(f"adapter: factor must be at least 1, not {self.factor}.")


AdapterConfig = ConcatLinearConfig
"""Every kind of adapter (a union of their configs, told apart by `kind`)."""


class ConcatLinear(nn.Module):
    """⌈T / factor⌉ positions of width E; the last one is filled up with zeros where `factor` does not divide T."""

    def __init__(self, factor: int, width: int, llm_width: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(factor * width, llm_width)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Positions that come out for so many frames."""
        return (lengths_B + self.factor - 1) // self.factor

    def forward(self, states_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """(audio_BTE, lengths_B), zero outside the utterance."""
        x = states_BTD * length_mask(lengths_B, states_BTD.shape[1]).unsqueeze(-1)
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        audio_BTE = self.linear(x.unflatten(1, (-1, self.factor)).flatten(2))
        lengths_B = self.output_lengths(lengths_B)
        return audio_BTE * length_mask(lengths_B, audio_BTE.shape[1]).unsqueeze(-1), lengths_B


def build_adapter(config: AdapterConfig, width: int, llm_width: int) -> ConcatLinear:
    """The adapter `config` asks for, from encoder width D to LLM width E."""
    return ConcatLinear(config.factor, width, llm_width)
