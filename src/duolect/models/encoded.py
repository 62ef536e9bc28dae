"""What an encoder hands on. B utterances · T frames · D width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """Encoder states (zero outside the utterance), their lengths, and the states of the layers with CTC heads.

    `tags_B`: for each utterance the place, among the model's tags, of what is to be written (None: there is one task).
    """

    states_BTD: Tensor
    lengths_B: Tensor
    ctc_states: Mapping[int, Tensor] = field(default_factory=dict)
    tags_B: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths_B)

    def select(self, index_B: Tensor) -> Encoded:
        """The utterances `index_B` (picked, repeated or reordered), cut to the longest of them."""
        lengths_B = self.lengths_B[index_B]
        frames = max(int(lengths_B.max()), 1) if len(lengths_B) else 1
        return Encoded(
            self.states_BTD[index_B, :frames],
            lengths_B,
            {layer: states_BTD[index_B, :frames] for layer, states_BTD in self.ctc_states.items()},
            None if self.tags_B is None else self.tags_B[index_B],
        )
