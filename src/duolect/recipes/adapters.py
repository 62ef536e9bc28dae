"""Adapters by name, for the recipes of speech LLMs."""

from __future__ import annotations

from typing import Literal, get_args

from duolect.errors import ConfigError
from duolect.nn import (
    AdapterConfig,
    ChainConfig,
    ConcatLinearConfig,
    ConvConfig,
    CtcCompressionConfig,
    QFormerConfig,
)

AdapterName = Literal["concat", "conv", "qformer", "ctc"]
"""concat: neighbouring frames side by side; conv: a strided convolution; qformer: a window-level Q-Former; ctc: frames
of which CTC says the same become their mean."""

_QUERIES = 4


def adapter_config(name: AdapterName, concatenate: int | None = None) -> AdapterConfig:
    """The adapter of that name that makes one position of the LLM of so many frames (None: 2, and 1 after CTC).

    The convolution has that stride and, as in arXiv 2501.02370, twice as many taps and one; the Q-Former has four
    queries for a window of four times as many frames; of what CTC compression leaves, so many vectors are put side by
    side. Raises ConfigError for another name.
    """
    if name not in get_args(AdapterName):
        raise ConfigError(f"adapter must be one of {', '.join(get_args(AdapterName))}, not {name!r}.")
    if name == "ctc":
        compression = CtcCompressionConfig()
        if concatenate in (None, 1):
            return compression
        return ChainConfig(links=(compression, ConcatLinearConfig(factor=concatenate)))
    factor = 2 if concatenate is None else concatenate
    if factor < 1:
        raise ConfigError(f"concatenate must be at least 1 frame, not {factor}.")
    if name == "conv":
        return ConvConfig(layers=1, kernel=2 * factor + 1, stride=factor)
    if name == "qformer":
        return QFormerConfig(window=_QUERIES * factor, queries=_QUERIES)
    return ConcatLinearConfig(factor=factor)
