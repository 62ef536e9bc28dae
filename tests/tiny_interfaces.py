"""Every attention interface on tiny LLMs, and what they are given."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import torch
from torch import Tensor

from duolect.models import LLMConfig
from duolect.models.causal import CausalLLM
from duolect.models.interfaces import Audio, CrossConfig, MergedConfig, PrefixConfig, Prompts, build_interface
from duolect.models.llm import build_llm

ARCHITECTURES = ["qwen2", "qwen3", "llama"]
INTERFACES: dict[str, Any] = {
    "prefix": PrefixConfig(),
    "bidirectional": PrefixConfig(audio="bidirectional"),
    "merged": MergedConfig(),
    "cross": CrossConfig(feed_forward=True),
}
VOCABULARY, WIDTH, LAYERS, POSITIONS = 13, 32, 3, 128


class Speaker(NamedTuple):
    """An LLM and the interface it has been fitted with."""

    llm: CausalLLM
    interface: Any

    def start(self, audio: Audio, prompts: Prompts) -> tuple[Tensor, Any]:
        return self.interface.start(self.llm, audio, prompts)

    def step(self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None) -> tuple[Tensor, Any]:
        return self.interface.step(self.llm, state, labels_RN, counts_R)

    def select(self, state: Any, rows_R: Tensor) -> Any:
        return self.interface.select(self.llm, state, rows_R)

    def forget(self, state: Any, counts_R: Tensor) -> Any:
        return self.interface.forget(self.llm, state, counts_R)

    def hidden(self, audio: Audio, prompts: Prompts, labels_BN: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.interface.hidden(self.llm, audio, prompts, labels_BN, lengths_B)


def make_speaker(interface: Any, architecture: str = "qwen3", *, disturbed: bool = True, **llm: Any) -> Speaker:
    """`disturbed`: all weights of LLM and interface moved at random, so that attention and gates matter."""
    torch.manual_seed(3)
    sizes: dict[str, Any] = {"width": WIDTH, "layers": LAYERS, "heads": 4, "kv_heads": 2, "max_positions": POSITIONS}
    config = LLMConfig(vocabulary=VOCABULARY, architecture=architecture, **sizes | llm)  # ty: ignore
    causal = CausalLLM(build_llm(config), VOCABULARY, config.dropout)
    speaker = Speaker(causal, build_interface(interface, causal))
    if disturbed:
        with torch.no_grad():
            for module in speaker:
                for parameter in module.parameters():
                    parameter += 0.15 * torch.randn_like(parameter)
    for module in speaker:
        module.eval()
    return speaker


def make_exact(speaker: Speaker, monkeypatch: Any) -> Speaker:
    """The same in float64 throughout: norms of transformers and log-probabilities would be computed in float32."""
    for module in speaker:
        module.double()
        for part in module.modules():
            if "RMSNorm" in type(part).__name__ and hasattr(part, "variance_epsilon"):
                monkeypatch.setattr(type(part), "forward", _exact_norm)
    speaker.llm.log_probs = lambda states: speaker.llm.logits(states).log_softmax(-1)  # ty: ignore
    return speaker


def _exact_norm(self: Any, states: Tensor) -> Tensor:
    return self.weight * states * (states.square().mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()


class Heard(NamedTuple):
    """A batch: what lies outside a row is rubbish."""

    audio: Audio
    prompts: Prompts
    labels_BN: Tensor
    counts_B: Tensor

    def alone(self, b: int) -> Heard:
        """Utterance `b` without any padding."""

        def row(x: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
            return x[b : b + 1, : int(lengths_B[b])], lengths_B[b : b + 1]

        prompts = (*row(*self.prompts[:2]), *row(*self.prompts[2:]))
        return Heard(Audio(*row(*self.audio)), Prompts(*prompts), *row(self.labels_BN, self.counts_B))


def random_heard(seed: int, utterances: int = 3, longest: int = 9, dtype: torch.dtype = torch.float32) -> Heard:
    """Audio, prompts and labels of any length, none included; BOS stands at the end of every prompt."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)

    def lengths(low: int, high: int) -> Tensor:
        return torch.tensor([chance.randint(low, high) for _ in range(utterances)])

    def labels(lengths_B: Tensor) -> Tensor:
        width = int(lengths_B.max()) + chance.randint(0, 2)
        return torch.randint(0, VOCABULARY, (utterances, width), generator=generator)

    audio_B, before_B, after_B, counts_B = lengths(0, longest), lengths(0, 3), lengths(1, 4), lengths(0, 5)
    states_BTE = torch.randn(utterances, int(audio_B.max()) + chance.randint(0, 2), WIDTH, generator=generator)
    prompts = Prompts(labels(before_B), before_B, labels(after_B), after_B)
    return Heard(Audio(states_BTE.to(dtype), audio_B), prompts, labels(counts_B), counts_B)
