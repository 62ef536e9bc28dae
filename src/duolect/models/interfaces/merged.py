"""The merged interface: in every layer the text attends to itself and to the audio at once.

It is the merged attention of T5Gemma 2 (arXiv 2512.14856) in a decoder that was made without it. Of a layer's text
states X and the audio H, with the layer's own input norm and projections, and with one softmax,

    Q = X W_q,   K = [H ; X] W_k,   V = [H ; X] W_v,   O = softmax(Q Kᵀ / √d + M) V W_o

M: all of the audio, and the text up to the query. H is the adapter's output in every layer: the audio attends to
nothing and has no feed-forward, and no layer changes it. Rotary positions are 0 … T−1 for the audio, from T on for the
text.

B utterances · T audio positions · S text positions · N labels · M = N + 1 · R rows · H heads of keys and values ·
d width of a head · E LLM width.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from duolect.errors import ModelError
from duolect.models.causal import CausalLLM, CausalState
from duolect.models.interfaces.base import Audio, Layout, Prompts, WithinState, lay_out
from duolect.models.interfaces.layers import LayerCall, find_layers, open_layers
from duolect.nn.masks import length_mask
from duolect.nn.ragged import join
from duolect.nn.slots import KeysValues


@dataclass(frozen=True, kw_only=True)
class MergedConfig:
    """Keys and values of the audio join those of the text in each layer's self-attention; there are no new weights."""

    kind: Literal["merged"] = "merged"


class MergedInterface(WithinState):
    """The LLM reads prompt, prompt, BOS and labels; its layers are asked for keys and values of the audio."""

    def __init__(self, llm: CausalLLM) -> None:
        super().__init__()
        open_layers(llm, "merged")
        _check(llm)

    def start(self, llm: CausalLLM, audio: Audio, prompts: Prompts) -> tuple[Tensor, CausalState]:
        """See `Interface.start`; keys and values of audio and prompts are kept once per utterance, without gaps."""
        layout = lay_out(llm, prompts)
        _check_positions(llm, audio, layout)
        merging = _Merging(llm, audio, keep=True)
        states_BSE, layers = llm.run_cached(layout.embedded_BSE, **merging.arguments(layout))
        merging.check(llm)
        lengths_B = layout.lengths_B
        if merging.kept:
            layers = [
                _joined(heard, audio.lengths_B, read, lengths_B)
                for heard, read in zip(merging.kept, layers, strict=True)
            ]
        last_BE = states_BSE[torch.arange(len(lengths_B), device=lengths_B.device), layout.bos_B]
        return last_BE, CausalState.of(layers, audio.lengths_B + lengths_B)

    def hidden(
        self, llm: CausalLLM, audio: Audio, prompts: Prompts, labels_BN: Tensor, lengths_B: Tensor | None = None
    ) -> Tensor:
        """See `Interface.hidden`."""
        layout = lay_out(llm, prompts, labels_BN, lengths_B)
        _check_positions(llm, audio, layout)
        merging = _Merging(llm, audio)
        states_BSE = llm.run(layout.embedded_BSE, **merging.arguments(layout))
        merging.check(llm)
        return layout.after_bos(states_BSE, labels_BN.shape[1])


class _Merging:
    """One forward of the LLM over text, whose layers are given the audio's keys and values.

    Each layer makes them within its own forward, so that it may be sharded over processes. With `keep` those of all
    layers, (B, H, T, d) each, are in `kept` afterwards.
    """

    def __init__(self, llm: CausalLLM, audio: Audio, keep: bool = False) -> None:
        self.audio, self.keep = audio, keep
        self.calls = _layer_calls(llm, audio.states_BTE.to(llm.dtype)) if audio.states_BTE.shape[1] else []
        self.kept: list[KeysValues] = []
        self.attended = 0

    def arguments(self, layout: Layout) -> dict[str, Any]:
        """Keywords of the forward over `layout`."""
        if not self.calls:  # no audio at all
            return {}
        (batch, positions), frames = layout.embedded_BSE.shape[:2], self.audio.states_BTE.shape[1]
        index_S = torch.arange(positions, device=layout.bos_B.device)
        heard_BST = length_mask(self.audio.lengths_B, frames)[:, None].expand(-1, positions, -1)
        read_BSS = (index_S <= index_S[:, None]).expand(batch, -1, -1)
        return {
            "attention_mask": torch.cat((heard_BST, read_BSS), 2)[:, None],
            "position_ids": self.audio.lengths_B[:, None] + index_S,
            "at_layers": self,
        }

    def before(self, call: LayerCall) -> LayerCall:
        """See `AtLayers.before`."""
        keys_BHTd, values_BHTd = _keys_values(call.layer, *self.calls[call.number])
        if self.keep:
            self.kept.append((keys_BHTd, values_BHTd))

        def amend(keys_BHSd: Tensor, values_BHSd: Tensor) -> KeysValues:
            self.attended += 1
            return torch.cat((keys_BHTd, keys_BHSd), 2), torch.cat((values_BHTd, values_BHSd), 2)

        return replace(call, keywords=call.keywords | {"amend": amend})

    def check(self, llm: CausalLLM) -> None:
        """Raise ModelError where a layer did not attend to the audio in the forward just run."""
        if self.attended != len(self.calls):
            raise ModelError(
                f"The LLM ({llm.model.config.model_type}) attended to the audio in {self.attended} of "
                f"{len(self.calls)} layers; was it replaced after the interface was built?"
            )


class _Caught(Exception):
    """A layer has come to its keys and values."""


def _keys_values(layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> KeysValues:
    """What `layer`, called like this, would attend to; it goes no further than that."""

    def catch(keys: Tensor, values: Tensor) -> KeysValues:
        raise _Caught(keys, values)

    try:
        layer.forward(*arguments, **keywords, amend=catch)
    except _Caught as caught:
        keys, values = caught.args
        return keys, values
    raise ModelError(f"A layer ({type(layer).__name__}) attends in another way than by the attention it was given.")


class _Recorder(nn.Module):
    """Stands in for a layer, and notes how it is called."""

    def __init__(self, layer: nn.Module, calls: list[tuple[tuple[Any, ...], dict[str, Any]]], last: bool) -> None:
        super().__init__()
        self.layer, self.calls, self.last = (layer,), calls, last  # in a tuple, for it is no part of this module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layer"][0], name)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """Note the call; the last layer's ends the forward of the decoder."""
        self.calls.append((arguments, keywords))
        if self.last:
            raise _Caught
        return arguments[0] if arguments else keywords["hidden_states"]


def _layer_calls(llm: CausalLLM, states_BTE: Tensor) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the decoder would hand each of its layers if none changed `states_BTE`: rotary positions and all else.

    The layers themselves are not called, nor are hooks of theirs, such as those that gather sharded weights.
    """
    decoder = getattr(llm.model, llm.model.base_model_prefix)
    layers, calls = find_layers(llm, "merged"), []
    recorders = nn.ModuleList([_Recorder(layer, calls, layer is layers[-1]) for layer in layers])
    no_mask = states_BTE.new_zeros(1, 1, 1, 1)  # four dimensions tell a decoder to leave the mask alone
    index_1T = torch.arange(states_BTE.shape[1], device=states_BTE.device)[None]
    try:
        _replaced(decoder, layers, recorders).forward(
            inputs_embeds=states_BTE, attention_mask=no_mask, position_ids=index_1T, use_cache=False
        )
    except _Caught:
        return calls
    raise ModelError(f"The LLM ({llm.model.config.model_type}) called {len(calls)} of its {len(layers)} layers.")


def _replaced(module: nn.Module, old: nn.Module, new: nn.Module) -> Any:
    """`module`, its weights shared, with `new` where `old` is; the module itself stays as it is."""
    other = copy.copy(module)
    other._modules = dict(module._modules)
    for name, child in module.named_children():
        if child is old:
            other._modules[name] = new
        elif any(inner is old for inner in child.modules()):
            other._modules[name] = _replaced(child, old, new)
    return other


def _joined(heard: KeysValues, heard_B: Tensor, read: KeysValues, read_B: Tensor) -> KeysValues:
    """Keys and values (B, H, T, d) and (B, H, S, d), right-padded, one after the other without gaps."""
    parts = [(torch.cat(pair, 3).transpose(1, 2).flatten(2), n_B) for pair, n_B in ((heard, heard_B), (read, read_B))]
    heads, widths = heard[0].shape[1], [x.shape[3] for x in heard]
    keys, values = join(parts)[0].unflatten(2, (heads, -1)).transpose(1, 2).split(widths, 3)
    return keys, values


def _check_positions(llm: CausalLLM, audio: Audio, layout: Layout) -> None:
    """Raise ModelError where an utterance, audio and text, takes more positions than the LLM has."""
    most = audio.states_BTE.shape[1] + layout.embedded_BSE.shape[1]
    if llm.positions is not None and most > llm.positions:  # else there is no need to wait for a GPU's lengths
        llm.check_positions(int((audio.lengths_B + layout.lengths_B).max()))


@torch.no_grad()
def _check(llm: CausalLLM) -> None:
    """Run `llm` over two positions of audio and one of text. Raises ModelError, naming it, where that fails."""
    model: Any = llm.model
    embedded = torch.zeros(1, 3, llm.width, dtype=llm.dtype, device=model.device)
    lengths_1 = torch.tensor([2], device=model.device)
    layout = Layout(embedded[:, 2:], lengths_1 - 1, lengths_1 * 0, lengths_1 * 0)
    try:
        merging = _Merging(llm, Audio(embedded[:, :2], lengths_1), keep=True)
        _, read = llm.run_cached(layout.embedded_BSE, **merging.arguments(layout))
        merging.check(llm)
        for pair, own in zip(merging.kept, read, strict=True):
            for x, y in zip(pair, own, strict=True):
                if x.shape != (1, y.shape[1], 2, y.shape[3]):
                    raise ModelError(f"A layer has keys or values of shape {tuple(x.shape)} for two positions.")
    except (ModelError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        raise ModelError(
            f"The LLM ({model.config.model_type}) cannot carry the attention interface 'merged': its layers do not "
            f"give keys and values for audio ({error}); use a decoder such as Qwen2, Qwen3 or Llama."
        ) from error
