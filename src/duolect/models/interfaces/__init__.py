"""Attention interfaces: how the audio gets into an LLM. A new one is a config with its own `kind`, a module with the
methods of `Interface`, and an entry in `_INTERFACES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duolect.models.causal import CausalLLM
from duolect.models.interfaces.base import Audio, Interface, Prompts
from duolect.models.interfaces.cross import CrossConfig, CrossInterface
from duolect.models.interfaces.merged import MergedConfig, MergedInterface
from duolect.models.interfaces.prefix import PrefixConfig, PrefixInterface
from duolect.models.interfaces.probe import probe_interface

__all__ = [
    "Audio",
    "CrossConfig",
    "Interface",
    "InterfaceConfig",
    "MergedConfig",
    "PrefixConfig",
    "Prompts",
    "build_interface",
]

InterfaceConfig = PrefixConfig | CrossConfig | MergedConfig
"""Every kind of interface (a union of their configs, told apart by `kind`)."""

_INTERFACES: dict[type, Callable[[Any, CausalLLM], Any]] = {
    PrefixConfig: lambda config, llm: PrefixInterface(config.audio == "bidirectional"),
    CrossConfig: CrossInterface,
    MergedConfig: lambda config, llm: MergedInterface(llm),
}


def build_interface(config: InterfaceConfig, llm: CausalLLM) -> Any:
    """The interface `config` asks for, an `nn.Module` with the methods of `Interface`, fitted to `llm`.

    Raises ModelError, naming the LLM, where its layers cannot carry the interface.
    """
    interface = _INTERFACES[type(config)](config, llm)
    probe_interface(interface, llm, config.kind)
    return interface
