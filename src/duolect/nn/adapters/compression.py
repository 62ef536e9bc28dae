"""CTC compression as an adapter. B utterances · S vectors · D encoder width · E LLM width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from duolect.nn.adapters.base import CtcLogits
from duolect.nn.masks import Frames, length_mask
from duolect.nn.merging import Merge, MergeConfig


@dataclass(frozen=True, kw_only=True)
class CtcCompressionConfig(MergeConfig):
    """Runs of frames of which the encoder's last CTC head says the same become one vector, then one linear layer."""

    kind: Literal["ctc_compression"] = "ctc_compression"


class CtcCompression(nn.Module):
    """As many positions as there are runs, at most one per frame."""

    def __init__(self, config: CtcCompressionConfig, width: int, llm_width: int) -> None:
        super().__init__()
        self.merge, self.width = Merge(config, "adapter_compression"), llm_width
        self.linear = nn.Linear(width, llm_width)

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `Adapter.output_lengths`: the most there can be."""
        return self.merge.output_lengths(lengths_B)

    def forward(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """See `Adapter`; `ctc` is needed."""
        assert ctc is not None, "the model's config has been checked for a CTC head"
        vectors_BSD, lengths_B = self.merge(states_BTD, lengths_B, ctc())
        audio_BSE = self.linear(vectors_BSD)
        return audio_BSE * length_mask(lengths_B, audio_BSE.shape[1]).unsqueeze(-1), lengths_B
