"""Forced alignment: the best path among all there are, and what is read off it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from duolect.errors import SearchError
from duolect.search import align


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def posteriors(random: np.random.Generator, frames: int, width: int) -> np.ndarray:
    logits = 2 * random.normal(size=(frames, width))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_best_of_all_paths(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames, width = int(random.integers(0, 6)), int(random.integers(2, 4))
    labels = random.integers(0, width - 1, size=random.integers(0, 4)).tolist()
    log_probs = posteriors(random, frames, width)
    paths = [
        path for path in itertools.product(range(width), repeat=frames) if collapsed(path, width - 1) == tuple(labels)
    ]
    found = align(log_probs, labels)
    if not paths:
        assert found is None, (seed, labels)
        return
    assert found is not None, (seed, labels)
    scores = [sum(log_probs[t, c] for t, c in enumerate(path)) for path in paths]
    assert found.score == pytest.approx(max(scores), abs=1e-12), (seed, labels)
    own = np.full(frames, width - 1)
    for label, begin, end in zip(labels, found.begins_N, found.ends_N, strict=True):
        own[begin:end] = label
        assert end > begin, (seed, labels)
    assert tuple(own.tolist()) in paths, (seed, labels)
    assert sum(log_probs[np.arange(frames), own]) == pytest.approx(found.score, abs=1e-12), (seed, labels)
    for n, (begin, end) in enumerate(zip(found.begins_N, found.ends_N, strict=True)):
        expected = np.exp(log_probs[begin:end, labels[n]]).mean()
        assert found.posteriors_N[n] == pytest.approx(expected, abs=1e-12), (seed, labels)


def slow(log_probs: np.ndarray, labels: list[int]) -> float:
    """Score of the best path, by a plain recursion over frames and states in float64."""
    blank = log_probs.shape[1] - 1
    states = [blank, *itertools.chain.from_iterable((label, blank) for label in labels)]
    best = {0: 0.0} | ({1: 0.0} if labels else {})
    best = {s: log_probs[0, states[s]] for s in best}
    for row in log_probs[1:]:
        reached: dict[int, float] = {}
        for s, score in best.items():
            for there in (s, s + 1, s + 2):
                skip = there == s + 2
                if there >= len(states) or (skip and (states[there] == blank or states[there] == states[s])):
                    continue
                reached[there] = max(reached.get(there, -np.inf), score + row[states[there]])
        best = reached
    return max(score for s, score in best.items() if s >= len(states) - 2)


def test_long_ones_are_those_of_a_plain_recursion() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        log_probs = posteriors(random, 120, 6)
        labels = random.integers(0, 5, size=30).tolist()
        found = align(log_probs.astype(np.float32), labels)
        assert found is not None, seed
        assert found.score == pytest.approx(slow(log_probs.astype(np.float32).astype(np.float64), labels)), seed
        assert (found.begins_N[1:] >= found.ends_N[:-1]).all(), seed


def test_impossible_paths_and_bad_input_are_told_apart() -> None:
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.eye(3))
    found = align(log_probs, [0, 1])
    assert found is not None
    assert (found.score, found.begins_N.tolist(), found.ends_N.tolist()) == (0.0, [0, 1], [1, 2])
    assert align(log_probs, [1, 0]) is None  # a probability of zero
    assert align(log_probs, [0, 0, 1, 1]) is None  # more labels than frames
    assert align(log_probs[:0], [0]) is None
    assert align(log_probs[:0], []) is not None
    for labels in ([2], [-1]):
        with pytest.raises(SearchError, match="labels must be from 0 to 1"):
            align(log_probs, labels)
    with pytest.raises(SearchError, match="NaN"):
        align(np.full((3, 3), np.nan), [0])
