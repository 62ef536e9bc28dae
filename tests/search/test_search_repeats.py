"""Search over labels in which no n-gram occurs twice: by listing all sequences, and the same alone and in a batch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from test_search_exactness import BATCH, EOS, Case, check

from duolect.errors import ConfigError, SearchError
from duolect.search import label_synchronous
from duolect.search.repeats import repeats
from duolect.systems import Scales, SearchConfig


def repeats_any(labels: tuple[int, ...], ngram: int) -> bool:
    windows = [labels[i : i + ngram] for i in range(len(labels) - ngram + 1)]
    return len(set(windows)) < len(windows)


def search(case: Case, names: tuple[str, ...], encoded: Any = None, **settings: Any) -> Any:
    given = {"beam": case.unlimited, "nbest": 4, "limits_B": case.limits, "eos_id": EOS} | settings
    return label_synchronous([case.weighted(n) for n in names], encoded or case.audio, **given)


def test_the_labels_that_would_repeat_are_those_that_would() -> None:
    chance = random.Random(1)
    for _ in range(300):
        rows, count, ngram = chance.randint(1, 4), chance.randint(0, 9), chance.randint(1, 4)
        labels_RN = torch.tensor([[chance.randint(1, 3) for _ in range(count)] for _ in range(rows)])
        labels_RN = labels_RN.reshape(rows, count).long()
        row_P, label_P = repeats(labels_RN, ngram)
        expected = set()
        for row, labels in enumerate(labels_RN.tolist()):
            known = {tuple(labels[i : i + ngram]) for i in range(count - ngram + 1)}
            tail = tuple(labels[count - ngram + 1 :]) if count >= ngram - 1 else None
            expected |= {(row, c) for c in range(4) if tail is not None and (*tail, c) in known}
        assert set(zip(row_P.tolist(), label_P.tolist(), strict=True)) == expected, (labels_RN, ngram)


@pytest.mark.parametrize("ngram", [1, 2, 3])
@pytest.mark.parametrize(("names", "exponent"), [(("decoder",), 1.0), (("decoder", "ctc", "prior"), 0.0)])
def test_the_best_sequences_without_repeats_are_found(ngram: int, names: tuple[str, ...], exponent: float) -> None:
    fewer = 0
    for seed in range(20):
        case = Case(seed)
        found = search(case, names, length_exponent=exponent, no_repeat_ngram=ngram)
        for b in range(BATCH):
            every = case.reference(b, names, case.limits[b], exponent=exponent)
            allowed = {labels: score for labels, score in every.items() if not repeats_any(labels, ngram)}
            fewer += len(allowed) < len(every)
            check(case, b, found[b], allowed, depth=4)
    assert fewer > 20 or (ngram == 3 and "ctc" in names)  # six frames are too few for two of three labels


@pytest.mark.parametrize("names", [("decoder", "lm"), ("decoder", "ctc")])
@pytest.mark.parametrize("candidates", [None, 1, 2])
def test_it_does_not_depend_on_the_batch(names: tuple[str, ...], candidates: int | None) -> None:
    for seed in range(12):
        case = Case(seed)
        settings = {"beam": 3, "nbest": 3, "candidates": candidates, "no_repeat_ngram": 2}
        together = search(case, names, **settings)
        for b in range(BATCH):
            one = Case(seed)
            one.audio.keys, one.limits = case.audio.keys[b : b + 1], case.limits[b : b + 1]
            one.log_probs, one.lengths = case.log_probs[b : b + 1], case.lengths[b : b + 1]
            (alone,) = search(one, names, **settings)
            assert [h.labels for h in alone] == [h.labels for h in together[b]], f"seed {seed}, utterance {b}"
            assert not any(repeats_any(h.labels, 2) for h in alone), f"seed {seed}, utterance {b}"


@pytest.mark.parametrize("names", [("decoder", "lm"), ("decoder", "ctc")])
def test_candidates_are_chosen_among_the_labels_that_are_allowed(names: tuple[str, ...]) -> None:
    """All candidates change nothing; and one candidate is the best label that does not repeat."""
    for seed in range(12):
        case = Case(seed)
        settings = {"beam": 5, "nbest": 3, "no_repeat_ngram": 1}
        plain = search(case, names, **settings)
        limited = search(case, names, candidates=case.vocabulary - 1, **settings)
        assert [[h.labels for h in each] for each in plain] == [[h.labels for h in each] for each in limited], seed
        greedy = search(case, names[:1], beam=1, nbest=1, no_repeat_ngram=1)
        few = search(case, names[:1], beam=1, nbest=1, no_repeat_ngram=1, candidates=1)
        assert [each[0].labels for each in greedy] == [each[0].labels for each in few], seed


def test_off_and_longer_than_any_sequence_change_nothing() -> None:
    for seed in range(20):
        case = Case(seed)
        plain = search(case, ("decoder", "ctc"), beam=4)
        assert search(case, ("decoder", "ctc"), beam=4, no_repeat_ngram=None) == plain
        assert search(case, ("decoder", "ctc"), beam=4, no_repeat_ngram=7) == plain


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SearchError, match="no_repeat_ngram"):
        search(Case(0), ("decoder",), no_repeat_ngram=0)
    with pytest.raises(ConfigError, match="no_repeat_ngram must be at least 1"):
        SearchConfig(first_pass="labels", inside=Scales(decoder=1.0), no_repeat_ngram=0)
    with pytest.raises(ConfigError, match="no_repeat_ngram applies to a search over labels only"):
        SearchConfig(no_repeat_ngram=5)
