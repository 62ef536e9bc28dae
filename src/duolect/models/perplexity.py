"""Perplexity of a language model, per label and per word. B sentences · N labels · M = N + 1 · V labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from duolect.models.autoregressive import Autoregressive
from duolect.models.targets import next_label_scores
from duolect.text.normalise import words

if TYPE_CHECKING:
    from duolect.models.encoded import Encoded
    from duolect.text.units import Units


@dataclass(frozen=True)
class TextLogProb:
    """Natural log-probability of a text, with what it can be spread over. Texts add up with +."""

    log_prob: float = 0.0
    tokens: int = 0  # labels and sentence ends
    words: int = 0  # words, without sentence ends
    sentences: int = 0

    def __add__(self, other: TextLogProb) -> TextLogProb:
        return TextLogProb(
            self.log_prob + other.log_prob,
            self.tokens + other.tokens,
            self.words + other.words,
            self.sentences + other.sentences,
        )

    @property
    def per_token(self) -> float:
        """Perplexity per label, sentence ends counted as labels; inf where it is too large for a float.

        Comparable within one set of units only.
        """
        return _perplexity(self.log_prob, self.tokens)

    @property
    def per_word(self) -> float:
        """Perplexity per word, sentence ends counted as words; inf where it is too large for a float.

        Comparable across units.
        """
        return _perplexity(self.log_prob, self.words + self.sentences)


def _perplexity(log_prob: float, count: int) -> float:
    try:
        return math.exp(-log_prob / max(count, 1))
    except OverflowError:  # of a model that has diverged, or where whole sentences are words
        return math.inf


@torch.no_grad()
def label_log_probs(
    model: Autoregressive, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor
) -> tuple[Tensor, Tensor]:
    """(log p of each label and EOS (B, M), 0 beyond them; mask_BM)."""
    log_probs_BMV = model.sequence_log_probs(encoded, labels_BN, lengths_B)
    return next_label_scores(log_probs_BMV, labels_BN, lengths_B, model.eos_id)


def text_log_prob(
    model: torch.nn.Module, sentences: Iterable[str], units: Units, *, batch_tokens: int = 4096
) -> TextLogProb:
    """The log-probability of `sentences` under a language model that speaks `units`; see `sentence_log_probs`.

    Raises UnitsError for a character the units cannot spell.
    """
    given = list(sentences)
    labels = [units.encode(sentence) for sentence in given]
    log_prob = math.fsum(sentence_log_probs(model, labels, batch_tokens=batch_tokens))
    return TextLogProb(log_prob, sum(len(each) + 1 for each in labels), sum(map(len, map(words, given))), len(given))


def sentence_log_probs(
    model: torch.nn.Module, labels: Sequence[Sequence[int]], *, batch_tokens: int = 4096
) -> list[float]:
    """Natural log-probability of each label sequence and its EOS under a language model, in the order given.

    Evaluated in batches of at most `batch_tokens` labels with padding. The model is left in the mode it came in.
    """
    order = sorted(range(len(labels)), key=lambda place: len(labels[place]))
    training, scores = model.training, [0.0] * len(labels)
    model.eval()
    try:
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (len(labels[order[end]]) + 1) * (end + 1 - start) <= batch_tokens:
                end += 1
            batch = order[start:end]
            for place, score in zip(batch, _batch_log_probs(model, [labels[i] for i in batch]), strict=True):
                scores[place] = score
            start = end
    finally:
        model.train(training)
    return scores


def _batch_log_probs(model: torch.nn.Module, batch: Sequence[Sequence[int]]) -> list[float]:
    device = next(model.parameters()).device
    lengths_B = torch.tensor([len(labels) for labels in batch], device=device)
    labels_BN = pad_sequence([torch.tensor(labels, dtype=torch.long) for labels in batch], batch_first=True)
    assert isinstance(model, Autoregressive)
    scores_BM, _ = label_log_probs(model, None, labels_BN.to(device), lengths_B)
    return scores_BM.double().sum(1).tolist()
