import math

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import Latency, Timing, peak_memory_bytes, reset_peak_memory


def test_rtfx_is_pooled() -> None:
    a = Timing(audio_seconds=100, wall_seconds=1, region="search")
    b = Timing(audio_seconds=10, wall_seconds=9, region="search")
    assert a.rtfx == 100
    assert (a + b).rtfx == 11
    assert math.isnan(Timing(audio_seconds=1, wall_seconds=0, region="search").rtfx)


def test_different_regions_are_not_pooled() -> None:
    a = Timing(audio_seconds=1, wall_seconds=1, region="search")
    with pytest.raises(ScoringError, match="'search' and 'files to text' cannot be pooled"):
        a + Timing(audio_seconds=1, wall_seconds=1, region="files to text")


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_times_are_refused(value: float) -> None:
    with pytest.raises(ScoringError, match="wall_seconds must be a number of seconds"):
        Timing(audio_seconds=1, wall_seconds=value, region="x")


def test_the_peak_sees_memory_that_was_given_back() -> None:
    resettable = reset_peak_memory()
    before = peak_memory_bytes()
    assert before > 1 << 20
    block = np.ones(64 << 20, dtype=np.uint8)
    del block
    grown = peak_memory_bytes()
    if resettable:
        assert grown - before > 48 << 20
        assert reset_peak_memory()
        assert peak_memory_bytes() < grown
    else:
        assert grown >= before


def test_latency_is_of_each_utterance_alone() -> None:
    random = np.random.default_rng(4)
    seconds, durations = random.uniform(0.1, 2, 37), random.uniform(1, 9, 37)
    found = Latency.of(seconds.tolist(), durations.tolist())
    ordered, ratios = sorted(seconds), sorted(seconds / durations)
    # 36 gaps: the median is the 19th value, the 95th percentile lies at 34.2 gaps.
    assert found.median == pytest.approx(ordered[18])
    assert found.p95 == pytest.approx(0.8 * ordered[34] + 0.2 * ordered[35])
    assert found.median_of_duration == pytest.approx(ratios[18])
    assert found.p95_of_duration == pytest.approx(0.8 * ratios[34] + 0.2 * ratios[35])
    assert (found.utterances, found.audio_seconds) == (37, pytest.approx(durations.sum()))


@pytest.mark.parametrize(("seconds", "durations"), [([], []), ([1.0], []), ([0.0], [1.0]), ([1.0], [math.nan])])
def test_latency_of_nothing_is_refused(seconds: list[float], durations: list[float]) -> None:
    with pytest.raises(ScoringError, match="latency: "):
        Latency.of(seconds, durations)
