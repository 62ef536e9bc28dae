"""The shared prefix inside a Hugging Face decoder: a cache of ours, and an attention function that knows it.

A decoder hands its new keys and values to `StepCache` and gets those of each row's labels back; its attention
function, found by name in the registry of `transformers`, adds the prefix, which is kept once per utterance. Without a
`StepCache` the function is SDPA: training and prefilling are what they would be otherwise, and no setting changes
between forwards.

P rows of a forward · N labels · X label positions · Q query heads · H heads of keys and values · d width of a head.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from duolect.errors import ModelError
from duolect.models.positions import most_positions
from duolect.nn.masks import key_bias
from duolect.nn.rows import RowLayout
from duolect.nn.shared_prefix import OwnLabels, SharedPrefix, attend
from duolect.nn.slots import Growth, KeysValues

ATTENTION = "duolect_shared_prefix"
"""The name of our attention function in the registry."""

# What some decoders ask of their attention beyond a softmax over scaled products.
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


class StepCache(DynamicCache):
    """The cache of one forward over the rows that grow: new labels go to the pool, and all of a row's come back.

    layout: of the rows of this forward.
    """

    def __init__(self, prefix: SharedPrefix, layout: RowLayout, growth: Growth, dtype: torch.dtype) -> None:
        super().__init__()
        self.prefix, self.layout, self.growth = prefix, layout, growth
        self.bias_PNX = None if growth.seen_PNX is None else key_bias(growth.seen_PNX, dtype)
        # Four dimensions tell a decoder to leave the mask alone: what may be seen stands in `growth`.
        self.no_mask = prefix.lengths_B.new_zeros((1, 1, 1, 1), dtype=dtype)
        self.attended = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values (H, P, X, d) of the labels of each row, given those of the new ones (P, H, N, d)."""
        return self.growth.exchange(layer_idx, key_states, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Label positions before this forward."""
        return self.growth.slots_PX.shape[1] - self.growth.labels

    def check(self, model: PreTrainedModel) -> None:
        """Raise ModelError where a layer of `model` did not attend to the prefix in the forward just run."""
        if self.attended != len(self.prefix.layers):
            raise ModelError(
                f"The LLM ({model.config.model_type}) attended to its prefix in {self.attended} of "
                f"{len(self.prefix.layers)} layers; use a decoder that hands keywords on to its attention function."
            )


def check_attention(model: PreTrainedModel) -> None:
    """Raise ModelError where the attention of `model` is no longer ours."""
    implementation = model.config._attn_implementation
    if implementation != ATTENTION:
        raise ModelError(
            f"The LLM ({model.config.model_type}) now attends by {implementation!r}, which does not know the prefix "
            f"that its hypotheses share; expected {ATTENTION!r}, which is SDPA wherever there is no such prefix."
        )


def use_shared_prefix(model: PreTrainedModel, name: str) -> None:
    """Let the attention of `model`, until now SDPA, know `StepCache`; without one it stays SDPA.

    Raises ModelError, which begins with `name`, for a model whose attention is chosen in another way or is more than a
    softmax over all earlier positions.
    """
    config: Any = model.config
    if not getattr(model, "_supports_attention_backend", False) or config._attn_implementation not in (
        "sdpa",
        ATTENTION,
    ):
        raise ModelError(
            f"{name} does not take its attention function (now {config._attn_implementation!r}) from the registry of "
            f"transformers, so that its hypotheses cannot share a prefix; use a decoder such as Qwen2, Qwen3 or Llama."
        )
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ModelError(f"{name} has layers of kind {', '.join(sorted(kinds))}; only full attention is supported.")
    _widen(config)
    for field in ("sliding_window", "attn_logit_softcapping"):
        if getattr(config, field, None):  # some configurations say 0 for none
            raise ModelError(f"{name} has {field} {getattr(config, field)}; only full attention is supported.")
    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    config._attn_implementation = ATTENTION


def _widen(config: Any) -> None:
    """Forget a window that hides nothing, since there are no more positions than it holds."""
    window, most = getattr(config, "sliding_window", None), most_positions(config)
    if window and most is not None and window >= most:
        with contextlib.suppress(StrictDataclassError):  # some must have a number there
            config.sliding_window = None


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    shared: StepCache | None = None,
    amend: Callable[[Tensor, Tensor], KeysValues] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(P, N, Q, d) of queries (P, Q, N, d). With `shared`, `key` and `value` are what its `update` returned.

    `amend`: what to make of keys and values (P, H, X, d) before they are attended to.
    """
    if amend is not None:
        key, value = amend(key, value)
    if shared is None:
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    for name in _UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise ModelError(
                f"The LLM ({module.config.model_type}) has attention with {name}, which hypotheses with a shared "
                f"prefix do not support; use a decoder with plain full attention."
            )
    if attention_mask is not None and attention_mask.numel() > 1:  # not the one it was given
        raise ModelError(
            f"The LLM ({module.config.model_type}) makes a mask of its own, which hypotheses with a shared prefix do "
            f"not support; use a decoder with plain full attention."
        )
    shared.attended += 1
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    own = OwnLabels(key, value, shared.bias_PNX)
    prefix = shared.prefix.layers[module.layer_idx]
    return attend(query, prefix, shared.prefix.bias_BT, own, shared.layout, scale), None
