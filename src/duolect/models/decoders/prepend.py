"""The decoder whose self-attention serves audio and labels alike: audio stands before labels (arXiv 2501.02370).

The labels never change what stands before them: the audio is seen with a causal mask (M_ij = 0 for j ≤ i) or whole
(M_ij = 0 for j ≤ i or j < T), and in both no frame sees a label. So within a layer the audio attends to itself, and the
labels to both, without a mask over all (T + M)² pairs; the last layer does no more for the audio than its keys and
values; and a search computes these once per utterance, and keeps them so.

B utterances · T frames · M labels · R rows · P rows of a forward · N labels of each · X labels of a row, earlier ones
included · H heads · d head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from duolect.errors import ConfigError
from duolect.models.decoders.base import Decoder, DecoderState, Layers
from duolect.models.decoders.config import TransformerDecoderConfig
from duolect.models.encoded import Encoded
from duolect.nn.masks import key_bias, length_mask
from duolect.nn.rows import RowLayout
from duolect.nn.shared_prefix import OwnLabels, SharedPrefix, attend
from duolect.nn.slots import Growth, KeysValues, KeyValuePool, LabelSlots
from duolect.nn.transformer import Attend, causal, masked


@dataclass(frozen=True)
class PrependState(DecoderState):
    """Per layer the keys and values of the audio, once per utterance."""

    prefix: SharedPrefix

    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""
        yield from self.prefix.layers
        yield from self.labels.pool.layers

    def select(self, rows_R: Tensor) -> Self:
        """See `DecoderState.select`."""
        layout, kept_B = self.layout.select(rows_R)
        prefix = self.prefix if kept_B is None else self.prefix.select(kept_B)
        return replace(self, layout=layout, labels=self.labels.select(rows_R), prefix=prefix)


class PrependDecoder(Decoder[PrependState]):
    """A decoder whose layers attend to the audio before the labels and to the labels, in one self-attention.

    The encoder's states go in as they are: no projection, no separator, no position besides those the encoder gave
    them. Raises ConfigError where their width is not the decoder's.
    """

    def __init__(
        self,
        config: TransformerDecoderConfig,
        encoder_width: int,
        vocabulary: int,
        bos_id: int,
        eos_id: int,
        tags: int = 0,
    ) -> None:
        if encoder_width != config.width:
            raise ConfigError(
                f"decoder: width must be the encoder's {encoder_width}, not {config.width}, for the coupling 'prepend' "
                f"puts the encoder's states before the labels as they are."
            )
        super().__init__(config, vocabulary, bos_id, eos_id, encoder_width=None, tags=tags)
        self.causal_prefix = config.causal_prefix

    def _listen(self, encoded: Encoded) -> PrependState:
        prefix = SharedPrefix.of(self._audio(encoded), encoded.lengths_B)
        rows = len(encoded)
        layout = RowLayout.of(torch.arange(rows, device=encoded.lengths_B.device), rows)
        return PrependState(layout, LabelSlots.none(KeyValuePool.like(prefix.layers), rows), prefix)

    def _step_layers(self, state: PrependState, layout: RowLayout, growth: Growth) -> Layers:
        prefix = state.prefix.differentiable()
        bias_PNX = None if growth.seen_PNX is None else key_bias(growth.seen_PNX, prefix.layers[0][0].dtype)
        for number, (layer, audio) in enumerate(zip(self.layers, prefix.layers, strict=True)):
            yield partial(layer, attend=_shared(audio, prefix.bias_BT, bias_PNX, layout, growth, number))

    def _before_layers(self, encoded: Encoded, x_BMD: Tensor) -> Tensor:
        return torch.cat((encoded.states_BTD, x_BMD), dim=1)

    def _training_layers(self, encoded: Encoded, positions: int) -> Layers:
        dtype = encoded.states_BTD.dtype
        mask_BT = length_mask(encoded.lengths_B, encoded.states_BTD.shape[1])
        causal_MM = torch.ones(positions, positions, dtype=torch.bool, device=mask_BT.device).tril()
        before_BMT = mask_BT[:, None, :].expand(-1, positions, -1)
        seen_BMX = torch.cat((before_BMT, causal_MM.expand(len(mask_BT), -1, -1)), dim=2)
        labels = masked(key_bias(seen_BMX, dtype)[:, None])
        audio = self._among_audio(mask_BT, dtype)
        for number, layer in enumerate(self.layers, start=1):
            yield partial(layer, attend=_both(audio if number < len(self.layers) else None, labels, positions))

    def _audio(self, encoded: Encoded) -> list[KeysValues]:
        """Keys and values (B, H, T, d) of the audio in each layer."""
        x_BTD = encoded.states_BTD
        mask_BT = length_mask(encoded.lengths_B, x_BTD.shape[1])
        see = self._among_audio(mask_BT, x_BTD.dtype)
        held: list[KeysValues] = []

        def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
            held.append((key, value))
            last = len(held) == len(self.layers)
            return query[:, :, :0] if last else see(query, key, value, dropout)

        for layer in self.layers:
            x_BTD = layer(x_BTD, attend)
        return held

    def _among_audio(self, mask_BT: Tensor, dtype: torch.dtype) -> Attend:
        """What the audio's states see of one another."""
        if self.causal_prefix:
            return causal  # what pads an utterance stands after it
        return masked(key_bias(mask_BT, dtype)[:, None, None, :])


def _both(audio: Attend | None, labels: Attend, positions: int) -> Attend:
    """Audio and so many labels after it: the audio sees itself alone, labels see all that `labels` lets them.

    Without `audio`, as in the last layer, only what the labels see is given.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        frames = query.shape[2] - positions
        seen = labels(query[:, :, frames:], key, value, dropout)
        if audio is None:
            return seen
        before = audio(query[:, :, :frames], key[:, :, :frames], value[:, :, :frames], dropout)
        return torch.cat((before, seen), dim=2)

    return attend


def _shared(
    audio: KeysValues,
    bias_BT: Tensor | None,
    bias_PNX: Tensor | None,
    layout: RowLayout,
    growth: Growth,
    number: int,
) -> Attend:
    """Labels that see the audio of their utterance, which is kept once, and those before them."""

    def attend_PHNd(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        labels = OwnLabels(*growth.exchange(number, key, value), bias_PNX)
        scale = query.shape[-1] ** -0.5
        return attend(query, audio, bias_BT, labels, layout, scale).transpose(1, 2)

    return attend_PHNd
