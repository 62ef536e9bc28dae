"""The cross-attention interface: the LLM reads text alone, and blocks in front of its layers attend to the audio.

B utterances · T audio positions · S positions of the text · N labels · M = N + 1 · R rows · E LLM width ·
P pieces of a tree · W ends of it · V labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from duolect.errors import ConfigError, ModelError
from duolect.models.causal import CausalLLM, CausalState
from duolect.models.heads import LabelHead
from duolect.models.interfaces.base import Audio, Prompts, lay_out
from duolect.models.interfaces.layers import LayerCall, open_layers
from duolect.nn.gated_cross import CrossSource, GatedCrossBlock
from duolect.nn.label_tree import LabelTree
from duolect.nn.slots import KeysValues


@dataclass(frozen=True, kw_only=True)
class CrossConfig:
    """Gated cross-attention in front of every `every`-th layer (Alayrac et al. 2022); the text is prompts, BOS, labels.

    The gates are closed at first: a new speech LLM is its LLM, whatever it hears.
    """

    kind: Literal["cross"] = "cross"
    every: int = 1  # 2: in front of layers 2, 4, …, counted from 1
    heads: int | None = None  # None: as the LLM's, groups of keys and values included
    kv_heads: int | None = None  # None: as the LLM's where heads are, else as many as heads
    feed_forward: bool = False  # a gated feed-forward as wide as the LLM's after each attention
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("every", "heads", "kv_heads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"interface: {name} must be positive, not {value}.")
        if self.heads is not None and self.heads % (self.kv_heads or self.heads):
            raise ConfigError(f"interface: heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}).")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"interface: dropout must be at least 0 and below 1, not {self.dropout}.")


@dataclass(frozen=True)
class CrossState:
    """What each row has read, and what its utterance sounds like: keys and values of the audio once per utterance."""

    text: CausalState
    audio: CrossSource

    def __len__(self) -> int:
        return len(self.text)

    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""
        yield from self.text.keys_values()
        yield from self.audio.keys_values()


class CrossInterface(nn.Module):
    """Cross-attention blocks for the layers of one LLM, which reach them through its forward."""

    audio_positions = 0

    def __init__(self, config: CrossConfig, llm: CausalLLM) -> None:
        super().__init__()
        self.every = config.every
        layers = open_layers(llm, config.kind)
        sizes = _sizes(config, llm, layers)
        self.blocks = nn.ModuleList([GatedCrossBlock(**sizes) for _ in range(layers // config.every)])

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, CrossState]:
        """See `Interface.start`."""
        blocks: list[Any] = list(self.blocks)
        source = self._source(audio)
        keys_values = [block.keys_values(source.blocks[0], llm.dtype) for block in blocks]
        source = replace(source, blocks=keys_values)
        layout, listening = lay_out(llm, prompts), _Listening(self, source)
        last_BE, text = llm.prefill(layout.embedded_BSE, layout.bos_B + 1, at_layers=listening)
        listening.check(llm)
        return last_BE, CrossState(text, source)

    def step(
        self,
        llm: CausalLLM,
        state: CrossState,
        labels_RN: Tensor,
        counts_R: Tensor | None,
        head: LabelHead | None = None,
    ) -> tuple[Tensor, CrossState]:
        """See `Interface.step`."""
        listening = _Listening(self, state.audio.differentiable())
        log_probs_RNV, text = llm.step(state.text, labels_RN, counts_R, head, at_layers=listening)
        if text is state.text:
            return log_probs_RNV, state
        listening.check(llm)
        return log_probs_RNV, replace(state, text=text)

    def branch(
        self, llm: CausalLLM, state: CrossState, tree: LabelTree, ends_W: Tensor
    ) -> tuple[Tensor, Tensor, CrossState]:
        """See `Interface.branch`."""
        listening = _Listening(self, state.audio.differentiable())
        scores_PN, after_WV, text = llm.branch(state.text, tree, ends_W, at_layers=listening)
        listening.check(llm)
        return scores_PN, after_WV, replace(state, text=text)

    def select(self, llm: CausalLLM, state: CrossState, rows_R: Tensor) -> CrossState:
        """See `Interface.select`; the audio of utterances that have no row any more is dropped."""
        text = llm.select(state.text, rows_R)
        if text.layout.utterances == state.text.layout.utterances:
            return replace(state, text=text)
        kept_B = torch.unique(state.text.layout.utterance_R[rows_R])
        return CrossState(text, state.audio.select(kept_B))

    def forget(self, llm: CausalLLM, state: CrossState, counts_R: Tensor) -> CrossState:
        """See `Interface.forget`."""
        return replace(state, text=llm.forget(state.text, counts_R))

    def hidden(
        self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor, lengths_B: Tensor | None = None
    ) -> Tensor:
        """See `Interface.hidden`."""
        layout, listening = lay_out(llm, prompts, labels_BN, lengths_B), _Listening(self, self._source(audio))
        states_BSE = llm.hidden(layout.embedded_BSE, at_layers=listening)
        listening.check(llm)
        return layout.after_bos(states_BSE, labels_BN.shape[1])

    def _source(self, audio: Audio) -> CrossSource:
        return CrossSource.of(audio.states_BTE, audio.lengths_B, len(self.blocks))


class _Listening:
    """One forward of the LLM: its layers are given what has attended to the audio."""

    def __init__(self, interface: CrossInterface, audio: CrossSource) -> None:
        self.interface, self.audio, self.attended = interface, audio, 0

    def before(self, call: LayerCall) -> LayerCall:
        """See `AtLayers.before`."""
        place, rest = divmod(call.number + 1, self.interface.every)
        if rest:
            return call
        self.attended += 1
        block, audio = self.interface.blocks[place - 1], self.audio
        keys_values = audio.blocks[place - 1]
        states_RNE = block(call.states_RNE, keys_values, audio.bias_B11T, audio.lengths_B, call.layout)
        return replace(call, states_RNE=states_RNE)

    def check(self, llm: CausalLLM) -> None:
        """Raise ModelError where a block was passed over in the forward just run."""
        if self.attended != len(self.interface.blocks):
            raise ModelError(
                f"The LLM ({llm.model.config.model_type}) attended to the audio in {self.attended} of "
                f"{len(self.interface.blocks)} cross-attention blocks; was it replaced after the interface was built?"
            )


def _sizes(config: CrossConfig, llm: CausalLLM, layers: int) -> dict[str, Any]:
    """Of a block. Raises ModelError, naming the LLM, where they do not fit it."""
    architecture: Any = llm.model.config
    name = f"interface: the LLM ({architecture.model_type})"
    if config.every > layers:
        raise ModelError(
            f"{name} has {layers} layers, fewer than every ({config.every}), so that none would hear the audio."
        )
    own = architecture.num_attention_heads
    heads = config.heads or own
    kv_heads = config.kv_heads
    if kv_heads is None and config.heads is None:
        kv_heads = getattr(architecture, "num_key_value_heads", None)
    if llm.width % heads or heads % (kv_heads or heads):
        raise ModelError(
            f"{name} has width {llm.width}, which must be a multiple of heads ({heads}), and these of kv_heads "
            f"({kv_heads or heads})."
        )
    inner = (getattr(architecture, "intermediate_size", None) or 4 * llm.width) if config.feed_forward else None
    return {
        "width": llm.width,
        "heads": heads,
        "kv_heads": kv_heads,
        "inner": inner,
        "dropout": config.dropout,
        "eps": getattr(architecture, "rms_norm_eps", None) or 1e-6,
    }
