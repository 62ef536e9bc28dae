"""A model of label sequences for brute force: any history has its own random distribution.

Speaks the autoregressive protocol. R rows · N labels · M = N + 1 · V labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from duolect.models.heads import LabelHead


class TabularModel(nn.Module):
    """log p(c | audio, history), drawn once per (seed, audio, history); `sharpness` scales the logits.

    One that does not listen is a language model: the same distributions whatever the audio.
    """

    def __init__(self, vocabulary: int, seed: int, sharpness: float = 1.5, listens: bool = True) -> None:
        super().__init__()
        self.listens = listens
        self.vocabulary, self.seed, self.sharpness = vocabulary, seed, sharpness
        self.bos_id = self.eos_id = 0
        self.table: dict[tuple[int, ...], Tensor] = {}
        self.anchor = nn.Parameter(torch.zeros(()))  # tells the device
        self.stepped: list[list[tuple[int, ...]]] = []  # (audio, *history) of the rows that grew, per forward

    def distribution(self, audio: int, history: Sequence[int]) -> Tensor:
        """(V,) log-probabilities of what follows `history`."""
        place = (audio, *history)
        if place not in self.table:
            generator = torch.Generator().manual_seed(hash((self.seed, *place)) % (1 << 62))
            logits = torch.randn(self.vocabulary, generator=generator) * self.sharpness
            self.table[place] = logits.log_softmax(-1)
        return self.table[place]

    def sequence_score(self, audio: int, labels: Sequence[int], eos: int) -> float:
        """log p(labels·EOS) in float64."""
        ended = (*labels, eos)
        return sum(float(self.distribution(audio, ended[:n])[c].double()) for n, c in enumerate(ended))

    def head(self, labels_BC: Tensor) -> LabelHead:
        """The table of a model whose states are its log-probabilities."""
        return LabelHead.of(labels_BC, torch.eye(self.vocabulary))

    def start(self, encoded: Audio | None, rows: int, head: LabelHead | None = None):
        keys = encoded.keys if encoded is not None and self.listens else [0] * rows
        state = [(key,) for key in keys]
        log_probs_RV = torch.stack([self.distribution(key, ()) for key in keys])
        return (log_probs_RV if head is None else head.log_probs(log_probs_RV, torch.arange(rows))), state

    def step(self, state, labels_RN: Tensor, counts_R: Tensor | None = None, head: LabelHead | None = None):
        if counts_R is None:
            counts_R = torch.full((len(labels_RN),), labels_RN.shape[1])
        out = torch.zeros(*labels_RN.shape, self.vocabulary)
        after = []
        for r, place in enumerate(state):
            for n in range(int(counts_R[r])):
                place = (*place, int(labels_RN[r, n]))
                out[r, n] = self.distribution(place[0], place[1:])
            after.append(place)
        self.stepped.append([place for place, count in zip(after, counts_R.tolist(), strict=True) if count])
        if head is not None:
            row_G = torch.arange(len(state)).repeat_interleave(labels_RN.shape[1])
            out = head.log_probs(out.flatten(0, 1), row_G).unflatten(0, labels_RN.shape)
        return out, after

    def select(self, state, rows_R: Tensor):
        return [state[i] for i in rows_R.tolist()]

    def forget(self, state, counts_R: Tensor):
        return [place[: len(place) - n] for place, n in zip(state, counts_R.tolist(), strict=True)]

    def sequence_log_probs(self, encoded: Audio | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        keys = encoded.keys if encoded is not None and self.listens else [0] * len(labels_BN)
        out = torch.zeros(len(labels_BN), labels_BN.shape[1] + 1, self.vocabulary)
        for b, key in enumerate(keys):
            for n in range(int(lengths_B[b]) + 1):
                out[b, n] = self.distribution(key, labels_BN[b, :n].tolist())
        return out


class Audio:
    """What stands for encoder states: one number per utterance."""

    def __init__(self, keys: Sequence[int]) -> None:
        self.keys = list(keys)
        self.lengths_B = torch.ones(len(self.keys), dtype=torch.long)

    def select(self, index_B: Tensor) -> Audio:
        return Audio([self.keys[i] for i in index_B.tolist()])
