"""How much audio and text an LLM has positions for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from duolect.nn.adapters import Adapter

_LOOKED_AT = 4096  # frames, many times what any adapter puts together
_ROUNDING = 2  # frames that an encoder may give beyond the duration of its audio


@dataclass(frozen=True)
class Room:
    """The positions of an LLM, and an upper bound of those that prompt, audio and labels take; small, for workers.

    `prompt`: of the longest prompt and BOS. F frames of the encoder take at most per_frame · F + extra positions.
    """

    positions: int
    prompt: int
    per_frame: float
    extra: float
    seconds_per_frame: float

    @classmethod
    def of(cls, positions: int, prompt: int, adapter: Adapter, audio_positions: int, seconds_per_frame: float) -> Room:
        """`audio_positions`: how many positions each of the adapter's outputs takes (see `Interface`)."""
        frames_F = torch.arange(_LOOKED_AT + 1, device="cpu")
        taken_F = adapter.output_lengths(frames_F).double() * audio_positions
        per_frame = float(taken_F[-1]) / _LOOKED_AT
        extra = float((taken_F - per_frame * frames_F).max()) + per_frame * _ROUNDING
        return cls(positions, prompt, per_frame, extra, seconds_per_frame)

    def longest_seconds(self, labels: float = 0) -> float:
        """The longest audio that fits beside so many labels; infinite where audio takes no positions."""
        left = self.positions - self.prompt - labels - self.extra
        if not self.per_frame:
            return math.inf if left >= 0 else 0.0
        return max(left, 0.0) / self.per_frame * self.seconds_per_frame

    def misfit(self, seconds: float, labels: int) -> str | None:
        """Why an utterance finds no room; None where it does."""
        audio = self.per_frame * seconds / self.seconds_per_frame + self.extra
        needed = self.prompt + math.ceil(audio) + labels
        if needed <= self.positions:
            return None
        return (
            f"its {seconds:.2f} s of audio and {labels} labels take up to {needed} positions of the LLM, which has "
            f"{self.positions}"
        )
