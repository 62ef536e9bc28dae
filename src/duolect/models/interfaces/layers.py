"""A way into the layers of any Hugging Face decoder: what a forward is given as `at_layers` is asked before each layer,
and may change what goes into it.

A hook of each layer, which holds nothing itself, takes the keyword out of the call. A forward without it is the LLM's
own; nothing is switched on or off between forwards, so that an error in the middle of one leaves nothing behind.

R rows · N labels · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from duolect.errors import ModelError
from duolect.models.causal import CausalLLM
from duolect.nn.rows import RowLayout


@dataclass(frozen=True)
class LayerCall:
    """Layer `number` (from 0) is about to be given its hidden states and, beside them, keywords."""

    number: int
    layer: nn.Module
    states_RNE: Tensor
    keywords: dict[str, Any]

    @property
    def layout(self) -> RowLayout | None:
        """Of the rows of a cached step; None: one row for each utterance, in order."""
        shared = self.keywords.get("shared")  # the cache of a step
        return None if shared is None else shared.layout


class AtLayers(Protocol):
    """What is asked before each layer."""

    def before(self, call: LayerCall) -> LayerCall:
        """The call that is made instead."""
        ...


def open_layers(llm: CausalLLM, interface: str) -> int:
    """Let the layers of `llm` know the keyword `at_layers`; returns how many there are.

    Raises ModelError, naming the LLM and the `interface` that needs it, where the layers are not found, do not begin
    with the hidden states or do not get the keyword.
    """
    layers = list(find_layers(llm, interface))
    handles = [
        layer.register_forward_pre_hook(partial(_before, number), with_kwargs=True)
        for number, layer in enumerate(layers)
    ]
    try:
        _check(llm, interface)
    except ModelError:
        for handle in handles:
            handle.remove()
        raise
    return len(layers)


def find_layers(llm: CausalLLM, interface: str) -> nn.ModuleList:
    """The layers of `llm`. Raises ModelError, naming the LLM and the `interface` that needs them, if there are none."""
    config: Any = llm.model.config
    decoder = getattr(llm.model, llm.model.base_model_prefix)
    number = getattr(config, "num_hidden_layers", None)
    found = [lists for lists in _outermost_lists(decoder) if len(lists) == number]
    if len(found) != 1:
        raise ModelError(
            f"The LLM ({config.model_type}) cannot carry the attention interface {interface!r}: of its lists of "
            f"modules, {len(found)} are as long as it has layers ({number}), expected one; use a decoder such as "
            f"Qwen2, Qwen3 or Llama."
        )
    return found[0]


def _outermost_lists(module: nn.Module) -> list[nn.ModuleList]:
    lists = []
    for child in module.children():
        lists += [child] if isinstance(child, nn.ModuleList) else _outermost_lists(child)
    return lists


def _before(number: int, layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Forward pre-hook of layer `number`."""
    asked: AtLayers | None = keywords.pop("at_layers", None)
    if asked is None:
        return None
    if not arguments:
        arguments = (keywords.pop("hidden_states"),)
    call = asked.before(LayerCall(number, layer, arguments[0], keywords))
    return (call.states_RNE, *arguments[1:]), call.keywords


class _Reached(Exception):
    """The first layer was asked, which is all that `_check` wants to know."""


class _Probe:
    def __init__(self) -> None:
        self.got: Any = None

    def before(self, call: LayerCall) -> LayerCall:
        self.got = call.states_RNE
        raise _Reached


@torch.no_grad()
def _check(llm: CausalLLM, interface: str) -> None:
    """Run `llm` on one position up to its first layer."""
    probe, model = _Probe(), llm.model
    embedded_11E = torch.zeros(1, 1, llm.width, dtype=llm.dtype, device=model.device)
    # With a mask of its own the decoder need not look at values, which a model on the meta device does not have.
    seen_111 = torch.ones(1, 1, 1, dtype=torch.bool, device=model.device)
    reason = "does not hand keywords on to its layers"
    try:
        llm.hidden(embedded_11E, seen_111, at_layers=probe)
    except _Reached:
        if isinstance(probe.got, Tensor) and probe.got.shape == embedded_11E.shape:
            return
        reason = "does not give its layers the hidden states as their first argument"
    except (TypeError, KeyError) as error:
        reason += f" ({error})"
    raise ModelError(
        f"The LLM ({model.config.model_type}) cannot carry the attention interface {interface!r}: it {reason}; use a "
        f"decoder such as Qwen2, Qwen3 or Llama."
    )
