import math

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import Timing, peak_memory_bytes, reset_peak_memory


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
