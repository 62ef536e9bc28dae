"""The attention decoder of arXiv 2603.15045.

B utterances · T frames · N labels · M = N + 1 positions · R rows · G labels consumed over all rows · V labels ·
D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError, ModelError
from duolect.models.encoded import Encoded
from duolect.models.heads import LabelHead
from duolect.models.starts import Starts
from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias, length_mask, sinusoids
from duolect.nn.rows import RowLayout
from duolect.nn.slots import KeysValues, KeyValuePool, LabelSlots
from duolect.nn.transformer import DecoderLayer


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes of the decoder. The paper's: width 1024, 6 layers, 8 heads, auxiliary loss at layer 3, smoothing 0.1."""

    width: int = 144
    layers: int = 4
    heads: int = 4
    feed_forward: int | None = None  # None: 2/3 of 4 x width, rounded up to a multiple of a quarter of the width
    dropout: float = 0.1
    auxiliary_layer: int | None = None
    auxiliary_weight: float = 1.0
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"decoder: {name} must be positive, not {getattr(self, name)}.")
        if self.width % self.heads or self.width % 2:
            raise ConfigError(f"decoder: width {self.width} must be even and a multiple of heads ({self.heads}).")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"decoder: {name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if self.auxiliary_layer is not None and not 1 <= self.auxiliary_layer < self.layers:
            raise ConfigError(
                f"decoder: auxiliary_layer must be from 1 to {self.layers - 1}, not {self.auxiliary_layer}."
            )

    @property
    def inner(self) -> int:
        """Width inside the gated feed-forward (1024: 2816)."""
        if self.feed_forward is not None:
            return self.feed_forward
        step = max(self.width // 4, 1)
        return -(-8 * self.width // 3 // step) * step


@dataclass(frozen=True)
class DecoderState:
    """What `AttentionDecoder` keeps between steps: keys and values of the audio per utterance, of each label once."""

    layout: RowLayout
    cross: list[KeysValues]
    bias_B11T: Tensor
    labels: LabelSlots

    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""
        yield from self.cross
        yield from self.labels.pool.layers


class AttentionDecoder(nn.Module):
    """Transformer decoder over the labels with cross-attention to the encoder; implements `Autoregressive`.

    Input and output embeddings are one table, scaled by √D at the input; positions are sinusoidal. With `tags` it
    begins with the embedding of an utterance's tag instead of BOS (`Starts`).
    """

    def __init__(
        self, config: DecoderConfig, encoder_width: int, vocabulary: int, bos_id: int, eos_id: int, tags: int = 0
    ) -> None:
        super().__init__()
        self.config, self.vocabulary, self.bos_id, self.eos_id = config, vocabulary, bos_id, eos_id
        width = config.width
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.starts = Starts(vocabulary, width, bos_id, tags)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            [
                DecoderLayer(width, encoder_width, config.heads, config.inner, config.dropout)
                for _ in range(config.layers)
            ]
        )
        self.norm = nn.RMSNorm(width, eps=1e-6)
        auxiliary = config.auxiliary_layer is not None
        self.auxiliary_norm = nn.RMSNorm(width, eps=1e-6) if auxiliary else None
        self.auxiliary_output = nn.Linear(width, vocabulary, bias=False) if auxiliary else None

    def head(self, labels_BC: Tensor) -> LabelHead:
        """See `Autoregressive.head`."""
        return LabelHead.of(labels_BC, self.embedding.weight, norm=self.norm)

    def start(self, encoded: Encoded | None, rows: int, head: LabelHead | None = None) -> tuple[Tensor, DecoderState]:
        """See `Autoregressive.start`; `rows` must be the number of utterances."""
        if encoded is None or rows != len(encoded):
            raise ModelError("The attention decoder starts with one row for each encoded utterance.")
        cross, bias_B11T = self._cross(encoded)
        device = encoded.lengths_B.device
        pool = KeyValuePool.like((keys.transpose(0, 1), values.transpose(0, 1)) for keys, values in cross)
        layout = RowLayout.of(torch.arange(rows, device=device), rows)
        state = DecoderState(layout, cross, bias_B11T, LabelSlots.none(pool, rows))
        log_probs_R1V, state = self.step(state, self.starts.ids(encoded)[:, None], None, head)
        return log_probs_R1V[:, 0], state

    def step(
        self,
        state: DecoderState,
        labels_RN: Tensor,
        counts_R: Tensor | None = None,
        head: LabelHead | None = None,
    ) -> tuple[Tensor, DecoderState]:
        """See `Autoregressive.step`; only rows that consume a label take part in the forward."""
        rows, labels = labels_RN.shape
        grown = state.labels.grow(labels, counts_R)
        if grown is None:
            width = self.vocabulary if head is None else head.width
            return torch.zeros(rows, labels, width, device=labels_RN.device), state
        growth, slots = grown
        layout = state.layout if growth.rows_P is None else state.layout.rows(growth.rows_P)
        x = self._embed(growth.pick(labels_RN), growth.before_PN)
        for number, (layer, cross) in enumerate(zip(self.layers, state.cross, strict=True)):
            x = layer(x, cross, state.bias_B11T, layout, partial(growth.exchange, number), growth.seen_PNX)
        states_GD = growth.counted(x)
        log_probs_G = self._log_probs(states_GD) if head is None else head.log_probs(states_GD, growth.row_G)
        return growth.spread(log_probs_G), replace(state, labels=slots)

    def select(self, state: DecoderState, rows_R: Tensor) -> DecoderState:
        """See `Autoregressive.select`; utterances that have no row any more are dropped."""
        layout, kept_B = state.layout.select(rows_R)
        cross, bias_B11T = state.cross, state.bias_B11T
        if kept_B is not None:
            cross = [(keys[kept_B], values[kept_B]) for keys, values in cross]
            bias_B11T = bias_B11T[kept_B]
        return DecoderState(layout, cross, bias_B11T, state.labels.select(rows_R))

    def forget(self, state: DecoderState, counts_R: Tensor) -> DecoderState:
        """See `Autoregressive.forget`."""
        return replace(state, labels=state.labels.forget(counts_R))

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """See `Autoregressive.sequence_log_probs`."""
        if encoded is None:
            raise ModelError("The attention decoder needs encoded audio.")
        last_BMD, _ = self.hidden(encoded, labels_BN)
        return self._log_probs(last_BMD)

    def hidden(self, encoded: Encoded, labels_BN: Tensor) -> tuple[Tensor, Tensor | None]:
        """States after the start (BOS or a tag) and each of labels_BN (right-padded), BMD: of the last layer and of the
        auxiliary one."""
        bias_B11T = _padding_bias(encoded)
        labels_BM = torch.cat((self.starts.ids(encoded)[:, None], labels_BN), dim=1)
        x = self._embed(labels_BM, torch.arange(labels_BM.shape[1], device=labels_BM.device))
        auxiliary = None
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, encoded.states_BTD, bias_B11T)
            if number == self.config.auxiliary_layer:
                auxiliary = x
        return x, auxiliary

    def logits(self, states: Tensor) -> Tensor:
        """(..., V) of last-layer states (..., D)."""
        return functional.linear(self.norm(states), self.embedding.weight)

    def auxiliary_logits(self, states: Tensor) -> Tensor:
        """(..., V) of auxiliary-layer states (..., D), by the auxiliary layer's own output table."""
        if self.auxiliary_norm is None or self.auxiliary_output is None:
            raise ModelError("This decoder has no auxiliary layer.")
        return self.auxiliary_output(self.auxiliary_norm(states))

    def _log_probs(self, states: Tensor) -> Tensor:
        return self.logits(states).float().log_softmax(-1)

    def _cross(self, encoded: Encoded) -> tuple[list[KeysValues], Tensor]:
        layers: list[Any] = list(self.layers)
        cross = [layer.cross_attention.keys_values(encoded.states_BTD) for layer in layers]
        return cross, _padding_bias(encoded)

    def _embed(self, labels_RN: Tensor, positions: Tensor) -> Tensor:
        """Labels at positions (R, N) or (N,)."""
        embedded = self.starts.embed(self.embedding, labels_RN) * self.config.width**0.5
        return self.dropout(embedded + sinusoids(positions, self.config.width).to(embedded.dtype))


def _padding_bias(encoded: Encoded) -> Tensor:
    mask_BT = length_mask(encoded.lengths_B, encoded.states_BTD.shape[1])
    return key_bias(mask_BT, encoded.states_BTD.dtype)[:, None, None, :]
