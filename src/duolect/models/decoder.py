"""The attention decoder of arXiv 2603.15045.

B utterances · T frames · N labels · M = N + 1 positions · R rows · V labels · D width · L cached positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError, ModelError
from duolect.models.encoded import Encoded
from duolect.models.heads import LabelHead
from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias, length_mask, sinusoids, step_mask
from duolect.nn.transformer import DecoderLayer, KeysValues, RowLayout


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
    """What `AttentionDecoder` keeps between steps: per row its labels' keys and values, per utterance the audio's."""

    layout: RowLayout
    cross: list[KeysValues]
    bias_B11T: Tensor
    past: list[KeysValues]
    valid_RL: Tensor
    positions_R: Tensor


class AttentionDecoder(nn.Module):
    """Transformer decoder over the labels with cross-attention to the encoder; implements `Autoregressive`.

    Input and output embeddings are one table, scaled by √D at the input; positions are sinusoidal.
    """

    def __init__(self, config: DecoderConfig, encoder_width: int, vocabulary: int, bos_id: int, eos_id: int) -> None:
        super().__init__()
        self.config, self.vocabulary, self.bos_id, self.eos_id = config, vocabulary, bos_id, eos_id
        width = config.width
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
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
        empty = encoded.states_BTD.new_zeros(rows, self.config.heads, 0, self.config.width // self.config.heads)
        state = DecoderState(
            layout=RowLayout.of(torch.arange(rows, device=device), rows),
            cross=cross,
            bias_B11T=bias_B11T,
            past=[(empty, empty) for _ in self.layers],
            valid_RL=torch.zeros(rows, 0, dtype=torch.bool, device=device),
            positions_R=torch.zeros(rows, dtype=torch.long, device=device),
        )
        bos_R1 = torch.full((rows, 1), self.bos_id, dtype=torch.long, device=device)
        log_probs_R1V, state = self.step(state, bos_R1, None, head)
        return log_probs_R1V[:, 0], state

    def step(
        self,
        state: DecoderState,
        labels_RN: Tensor,
        counts_R: Tensor | None = None,
        head: LabelHead | None = None,
    ) -> tuple[Tensor, DecoderState]:
        """See `Autoregressive.step`."""
        rows, labels = labels_RN.shape
        if counts_R is None:
            counts_R = torch.full((rows,), labels, device=labels_RN.device)
        mask_RNX, valid_RL = step_mask(state.valid_RL, counts_R, labels)
        x = self._embed(labels_RN, state.positions_R)
        past = []
        for layer, cross, cached in zip(self.layers, state.cross, state.past, strict=True):
            x, keys_values = layer(x, cross, state.bias_B11T, state.layout, cached, mask_RNX)
            past.append(keys_values)
        new = replace(state, past=past, valid_RL=valid_RL, positions_R=state.positions_R + counts_R)
        if head is None:
            return self._log_probs(x), new
        row_G = torch.arange(rows, device=x.device).repeat_interleave(labels)
        return head.log_probs(x.flatten(0, 1), row_G).unflatten(0, (rows, labels)), new

    def select(self, state: DecoderState, rows_R: Tensor) -> DecoderState:
        """See `Autoregressive.select`; utterances that have no row any more are dropped."""
        utterance_R, utterances = state.layout.utterance_R[rows_R], state.layout.utterances
        cross, bias_B11T = state.cross, state.bias_B11T
        kept_B, renumbered_R = torch.unique(utterance_R, return_inverse=True)
        if len(kept_B) < utterances:
            cross = [(key[kept_B], value[kept_B]) for key, value in cross]
            bias_B11T, utterance_R, utterances = bias_B11T[kept_B], renumbered_R, len(kept_B)
        valid_RL = state.valid_RL[rows_R]
        used_L = valid_RL.any(0)
        past = [(key[rows_R], value[rows_R]) for key, value in state.past]
        if not bool(used_L.all()):
            past = [(key[:, :, used_L], value[:, :, used_L]) for key, value in past]
            valid_RL = valid_RL[:, used_L]
        return DecoderState(
            layout=RowLayout.of(utterance_R, utterances),
            cross=cross,
            bias_B11T=bias_B11T,
            past=past,
            valid_RL=valid_RL,
            positions_R=state.positions_R[rows_R],
        )

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """See `Autoregressive.sequence_log_probs`."""
        if encoded is None:
            raise ModelError("The attention decoder needs encoded audio.")
        last_BMD, _ = self.hidden(encoded, labels_BN)
        return self._log_probs(last_BMD)

    def hidden(self, encoded: Encoded, labels_BN: Tensor) -> tuple[Tensor, Tensor | None]:
        """States after BOS and each of labels_BN (right-padded): of the last layer and of the auxiliary one, BMD."""
        bias_B11T = _padding_bias(encoded)
        bos_B1 = labels_BN.new_full((len(labels_BN), 1), self.bos_id)
        x = self._embed(torch.cat((bos_B1, labels_BN), dim=1), torch.zeros_like(bos_B1[:, 0]))
        auxiliary = None
        for number, layer in enumerate(self.layers, start=1):
            x, _ = layer(x, encoded.states_BTD, bias_B11T)
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

    def _embed(self, labels_RN: Tensor, starts_R: Tensor) -> Tensor:
        positions_RN = starts_R[:, None] + torch.arange(labels_RN.shape[1], device=labels_RN.device)
        embedded = self.embedding(labels_RN) * self.config.width**0.5
        return self.dropout(embedded + sinusoids(positions_RN, self.config.width).to(embedded.dtype))


def _padding_bias(encoded: Encoded) -> Tensor:
    mask_BT = length_mask(encoded.lengths_B, encoded.states_BTD.shape[1])
    return key_bias(mask_BT, encoded.states_BTD.dtype)[:, None, None, :]
