"""The prefix interface: the audio stands in the LLM's input like a text of its own.

B utterances · T audio positions · S positions · N labels · M = N + 1 · R rows · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from duolect.models.causal import CausalLLM, CausalState
from duolect.models.interfaces.base import Audio, Layout, Prompts, WithinState, lay_out


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """[prompt | audio | prompt | BOS | labels] in one sequence, every position of which sees all earlier ones.

    With `audio` "causal" (arXiv 2603.15045) it sees no others; with "bidirectional" the audio sees all of the audio,
    later positions too, and text remains causal (arXiv 2501.02370, where it helps a decoder without an encoder).
    """

    kind: Literal["prefix"] = "prefix"
    audio: Literal["causal", "bidirectional"] = "causal"


class PrefixInterface(WithinState):
    """Lays prompt, audio, prompt, BOS and labels out without gaps: positions, and what is causal, need no mask."""

    def __init__(self, bidirectional: bool = False) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, CausalState]:
        """See `Interface.start`."""
        layout = lay_out(llm, prompts, audio=audio)
        return llm.prefill(layout.embedded_BSE, layout.bos_B + 1, self._seen(layout, audio))

    def hidden(
        self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor, lengths_B: Tensor | None = None
    ) -> Tensor:
        """See `Interface.hidden`."""
        layout = lay_out(llm, prompts, labels_BN, lengths_B, audio)
        states_BSE = llm.hidden(layout.embedded_BSE, self._seen(layout, audio))
        return layout.after_bos(states_BSE, labels_BN.shape[1])

    def _seen(self, layout: Layout, audio: Audio) -> Tensor | None:
        """What each position sees; None: all earlier ones, for which attention has faster kernels than with a mask."""
        if not self.bidirectional or audio.states_BTE.shape[1] < 2:
            return None
        return bidirectional_mask(layout.audio_B, audio.lengths_B, layout.embedded_BSE.shape[1])


def bidirectional_mask(starts_B: Tensor, lengths_B: Tensor, positions: int) -> Tensor:
    """seen_BSS: [b, i, j] is whether i sees j, j ≤ i or both in the audio of b (arXiv 2501.02370, its prefix mask).

    The audio is at the `lengths_B` positions from `starts_B` on.
    """
    index_S = torch.arange(positions, device=starts_B.device)
    audio_BS = (index_S >= starts_B[:, None]) & (index_S < (starts_B + lengths_B)[:, None])
    return (index_S <= index_S[:, None]) | (audio_BS[:, :, None] & audio_BS[:, None, :])
