"""Adapters one after the other. B utterances · D encoder width · E LLM width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from duolect.errors import ConfigError
from duolect.nn.adapters.base import Adapter, CtcLogits
from duolect.nn.adapters.compression import CtcCompressionConfig
from duolect.nn.adapters.concat import ConcatLinearConfig
from duolect.nn.adapters.convolutions import ConvConfig
from duolect.nn.adapters.qformer import QFormerConfig
from duolect.nn.masks import Frames

LinkConfig = ConcatLinearConfig | ConvConfig | QFormerConfig | CtcCompressionConfig
"""Every kind of adapter that a chain may be made of."""


@dataclass(frozen=True, kw_only=True)
class ChainConfig:
    """Each of `links` takes what the one before it gives; between them the width is the encoder's.

    CTC speaks of the encoder's frames, so that CTC compression can only be the first.
    """

    kind: Literal["chain"] = "chain"
    links: tuple[LinkConfig, ...]

    def __post_init__(self) -> None:
        if not self.links:
            raise ConfigError("adapter: links must name at least one adapter.")
        for place, link in enumerate(self.links[1:], start=1):
            if isinstance(link, CtcCompressionConfig):
                raise ConfigError(
                    f"adapter: links[{place}] is of kind 'ctc_compression', which must be the first, for CTC speaks of "
                    "the frames as the encoder gives them."
                )


class Chain(nn.Module):
    """The adapters of a chain."""

    def __init__(self, links: Sequence[Adapter]) -> None:
        super().__init__()
        self.links = nn.ModuleList(links)  # ty: ignore[invalid-argument-type]
        self.width = links[-1].width

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `Adapter.output_lengths`."""
        for link in self.links:
            lengths_B = link.output_lengths(lengths_B)  # ty: ignore[not-callable]
        return lengths_B

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """See `Adapter`."""
        for link in self.links:
            states_BTD, lengths_B = link(states_BTD, lengths_B, ctc)
        return states_BTD, lengths_B
