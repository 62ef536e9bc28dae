"""Counting floating-point operations: of matrix products, convolutions and attention, on any device.

A multiplication and an addition are two. Padding counts, as it is computed; element-wise operations, softmax, norms and
Fourier transforms do not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

_ATEN = torch.ops.aten


def flop_counter() -> FlopCounterMode:
    """A context that counts what runs in it; `get_total_flops()` is the sum so far."""
    return FlopCounterMode(display=False, custom_mapping=_COUNTED)


def _attention(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return sdpa_flop_count(query, _for_all_heads(key, query), _for_all_heads(value, query))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, _for_all_heads(key, query), _for_all_heads(value, query))


def _for_all_heads(key: Any, query: Any) -> Any:
    """A shape (…, heads, positions, size) with the query's heads: torch 2.11 refuses keys that queries share."""
    return (*query[:-2], *key[-2:])


def _convolution_backward(
    gradient: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *rest: Any,
    **kwargs: Any,
) -> int:
    """The gradients of input and weight each cost what the forward pass does, in groups as well."""
    wanted = rest[2]
    return conv_flop_count(x, weight, gradient, transposed) * (bool(wanted[0]) + bool(wanted[1]))


_KERNELS = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
# torch knows attention on GPUs only, in 2.11 without keys that queries share, and the backward pass of a convolution
# without groups.
_COUNTED = {
    _ATEN.convolution_backward: _convolution_backward,
    **{getattr(_ATEN, f"_scaled_dot_product_{kernel}"): _attention for kernel in _KERNELS},
    **{getattr(_ATEN, f"_scaled_dot_product_{kernel}_backward"): _attention_backward for kernel in _KERNELS},
}
