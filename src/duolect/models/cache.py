"""The one place that knows how transformers keeps keys and values.

R rows · L cached positions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig


def new_cache(config: PreTrainedConfig) -> Cache:
    """An empty growing cache for an LLM of full-attention layers."""
    from transformers import DynamicCache

    return DynamicCache(config=config)


def fork(cache: Cache) -> Cache:
    """A cache of the same keys and values that can grow without changing this one; no tensor is copied."""
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    return forked


def pick(cache: Cache, rows_R: Tensor | None, columns_L: Tensor | None) -> Cache:
    """A cache of the rows `rows_R` and the positions where `columns_L` is True (None: all of them)."""

    def chosen(tensor: Tensor) -> Tensor:
        if rows_R is not None:
            tensor = tensor.index_select(0, rows_R)
        return tensor if columns_L is None else tensor[:, :, columns_L]

    return _map(cache, chosen)


def _map(cache: Cache, change: Callable[[Tensor], Tensor]) -> Cache:
    changed = fork(cache)
    layers: list[Any] = changed.layers
    for layer in layers:
        layer.keys, layer.values = change(layer.keys), change(layer.values)
    return changed
