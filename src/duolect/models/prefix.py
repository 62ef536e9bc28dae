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


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """[prompt | audio | prompt | BOS | labels], attended to causally throughout (arXiv 2603.15045)."""

    kind: Literal["prefix"] = "prefix"


InterfaceConfig = PrefixConfig
"""Every kind of interface (a union of their configs, told apart by `kind`)."""


class PrefixInterface(nn.Module):
    """Lays prompt, audio, prompt, BOS and labels out without gaps, so that positions and causality need no mask.

    Another interface has the same four methods and is returned by `build_interface`; it may hold weights of its own.
    """

    before: Tensor
    after: Tensor

    def __init__(self, prompt_before: tuple[int, ...], prompt_after: tuple[int, ...], bos_id: int) -> None:
        super().__init__()
        self.register_buffer("before", torch.tensor(prompt_before, dtype=torch.long), persistent=False)
        self.register_buffer("after", torch.tensor((*prompt_after, bos_id), dtype=torch.long), persistent=False)

    def start(self, llm: CausalLLM, audio_BTE: Tensor, lengths_B: Tensor) -> tuple[Tensor, CausalState]:
        """States after BOS (B, E), and what a search goes on from."""
        embedded_BSE, starts_B = self._lay_out(llm, audio_BTE, lengths_B, None)
        return llm.prefill(embedded_BSE, starts_B + 1)

    def step(
        self,
        llm: CausalLLM,
        state: CausalState,
        labels_RN: Tensor,
        counts_R: Tensor | None,
        head: LabelHead | None = None,
    ) -> tuple[Tensor, CausalState]:
        """Log p (R, N, V) after each label; see `Autoregressive.step`."""
        return llm.step(state, labels_RN, counts_R, head)

    def select(self, llm: CausalLLM, state: CausalState, rows_R: Tensor) -> CausalState:
        """The rows `rows_R`."""
        return llm.select(state, rows_R)

    def forget(self, llm: CausalLLM, state: CausalState, counts_R: Tensor) -> CausalState:
        """The rows without the last counts_R[r] labels of each."""
        return llm.forget(state, counts_R)

    def hidden(self, llm: CausalLLM, audio_BTE: Tensor, lengths_B: Tensor, labels_BN: Tensor) -> Tensor:
        """States (B, M, E) after BOS and each of the labels."""
        embedded_BSE, starts_B = self._lay_out(llm, audio_BTE, lengths_B, labels_BN)
        states_BSE = llm.hidden(embedded_BSE)
        index_BM = starts_B[:, None] + torch.arange(labels_BN.shape[1] + 1, device=starts_B.device)
        return states_BSE.gather(1, index_BM.unsqueeze(-1).expand(-1, -1, states_BSE.shape[2]))

    def _lay_out(
        self, llm: CausalLLM, audio_BTE: Tensor, lengths_B: Tensor, labels_BN: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(embedded_BSE, starts_B): the whole input, right-padded, and where BOS stands."""
        utterances, frames = audio_BTE.shape[:2]
        after = self.after.expand(utterances, -1)
        text = llm.embed(after if labels_BN is None else torch.cat((after, labels_BN), dim=1))
        before = llm.embed(self.before).expand(utterances, -1, -1)
        padded_BSE = torch.cat((before, audio_BTE.to(text.dtype), text), dim=1)
        # Each utterance's text follows its own last audio position: skip the padding in between.
        positions_S = torch.arange(padded_BSE.shape[1] - frames + int(lengths_B.max()), device=lengths_B.device)
        ends_B1 = len(self.before) + lengths_B[:, None]
        source_BS = torch.where(positions_S < ends_B1, positions_S, positions_S + frames - lengths_B[:, None])
        source_BS = source_BS.clamp(max=padded_BSE.shape[1] - 1)
        embedded_BSE = padded_BSE.gather(1, source_BS.unsqueeze(-1).expand(-1, -1, padded_BSE.shape[2]))
        return embedded_BSE, ends_B1[:, 0] + len(self.after) - 1


def build_interface(
    config: InterfaceConfig, prompt_before: tuple[int, ...], prompt_after: tuple[int, ...], bos_id: int
) -> PrefixInterface:
    """The interface `config` asks for."""
    return PrefixInterface(prompt_before, prompt_after, bos_id)
