"""The prefix interface: the audio stands in the LLM's input like a text of its own.

B utterances · T audio positions · S positions · N labels · M = N + 1 · R rows · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from duolect.models.causal import CausalLLM, CausalState
from duolect.models.heads import LabelHead
from duolect.models.interfaces.base import Audio, Prompts
from duolect.nn.ragged import join


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """[prompt | audio | prompt | BOS | labels], attended to causally throughout (arXiv 2603.15045)."""

    kind: Literal["prefix"] = "prefix"


class PrefixInterface(nn.Module):
    """Lays prompt, audio, prompt, BOS and labels out without gaps, so that positions and causality need no mask."""

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, CausalState]:
        """See `Interface.start`."""
        embedded_BSE, starts_B = _lay_out(llm, audio, prompts, None)
        return llm.prefill(embedded_BSE, starts_B + 1)

    def step(
        self,
        llm: CausalLLM,
        state: CausalState,
        labels_RN: Tensor,
        counts_R: Tensor | None,
        head: LabelHead | None = None,
    ) -> tuple[Tensor, CausalState]:
        """See `Interface.step`."""
        return llm.step(state, labels_RN, counts_R, head)

    def select(self, llm: CausalLLM, state: CausalState, rows_R: Tensor) -> CausalState:
        """See `Interface.select`."""
        return llm.select(state, rows_R)

    def forget(self, llm: CausalLLM, state: CausalState, counts_R: Tensor) -> CausalState:
        """See `Interface.forget`."""
        return llm.forget(state, counts_R)

    def hidden(self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor) -> Tensor:
        """See `Interface.hidden`."""
        embedded_BSE, starts_B = _lay_out(llm, audio, prompts, labels_BN)
        states_BSE = llm.hidden(embedded_BSE)
        index_BM = starts_B[:, None] + torch.arange(labels_BN.shape[1] + 1, device=starts_B.device)
        return states_BSE.gather(1, index_BM.unsqueeze(-1).expand(-1, -1, states_BSE.shape[2]))


def _lay_out(llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor | None) -> tuple[Tensor, Tensor]:
    """(embedded_BSE, starts_B): the whole input, right-padded, and where BOS stands."""
    before_BPE, after_BPE = llm.embed(prompts.before_BP), llm.embed(prompts.after_BP)
    parts = [
        (before_BPE, prompts.before_lengths_B),
        (audio.states_BTE.to(before_BPE.dtype), audio.lengths_B),
        (after_BPE, prompts.after_lengths_B),
    ]
    if labels_BN is not None:
        parts.append((llm.embed(labels_BN), torch.full_like(audio.lengths_B, labels_BN.shape[1])))
    embedded_BSE, starts_PB, _ = join(parts)
    return embedded_BSE, starts_PB[2] + prompts.after_lengths_B - 1
