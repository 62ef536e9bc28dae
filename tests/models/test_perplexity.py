"""Perplexity per label and per word, whatever the batches."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from duolect.models import TextLogProb, label_log_probs, sentence_log_probs, text_log_prob


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


def test_a_perplexity_beyond_all_numbers_is_infinite() -> None:
    diverged = TextLogProb(log_prob=-8000.0, tokens=10, words=4, sentences=2)
    assert (diverged.per_token, diverged.per_word) == (math.inf, math.inf)
    long_words = TextLogProb(log_prob=-1600.0, tokens=400, words=1, sentences=1)
    assert (long_words.per_token, long_words.per_word) == (pytest.approx(math.exp(4)), math.inf)


def test_the_mode_is_left_as_it_was(models: Any) -> None:
    text_log_prob(models["language"], ["abc"], _Letters())  # type: ignore[arg-type]
    assert not models["language"].training


def test_texts_add_up() -> None:
    assert TextLogProb(-3.0, 4, 2, 1) + TextLogProb(-1.0, 2, 1, 1) == TextLogProb(-4.0, 6, 3, 2)
    assert TextLogProb().per_word == 1


@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
def test_sentences_keep_their_order_and_do_not_see_each_other(batch_tokens: int, models: Any) -> None:
    seed = random.randrange(10**6)
    made = random.Random(seed)
    labels = [[made.randrange(2, 11) for _ in range(made.randrange(9))] for _ in range(7)]
    found = sentence_log_probs(models["language"], labels, batch_tokens=batch_tokens)
    for each, log_prob in zip(labels, found, strict=True):
        alone = label_log_probs(
            models["language"], None, torch.tensor([each], dtype=torch.long), torch.tensor([len(each)])
        )[0]
        assert log_prob == pytest.approx(float(alone.sum()), abs=1e-4), f"seed {seed}"
    assert sentence_log_probs(models["language"], []) == []


class _Grammar(torch.nn.Module):
    """A language of the words aa, bb, cc and dd, each as likely, with an end after one in three; over any units.

    `following`: the labels so far → {label: probability}.
    """

    eos_id = bos_id = 0

    def __init__(self, vocabulary: int, following: Callable[[Sequence[int]], dict[int, float]]) -> None:
        super().__init__()
        self.vocabulary, self.following = vocabulary, following
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def sequence_log_probs(self, encoded: None, labels_BN: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        log_probs_BMV = torch.full((len(labels_BN), labels_BN.shape[1] + 1, self.vocabulary), -1e9)
        for b, length in enumerate(lengths_B.tolist()):
            for n in range(length + 1):
                for label, probability in self.following(labels_BN[b, :n].tolist()).items():
                    log_probs_BMV[b, n, label] = math.log(probability)
        return log_probs_BMV

    def head(self, *_: Any) -> Any: ...

    start = step = select = forget = head


class _Words:
    """aa, bb, cc, dd as the labels 1 … 4."""

    def encode(self, text: str) -> list[int]:
        return [["aa", "bb", "cc", "dd"].index(word) + 1 for word in text.split()]


def _next_letter(labels: Sequence[int]) -> dict[int, float]:
    word = labels[len(labels) - labels[::-1].index(1) :] if 1 in labels else labels
    if len(word) == 0:
        return dict.fromkeys(range(2, 6), 1 / 4)
    return {word[0]: 1.0} if len(word) == 1 else {1: 2 / 3, 0: 1 / 3}


def _next_word(labels: Sequence[int]) -> dict[int, float]:
    return dict.fromkeys(range(1, 5), 1 / 6) | {0: 1 / 3} if labels else dict.fromkeys(range(1, 5), 1 / 4)


def test_one_distribution_over_texts_has_one_perplexity_per_word_in_any_units() -> None:
    sentences = ["aa", "bb cc", "dd aa aa bb"]
    letters = text_log_prob(_Grammar(11, _next_letter), sentences, _Letters())  # type: ignore[arg-type]
    words = text_log_prob(_Grammar(5, _next_word), sentences, _Words())  # type: ignore[arg-type]
    assert letters.log_prob == pytest.approx(7 * math.log(1 / 4) + 4 * math.log(2 / 3) + 3 * math.log(1 / 3), abs=1e-5)
    assert letters.per_word == pytest.approx(words.per_word, rel=1e-6)
    assert (letters.tokens, words.tokens) == (14 + 4 + 3, 7 + 3)
    assert letters.per_token < words.per_token
