"""Perplexity per label and per word, whatever the batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from duolect.models import TextLogProb, text_log_prob


class _Letters:
    """a … i as the labels 2 … 10, a space as 1."""

    def encode(self, text: str) -> list[int]:
        return [1 if letter == " " else ord(letter) - ord("a") + 2 for letter in text]


@pytest.mark.parametrize("batch_tokens", [1, 12, 4096])
def test_text_log_prob_is_the_sum_over_the_sentences(batch_tokens: int, models: Any) -> None:
    sentences = ["abc de", "f", "", "ghi abc fed"]
    result = text_log_prob(models["language"], sentences, _Letters(), batch_tokens=batch_tokens)  # type: ignore[arg-type]
    expected = 0.0
    for sentence in sentences:
        labels = _Letters().encode(sentence)
        labels_1N = torch.tensor([labels], dtype=torch.long)
        with torch.no_grad():
            log_probs_MV = models["language"].sequence_log_probs(None, labels_1N, torch.tensor([len(labels)]))[0]
        expected += sum(log_probs_MV[n, label].item() for n, label in enumerate([*labels, 0]))
    assert result.log_prob == pytest.approx(expected, abs=1e-4)
    assert (result.tokens, result.words, result.sentences) == (6 + 1 + 0 + 11 + 4, 2 + 1 + 0 + 3, 4)
    assert result.per_token == pytest.approx(math.exp(-expected / 22))
    assert result.per_word == pytest.approx(math.exp(-expected / 10))


def test_the_mode_is_left_as_it_was(models: Any) -> None:
    text_log_prob(models["language"], ["abc"], _Letters())  # type: ignore[arg-type]
    assert not models["language"].training


def test_texts_add_up() -> None:
    assert TextLogProb(-3.0, 4, 2, 1) + TextLogProb(-1.0, 2, 1, 1) == TextLogProb(-4.0, 6, 3, 2)
    assert TextLogProb().per_word == 1
