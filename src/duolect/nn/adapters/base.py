"""What every adapter gives a speech LLM. B utterances · T frames · S positions · D encoder width · E LLM width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from duolect.nn.masks import Frames

CtcLogits = Callable[[], Tensor]
"""logits_BTW of the encoder's last CTC head over the frames that the adapter is given, blank last; computed on call."""


class Adapter(Protocol):
    """From encoder states to what an LLM reads, as an `nn.Module`."""

    width: int
    """E of what comes out."""

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """Positions that come out for so many frames; where that depends on what was said, the most."""
        ...

    def __call__(self, states_BTD: Tensor, lengths_B: Tensor, ctc: CtcLogits | None = None) -> Frames:
        """(audio_BSE, lengths_B), zero outside the utterance; the same for an utterance alone and in any batch."""
        ...
