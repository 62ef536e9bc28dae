"""What every attention interface gives a speech LLM, and how the text it reads is laid out.

B utterances · T audio positions · P prompt labels · S positions · N labels · M = N + 1 · R rows · E LLM width ·
V labels · W ends of a tree.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from duolect.models.causal import CausalLLM, CausalState
from duolect.models.heads import LabelHead
from duolect.nn.label_tree import LabelTree
from duolect.nn.ragged import join


class Audio(NamedTuple):
    """What the adapter makes of the encoder's states: right-padded, zero outside the utterance."""

    states_BTE: Tensor
    lengths_B: Tensor


class Prompts(NamedTuple):
    """The labels around the audio of each utterance, right-padded; the last one of `after` is BOS."""

    before_BP: Tensor
    before_lengths_B: Tensor
    after_BP: Tensor
    after_lengths_B: Tensor


class Interface(Protocol):
    """A way for an LLM to attend to audio, as an `nn.Module` that may hold weights of its own.

    `audio_positions`: how many of the LLM's positions each state of the audio takes. A state of a search is never
    changed: `step`, `branch`, `select` and `forget` return new ones.
    """

    audio_positions: int

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, Any]:
        """States after BOS (B, E), and what a search goes on from: one row for each utterance."""
        ...

    def step(
        self, llm: CausalLLM, state: Any, labels_RN: Tensor, counts_R: Tensor | None, head: LabelHead | None = None
    ) -> tuple[Tensor, Any]:
        """Log p (R, N, V) after each label; see `Autoregressive.step`."""
        ...

    def branch(self, llm: CausalLLM, state: Any, tree: LabelTree, ends_W: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Rows that begin alike; see `Branching.branch`."""
        ...

    def select(self, llm: CausalLLM, state: Any, rows_R: Tensor) -> Any:
        """The rows `rows_R`."""
        ...

    def forget(self, llm: CausalLLM, state: Any, counts_R: Tensor) -> Any:
        """The rows without the last counts_R[r] labels of each."""
        ...

    def hidden(
        self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor, lengths_B: Tensor | None = None
    ) -> Tensor:
        """States (B, M, E) after BOS and each of the labels, of which a row has lengths_B[b] (None: all N).

        Differentiable. What stands beyond a row's labels has no meaning.
        """
        ...


class WithinState(nn.Module):
    """The part of an interface that is the LLM's own, where the audio's keys and values are in the LLM's state."""

    audio_positions = 1

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

    def branch(
        self, llm: CausalLLM, state: CausalState, tree: LabelTree, ends_W: Tensor
    ) -> tuple[Tensor, Tensor, CausalState]:
        """See `Interface.branch`."""
        return llm.branch(state, tree, ends_W)

    def select(self, llm: CausalLLM, state: CausalState, rows_R: Tensor) -> CausalState:
        """See `Interface.select`."""
        return llm.select(state, rows_R)

    def forget(self, llm: CausalLLM, state: CausalState, counts_R: Tensor) -> CausalState:
        """See `Interface.forget`."""
        return llm.forget(state, counts_R)


class Layout(NamedTuple):
    """An LLM's input, right-padded, its lengths, and where in it the audio begins and BOS stands."""

    embedded_BSE: Tensor
    lengths_B: Tensor
    audio_B: Tensor
    bos_B: Tensor

    def after_bos(self, states_BSE: Tensor, labels: int) -> Tensor:
        """States (B, M, E) after BOS and each of N = `labels` labels."""
        index_BM = self.bos_B[:, None] + torch.arange(labels + 1, device=self.bos_B.device)
        index_BM = index_BM.clamp(max=states_BSE.shape[1] - 1)  # the labels of a row may be fewer
        return states_BSE.gather(1, index_BM.unsqueeze(-1).expand(-1, -1, states_BSE.shape[2]))


def lay_out(
    llm: CausalLLM,
    prompts: Prompts,
    labels_BN: Tensor | None = None,
    lengths_B: Tensor | None = None,
    audio: Audio | None = None,
) -> Layout:
    """[prompt | audio | prompt | BOS | labels] without gaps; audio and labels are left out where they are None.

    A row has lengths_B[b] labels (None: all N).
    """
    parts = [(llm.embed(prompts.before_BP), prompts.before_lengths_B)]
    if audio is not None:
        parts.append((audio.states_BTE.to(parts[0][0].dtype), audio.lengths_B))
    parts.append((llm.embed(prompts.after_BP), prompts.after_lengths_B))
    after = len(parts) - 1
    if labels_BN is not None:
        every_B = torch.full_like(prompts.after_lengths_B, labels_BN.shape[1])
        parts.append((llm.embed(labels_BN), every_B if lengths_B is None else lengths_B))
    embedded_BSE, starts_PB, total_B = join(parts)
    return Layout(embedded_BSE, total_B, starts_PB[1], starts_PB[after] + prompts.after_lengths_B - 1)
