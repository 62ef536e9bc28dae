"""From encoder states to what an LLM reads. A new adapter is a config with its own `kind`, a module with the methods of
`Adapter`, and an entry in `_ADAPTERS` (and in `LinkConfig`, that chains may have it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from duolect.nn.adapters.base import Adapter, CtcLogits
from duolect.nn.adapters.chain import Chain, ChainConfig
from duolect.nn.adapters.compression import CtcCompression, CtcCompressionConfig
from duolect.nn.adapters.concat import ConcatLinear, ConcatLinearConfig
from duolect.nn.adapters.convolutions import ConvAdapter, ConvConfig
from duolect.nn.adapters.qformer import QFormer, QFormerConfig

__all__ = [
    "Adapter",
    "AdapterConfig",
    "ChainConfig",
    "ConcatLinear",
    "ConcatLinearConfig",
    "ConvConfig",
    "CtcCompressionConfig",
    "CtcLogits",
    "QFormerConfig",
    "build_adapter",
    "most_frames",
    "needs_ctc",
]

AdapterConfig = ConcatLinearConfig | ConvConfig | QFormerConfig | CtcCompressionConfig | ChainConfig
"""Every kind of adapter (a union of their configs, told apart by `kind`)."""

_ADAPTERS: dict[type, Callable[[Any, int, int], Any]] = {
    ConcatLinearConfig: ConcatLinear,
    ConvConfig: ConvAdapter,
    QFormerConfig: QFormer,
    CtcCompressionConfig: CtcCompression,
    ChainConfig: lambda config, width, llm_width: Chain(
        [build_adapter(link, width, width) for link in config.links[:-1]]
        + [build_adapter(config.links[-1], width, llm_width)]
    ),
}


def build_adapter(config: AdapterConfig, width: int, llm_width: int) -> Any:
    """The adapter `config` asks for, an `nn.Module` with the methods of `Adapter`, from encoder width to LLM width.

    Raises ConfigError where it cannot read states of that width.
    """
    return _ADAPTERS[type(config)](config, width, llm_width)


def needs_ctc(config: AdapterConfig) -> bool:
    """Whether the adapter asks what the encoder's last CTC head says."""
    first = config.links[0] if isinstance(config, ChainConfig) else config
    return isinstance(first, CtcCompressionConfig)


def most_frames(adapter: Adapter, positions: float) -> float:
    """The most frames of which the adapter makes no more than so many positions, whatever is said in them."""

    def fits(frames: int) -> bool:
        return int(adapter.output_lengths(torch.tensor([frames]))[0]) <= positions

    if not fits(1):
        return 0
    known = 1
    while fits(2 * known):
        known *= 2
        if known > 1 << 40:
            return math.inf
    beyond = 2 * known
    while beyond - known > 1:
        middle = (known + beyond) // 2
        known, beyond = (middle, beyond) if fits(middle) else (known, middle)
    return known
