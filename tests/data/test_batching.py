"""Batching: each utterance once an epoch, the same global batches on any number of ranks, taken up exactly anywhere."""

import itertools
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.manifest import Utterance
from duolect.data.stream import stable_seed
from duolect.errors import ConfigError, DuolectError, ManifestError, TrainingError

durations = st.lists(st.floats(0.05, 40.0), min_size=1, max_size=120)
configs = st.builds(
    BatchConfig,
    max_seconds=st.floats(1.0, 60.0),
    max_utterances=st.integers(1, 12),
    buckets=st.integers(1, 30),
    shuffle=st.booleans(),
)


def _utterances(seconds: list[float]) -> list[Utterance]:
    return [Utterance(audio_filepath=Path("/none.wav"), duration=d, text="", id=f"u{i}") for i, d in enumerate(seconds)]


def _many(count: int = 400) -> list[Utterance]:
    return _utterances((np.random.default_rng(1).gamma(4.0, 2.0, count) + 0.3).tolist())


def _ids(batches: list[list[Utterance]]) -> list[list[str]]:
    return [[u.id for u in batch] for batch in batches]


def _take(batches: SpeechBatches, count: int) -> list[list[str]]:
    return _ids(list(itertools.islice(batches, count)))


CONFIG = BatchConfig(max_seconds=60.0, buckets=6)


@settings(max_examples=60, deadline=None)
@given(durations, configs)
def test_every_utterance_once_and_no_batch_too_large(seconds: list[float], config: BatchConfig) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(SpeechBatches(_utterances(seconds), config, epochs=1))
    assert Counter(u.id for batch in batches for u in batch) == Counter(f"u{i}" for i in range(len(seconds)))
    for batch in batches:
        assert 1 <= len(batch) <= config.max_utterances
        assert len(batch) == 1 or len(batch) * max(u.duration for u in batch) <= config.max_seconds + 1e-6


@settings(max_examples=25, deadline=None)
@given(durations, configs, st.integers(1, 4), st.integers(0, 9))
def test_ranks_share_one_sequence(seconds: list[float], config: BatchConfig, world_size: int, seed: int) -> None:
    utterances = _utterances(seconds)
    alone = _take(SpeechBatches(utterances, config, seed), 5 * world_size)
    for rank in range(world_size):
        dealt = _take(SpeechBatches(utterances, config, seed, rank=rank, world_size=world_size), 5)
        assert dealt == alone[rank::world_size]


@settings(max_examples=25, deadline=None)
@given(durations, configs, st.integers(1, 3), st.integers(0, 12))
def test_a_loaded_place_gives_exactly_the_next_batch(
    seconds: list[float], config: BatchConfig, world_size: int, before: int
) -> None:
    utterances = _utterances(seconds)
    states = []
    for rank in range(world_size):
        whole = SpeechBatches(utterances, config, 3, rank=rank, world_size=world_size)
        steps = iter(whole)
        for _ in range(before):
            next(steps)
        states.append(whole.state_dict())
        after = _ids(list(itertools.islice(steps, 4)))
        resumed = SpeechBatches(utterances, config, 3, rank=rank, world_size=world_size)
        resumed.load_state_dict(states[-1])
        assert resumed.state_dict() == states[-1]
        assert _take(resumed, 4) == after
    assert all(state == states[0] for state in states)  # a place belongs to the run, not to a rank


def test_a_place_can_be_taken_up_by_another_number_of_ranks() -> None:
    alone = SpeechBatches(_many(), CONFIG)
    expected = _take(alone, 14)[8:]
    pair = SpeechBatches(_many(), CONFIG, rank=1, world_size=2)
    _take(pair, 4)
    for rank, world_size in itertools.chain([(0, 1)], ((r, 3) for r in range(3))):
        resumed = SpeechBatches(_many(), CONFIG, rank=rank, world_size=world_size)
        resumed.load_state_dict(pair.state_dict())
        assert _take(resumed, 2) == expected[rank : 2 * world_size : world_size]


def test_epochs_differ_and_repeat_by_seed() -> None:
    count = len(list(SpeechBatches(_many(), CONFIG, epochs=1)))
    two = list(SpeechBatches(_many(), CONFIG, epochs=2))
    first, second = _ids(two[:count]), _ids(two[count:])
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second))
    assert first[:10] != second[:10]
    lengths = [[round(max(u.duration for u in b)) for b in part[:10]] for part in (two[:count], two[count:])]
    assert lengths[0] != lengths[1]  # the order of the buckets differs too
    assert _take(SpeechBatches(_many(), CONFIG, 1), 5) != first[:5]
    assert _take(SpeechBatches(_many(), CONFIG, 0), 5) == first[:5]


def test_batches_hold_similar_durations() -> None:
    batches = list(SpeechBatches(_many(4000), BatchConfig(max_seconds=200.0), epochs=1))
    padded = sum(len(b) * max(u.duration for u in b) for b in batches)
    assert sum(u.duration for b in batches for u in b) / padded > 0.9
    assert padded / len(batches) > 160


def test_one_long_outlier_does_not_thin_the_batches_of_the_rest() -> None:
    utterances = [*_many(2000), *(_utterances([900.0])[:1])]
    utterances[-1] = Utterance(audio_filepath=Path("/long.wav"), duration=900.0, text="", id="long")
    batches = list(SpeechBatches(utterances, BatchConfig(max_seconds=120.0), epochs=1))
    assert ["long"] in _ids(batches)
    assert np.median([sum(u.duration for u in b) for b in batches]) > 95


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_last_step_of_a_finite_training_is_even(world_size: int) -> None:
    total = len(list(SpeechBatches(_many(), CONFIG, epochs=3)))
    parts = [list(SpeechBatches(_many(), CONFIG, 0, r, world_size, epochs=3)) for r in range(world_size)]
    assert [len(part) for part in parts] == [total // world_size] * world_size


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_an_evaluation_loses_nothing_on_any_number_of_ranks(world_size: int) -> None:
    still = BatchConfig(max_seconds=60.0, shuffle=False)
    parts = [list(SpeechBatches(_many(), still, 5, r, world_size, epochs=1)) for r in range(world_size)]
    assert Counter(u.id for part in parts for b in part for u in b) == Counter(u.id for u in _many())
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_finite_pass_can_be_repeated() -> None:
    batches = SpeechBatches(_many(60), BatchConfig(max_seconds=60.0, shuffle=False), epochs=1)
    first, second = _ids(list(batches)), _ids(list(batches))
    assert first == second
    finished = SpeechBatches(_many(60), BatchConfig(max_seconds=60.0, shuffle=False), epochs=1)
    finished.load_state_dict(batches.state_dict())
    assert list(finished) == []


def test_a_curriculum_begins_with_the_shortest_and_ends_with_all() -> None:
    utterances = _utterances([1.0 + 0.1 * ((7 * i) % 40) for i in range(40)])
    batches = SpeechBatches(utterances, BatchConfig(max_seconds=6.0, curriculum=0.25), seed=3)
    sizes = [sum(map(len, batches.epoch_batches(epoch))) for epoch in range(8)]
    assert sizes == [10, 13, 17, 22, 29, 38, 40, 40]
    first = {u.id for batch in batches.epoch_batches(0) for u in batch}
    assert first == {u.id for u in sorted(utterances, key=lambda u: u.duration)[:10]}
    assert [list(b) for b in batches.epoch_batches(1)] == [list(b) for b in batches.epoch_batches(1)]
    resumed = SpeechBatches(utterances, batches.config, seed=3)
    start = iter(batches)
    seen = [next(start) for _ in range(9)]
    resumed.load_state_dict(batches.state_dict())
    assert next(iter(resumed)) == next(start)
    assert len(seen) == 9


def test_misfits_are_listed() -> None:
    batches = SpeechBatches(_utterances([0.01, 5.0, 50.0]), BatchConfig(shortest=0.1, longest=20.0), epochs=1)
    assert _ids(list(batches)) == [["u1"]]
    assert [(u.id, reason) for u, reason in batches.left_out] == [
        ("u0", "its 0.01 s are less than the shortest allowed, 0.1 s"),
        ("u2", "its 50.00 s are more than the longest allowed, 20 s"),
    ]


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ManifestError, match="No utterance is left to batch: 1 were left out; the first: u0: its 50"):
        SpeechBatches(_utterances([50.0]), BatchConfig(longest=20.0))
    with pytest.raises(ManifestError, match="No utterance"):
        SpeechBatches([], BatchConfig())
    with pytest.raises(ManifestError, match="same id"):
        SpeechBatches(_utterances([1.0]) * 2, BatchConfig())
    with pytest.raises(ConfigError, match="rank"):
        SpeechBatches(_many(3), CONFIG, rank=2, world_size=2)
    with pytest.raises(ConfigError, match="epochs"):
        SpeechBatches(_many(3), CONFIG, epochs=0)
    for state in ({}, {"epoch": 1}, {"epoch": -1, "consumed": 0}, {"epoch": 0, "consumed": "1"}):
        with pytest.raises(TrainingError, match="place in the data"):
            SpeechBatches(_many(3), CONFIG).load_state_dict(state)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_seconds": 0.0},
        {"max_utterances": 0},
        {"buckets": 0},
        {"shortest": 5.0, "longest": 5.0},
        {"shortest": -1.0},
    ],
)
def test_settings_are_checked(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="batches: "):
        BatchConfig(**wrong)


def test_stable_seeds_are_stable() -> None:
    assert stable_seed(0, 1, "utterance") == 2332145060177945881
    assert len({stable_seed(s, e, f"u{i}") for s in range(10) for e in range(10) for i in range(100)}) == 10_000
    assert all(0 <= stable_seed(i) < 2**63 for i in range(1000))


def test_an_epoch_without_batches_is_an_error() -> None:
    batches = SpeechBatches(_many(3), CONFIG)
    batches._items = []
    with pytest.raises(DuolectError, match="nothing to batch"):
        next(iter(batches))
