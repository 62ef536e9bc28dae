"""The attention interfaces by name: how the audio gets into an LLM."""

from __future__ import annotations

from typing import Literal

from duolect.errors import ConfigError
from duolect.models import CrossConfig, InterfaceConfig, MergedConfig, PrefixConfig

InterfaceName = Literal["prefix", "bidirectional", "merged", "cross"]

INTERFACES: dict[InterfaceName, InterfaceConfig] = {
    "prefix": PrefixConfig(),
    "bidirectional": PrefixConfig(audio="bidirectional"),
    "merged": MergedConfig(),
    "cross": CrossConfig(),
}
"""Before the text in the LLM's input, seen causally or from both sides; joined to the keys and values of each layer; by
gated cross-attention in front of each layer."""


def interface_config(name: InterfaceName) -> InterfaceConfig:
    """The config of that name. Raises ConfigError where there is none."""
    if name not in INTERFACES:
        raise ConfigError(f"interface must be one of {', '.join(INTERFACES)}, not {name!r}.")
    return INTERFACES[name]
