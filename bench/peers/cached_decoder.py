"""An ESPnet Transformer decoder with its own weights, its keys and values cached: for our search, and for ESPnet's.

`espnet2`'s decoder projects the keys and values of all encoder states and all past labels anew in every step. Here
those of the labels are kept per hypothesis and those of the encoder states once per utterance.

Legend: B utterances · T frames · R rows (hypotheses by utterance) · S rows of one utterance · N labels · L cached
positions · H heads · D width · V labels.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from espnet.nets.scorer_interface import BatchScorerInterface
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


@dataclass
class Audio:
    """Encoder states, right-padded."""

    states_BTD: Tensor
    lengths_B: Tensor


@dataclass
class State:
    """past: per layer keys and values (R, H, L, d); cross: the same of the encoder states (B, H, T, d)."""

    past: list[tuple[Tensor, Tensor]]
    cross: list[tuple[Tensor, Tensor]]
    bias_B11T: Tensor
    utterance_R: Tensor  # ascending, into `cross`
    slot_R: Tensor


class CachedDecoder(nn.Module):
    """The protocol `duolect.models.Autoregressive`, as far as a search over labels asks it, around a decoder."""

    def __init__(self, decoder: Any, vocabulary: int, eos_id: int) -> None:
        super().__init__()
        self.decoder, self.vocabulary, self.bos_id, self.eos_id = decoder, vocabulary, eos_id, eos_id
        self.seconds = 0.0  # spent in `next_label` and `start`

    def start(self, encoded: Audio, rows: int) -> tuple[Tensor, State]:
        """BOS consumed by one row per utterance."""
        begin = time.perf_counter()
        states_BTD, lengths_B = encoded.states_BTD, encoded.lengths_B
        cross = [_keys_values(layer.src_attn, states_BTD) for layer in self.decoder.decoders]
        valid_BT = torch.arange(states_BTD.shape[1]) < lengths_B[:, None]
        bias_B11T = torch.zeros(valid_BT.shape).masked_fill(~valid_BT, -torch.inf)[:, None, None]
        heads = self.decoder.decoders[0].self_attn.h
        empty = states_BTD.new_zeros(rows, heads, 0, states_BTD.shape[-1] // heads)
        place_R = torch.arange(rows)
        state = State([(empty, empty) for _ in cross], cross, bias_B11T, place_R, torch.zeros_like(place_R))
        self.seconds += time.perf_counter() - begin
        return self.next_label(state, torch.full((rows,), self.bos_id))

    def step(self, state: State, labels_RN: Tensor, counts_R: Tensor | None = None) -> tuple[Tensor, State]:
        """One label in every row."""
        assert labels_RN.shape[1] == 1
        assert counts_R is None or bool((counts_R == 1).all())
        log_probs_RV, state = self.next_label(state, labels_RN[:, 0])
        return log_probs_RV[:, None], state

    def select(self, state: State, rows_R: Tensor) -> State:
        """Rows picked, in the order of their utterances; utterances without a row leave."""
        kept_B, utterance_R, counts_B = torch.unique(state.utterance_R[rows_R], return_inverse=True, return_counts=True)
        slot_R = torch.arange(len(rows_R)) - (counts_B.cumsum(0) - counts_B)[utterance_R]
        cross, bias_B11T = state.cross, state.bias_B11T
        if len(kept_B) < len(bias_B11T):
            cross, bias_B11T = [(k[kept_B], v[kept_B]) for k, v in cross], bias_B11T[kept_B]
        return State([(k[rows_R], v[rows_R]) for k, v in state.past], cross, bias_B11T, utterance_R, slot_R)

    def next_label(self, state: State, label_R: Tensor) -> tuple[Tensor, State]:
        """log p (R, V) after one more label in every row."""
        begin = time.perf_counter()
        table, positions = self.decoder.embed[0], self.decoder.embed[1]
        at = state.past[0][0].shape[2]
        x_RD = table(label_R) * positions.xscale + positions.pe[0, at]
        past = []
        for layer, (key_RHLd, value_RHLd), cross in zip(self.decoder.decoders, state.past, state.cross, strict=True):
            inner_RD = layer.norm1(x_RD)
            new_key, new_value = _keys_values(layer.self_attn, inner_RD[:, None])
            past.append((torch.cat([key_RHLd, new_key], 2), torch.cat([value_RHLd, new_value], 2)))
            x_RD = x_RD + _attend(layer.self_attn, inner_RD, *past[-1])
            x_RD = x_RD + self._listen(layer.src_attn, layer.norm2(x_RD), cross, state)
            x_RD = x_RD + layer.feed_forward(layer.norm3(x_RD))
        log_probs_RV = self.decoder.output_layer(self.decoder.after_norm(x_RD)).log_softmax(-1)
        self.seconds += time.perf_counter() - begin
        return log_probs_RV, State(past, state.cross, state.bias_B11T, state.utterance_R, state.slot_R)

    def _listen(self, attention: Any, x_RD: Tensor, cross: tuple[Tensor, Tensor], state: State) -> Tensor:
        """Attention to the encoder states: the rows of an utterance are its queries."""
        rows, width = x_RD.shape
        query_RHd = attention.linear_q(x_RD).view(rows, attention.h, attention.d_k)
        slots = int(state.slot_R.max()) + 1
        query_BSHd = query_RHd.new_zeros(len(state.bias_B11T), slots, attention.h, attention.d_k)
        query_BSHd[state.utterance_R, state.slot_R] = query_RHd
        out_BHSd = scaled_dot_product_attention(query_BSHd.transpose(1, 2), *cross, attn_mask=state.bias_B11T)
        out_RHd = out_BHSd.transpose(1, 2)[state.utterance_R, state.slot_R]
        return attention.linear_out(out_RHd.reshape(rows, width))


class CachedScorer(BatchScorerInterface):
    """The same for ESPnet's search: one utterance, a state for each hypothesis."""

    def __init__(self, model: CachedDecoder) -> None:
        self.model = model

    def batch_init_state(self, x: Tensor) -> None:
        """x: the encoder states (T, D) of the utterance, whose keys and values are made here."""
        _, self.first = self.model.start(Audio(x[None], torch.tensor([len(x)])), 1)

    def batch_score(self, ys: Tensor, states: list, xs: Tensor) -> tuple[Tensor, list]:
        """log p (n, V) of the label after each of ys (n, N), and the new states."""
        rows, first = len(ys), self.first
        if states[0] is None:
            empty = first.past[0][0][:, :, :0].expand(rows, -1, -1, -1)
            past = [(empty, empty) for _ in first.past]
        else:
            layers = range(len(first.past))
            past = [(torch.stack([s[i][0] for s in states]), torch.stack([s[i][1] for s in states])) for i in layers]
        state = State(past, first.cross, first.bias_B11T, torch.zeros(rows, dtype=torch.long), torch.arange(rows))
        log_probs_RV, state = self.model.next_label(state, ys[:, -1])
        return log_probs_RV, [[(k[r], v[r]) for k, v in state.past] for r in range(rows)]


def _keys_values(attention: Any, x_RND: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*x_RND.shape[:2], attention.h, attention.d_k)
    return (
        attention.linear_k(x_RND).view(shape).transpose(1, 2),
        attention.linear_v(x_RND).view(shape).transpose(1, 2),
    )


def _attend(attention: Any, x_RD: Tensor, key_RHLd: Tensor, value_RHLd: Tensor) -> Tensor:
    rows, width = x_RD.shape
    query_RH1d = attention.linear_q(x_RD).view(rows, attention.h, 1, attention.d_k)
    scores_RHL = (query_RH1d @ key_RHLd.transpose(2, 3))[:, :, 0] / math.sqrt(attention.d_k)
    out_RHd = (scores_RHL.softmax(-1)[:, :, None] @ value_RHLd)[:, :, 0]
    return attention.linear_out(out_RHd.reshape(rows, width))
