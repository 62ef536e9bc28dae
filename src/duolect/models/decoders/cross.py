"""The decoder with cross-attention to the encoder's states, of arXiv 2603.15045 and of arXiv 2501.02370.

B utterances · T frames · R rows · H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from duolect.models.decoders.base import Decoder, DecoderState, Layers
from duolect.models.decoders.config import AnyDecoderConfig
from duolect.models.encoded import Encoded
from duolect.nn.masks import key_bias, length_mask
from duolect.nn.rows import RowLayout
from duolect.nn.slots import Growth, KeysValues, KeyValuePool, LabelSlots
from duolect.nn.tensors import bars_gradients
from duolect.nn.transformer import Heard, after_others, causal


@dataclass(frozen=True)
class CrossState(DecoderState):
    """Per layer the keys and values of the audio, once per utterance, and the mask over its frames."""

    cross: list[KeysValues]
    bias_B11T: Tensor

    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""
        yield from self.cross
        yield from self.labels.pool.layers

    def differentiable(self) -> Self:
        """This, or a copy where it was made in inference mode and gradients are now asked for."""
        if not bars_gradients(self.bias_B11T):
            return self
        cross = [(keys.clone(), values.clone()) for keys, values in self.cross]
        return replace(self, cross=cross, bias_B11T=self.bias_B11T.clone())

    def select(self, rows_R: Tensor) -> Self:
        """See `DecoderState.select`."""
        layout, kept_B = self.layout.select(rows_R)
        cross, bias_B11T = self.cross, self.bias_B11T
        if kept_B is not None:
            cross = [(keys[kept_B], values[kept_B]) for keys, values in cross]
            bias_B11T = bias_B11T[kept_B]
        labels = self.labels.select(rows_R)
        return replace(self, layout=layout, labels=labels, cross=cross, bias_B11T=bias_B11T)


class AttentionDecoder(Decoder[CrossState]):
    """A decoder whose layers attend to their labels, then to the encoder's states."""

    def __init__(
        self, config: AnyDecoderConfig, encoder_width: int, vocabulary: int, bos_id: int, eos_id: int, tags: int = 0
    ) -> None:
        super().__init__(config, vocabulary, bos_id, eos_id, encoder_width=encoder_width, tags=tags)

    def _listen(self, encoded: Encoded) -> CrossState:
        layers: list[Any] = list(self.layers)
        cross = [layer.cross_attention.keys_values(encoded.states_BTD) for layer in layers]
        pool = KeyValuePool.like((keys.transpose(0, 1), values.transpose(0, 1)) for keys, values in cross)
        rows = len(encoded)
        layout = RowLayout.of(torch.arange(rows, device=encoded.lengths_B.device), rows)
        return CrossState(layout, LabelSlots.none(pool, rows), cross, _padding_bias(encoded))

    def _step_layers(self, state: CrossState, layout: RowLayout, growth: Growth) -> Layers:
        state = state.differentiable()
        for number, (layer, cross) in enumerate(zip(self.layers, state.cross, strict=True)):
            attend = after_others(partial(growth.exchange, number), growth.seen_PNX)
            yield partial(layer, attend=attend, heard=Heard(cross, state.bias_B11T, layout))

    def _training_layers(self, encoded: Encoded, positions: int) -> Layers:
        heard = Heard(encoded.states_BTD, _padding_bias(encoded))
        return [partial(layer, attend=causal, heard=heard) for layer in self.layers]


def _padding_bias(encoded: Encoded) -> Tensor:
    mask_BT = length_mask(encoded.lengths_B, encoded.states_BTD.shape[1])
    return key_bias(mask_BT, encoded.states_BTD.dtype)[:, None, None, :]
