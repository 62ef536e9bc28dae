"""What an encoder hands on. B utterances · T frames · D width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from duolect.nn.masks import Frames


@dataclass(frozen=True)
class Encoded:
    """Encoder states (zero outside the utterance) and their lengths; states and lengths of the layers with CTC heads.

    Where frames are merged after a layer, the heads up to it speak of more frames than the states: `ctc_lengths` are
    theirs. `tags_B`: for each utterance the place, among the model's tags, of what is to be written (None: there is one
    task). `audio`: what the adapter of a speech LLM makes of the states.
    """

    states_BTD: Tensor
    lengths_B: Tensor
    ctc_states: Mapping[int, Tensor] = field(default_factory=dict)
    ctc_lengths: Mapping[int, Tensor] = field(default_factory=dict)
    tags_B: Tensor | None = None
    audio: Frames | None = None

    def __len__(self) -> int:
        return len(self.lengths_B)

    @property
    def frames_B(self) -> Tensor:
        """How many frames there were before any were merged: those of the longest of states and CTC heads."""
        frames_B = self.lengths_B
        for lengths_B in self.ctc_lengths.values():
            frames_B = torch.maximum(frames_B, lengths_B)
        return frames_B

    @property
    def positions_B(self) -> Tensor:
        """How many vectors the labels are read from: those of the adapter, without one the states."""
        return self.lengths_B if self.audio is None else self.audio[1]

    def select(self, index_B: Tensor) -> Encoded:
        """The utterances `index_B` (picked, repeated or reordered), each sequence cut to the longest of them."""
        states_BTD, lengths_B = _select(self.states_BTD, self.lengths_B, index_B)
        kept = {n: _select(x_BTD, self.ctc_lengths[n], index_B) for n, x_BTD in self.ctc_states.items()}
        return Encoded(
            states_BTD,
            lengths_B,
            {layer: x_BTD for layer, (x_BTD, _) in kept.items()},
            {layer: lengths_B for layer, (_, lengths_B) in kept.items()},
            None if self.tags_B is None else self.tags_B[index_B],
            None if self.audio is None else _select(*self.audio, index_B),
        )


def _select(x_BTD: Tensor, lengths_B: Tensor, index_B: Tensor) -> Frames:
    lengths_B = lengths_B[index_B]
    frames = max(int(lengths_B.max()), 1) if len(lengths_B) else 1
    return x_BTD[index_B, :frames], lengths_B
