"""What an attention looks at: its weights, which no fast kernel hands out, computed anew while a forward runs.

B utterances · H heads · G heads of keys and values · M queries · R the last of them · K keys · d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from duolect.nn.transformer import CrossAttention


@contextmanager
def recorded_attention(
    rows: int, *, keys: int | None = None, inside: Sequence[CrossAttention] | None = None
) -> Generator[list[Tensor]]:
    """A list that gets the weights (B, H, R, K), in float32 at least, of each scaled-dot-product attention that runs in
    the block, one after the other: those of its last `rows` queries.

    Any model is heard that attends by `torch.nn.functional.scaled_dot_product_attention`; its own results stay as they
    are. `keys`: only attention to so many keys counts; `inside`: only that of these modules does.
    """
    found: list[Tensor] = []
    current: list[CrossAttention] = []
    hooks = []
    for module in inside or ():
        hooks.append(module.register_forward_pre_hook(lambda module, _: current.append(module)))
        hooks.append(module.register_forward_hook(lambda *_: _leave(current), always_call=True))

    def record(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> None:
        if (inside is not None and not current) or keys not in (None, key.shape[-2]):
            return
        if current:  # the queries of a group of heads stand one after the other
            group = current[-1].heads // current[-1].kv_heads
            query = query.unflatten(-2, (group, -1)).flatten(1, 2)
        found.append(attention_weights(query, key, mask, causal=causal, scale=scale, rows=rows))

    try:
        with _Listening(record):
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    rows: int | None = None,
) -> Tensor:
    """softmax(scale · query · keyᵀ + mask), (B, H, R, K), of queries (B, H, M, d) and keys (B, G, K, d).

    Arguments as of `scaled_dot_product_attention`: a boolean mask says what is seen, one of numbers is added. `rows`:
    of the last so many queries only. Float32, or float64 where the queries are.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    first = 0 if rows is None else max(query.shape[-2] - rows, 0)
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query[..., first:, :].to(wide) @ key.to(wide).transpose(-1, -2)) * scale
    if causal:
        place = torch.arange(first, query.shape[-2], device=query.device)[:, None]
        scores = scores.masked_fill(torch.arange(key.shape[-2], device=query.device) > place, -torch.inf)
    if mask is not None:
        mask = mask if mask.shape[-2] == 1 else mask[..., first:, :]
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def _leave(current: list[CrossAttention]) -> None:
    current.pop()


class _Listening(TorchFunctionMode):
    """Tells `record` of every scaled-dot-product attention."""

    def __init__(self, record: Callable[..., None]) -> None:
        super().__init__()
        self.record = record

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self.record(*_read(*args, **kwargs))
        return func(*args, **kwargs)


def _read(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Any, ...]:
    """What of a call the weights depend on."""
    return query, key, attn_mask, is_causal, scale
