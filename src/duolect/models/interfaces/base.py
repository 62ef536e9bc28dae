"""What every attention interface gives a speech LLM. B utterances · T audio positions · P prompt labels · N labels ·
M = N + 1 · R rows · E LLM width · V labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from duolect.models.causal import CausalLLM
from duolect.models.heads import LabelHead


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

    A state is never changed: `step`, `select` and `forget` return new ones.
    """

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, Any]:
        """States after BOS (B, E), and what a search goes on from: one row for each utterance."""
        ...

    def step(
        self, llm: CausalLLM, state: Any, labels_RN: Tensor, counts_R: Tensor | None, head: LabelHead | None = None
    ) -> tuple[Tensor, Any]:
        """Log p (R, N, V) after each label; see `Autoregressive.step`."""
        ...

    def select(self, llm: CausalLLM, state: Any, rows_R: Tensor) -> Any:
        """The rows `rows_R`."""
        ...

    def forget(self, llm: CausalLLM, state: Any, counts_R: Tensor) -> Any:
        """The rows without the last counts_R[r] labels of each."""
        ...

    def hidden(self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor) -> Tensor:
        """States (B, M, E) after BOS and each of the labels, differentiable; what stands beyond a row's labels has no
        meaning."""
        ...
