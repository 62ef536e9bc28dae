"""Speed and memory as they are reported: what was measured, over which region, and how it pools.

RTFx = seconds of audio / seconds of wall time (larger is faster). Over several runs it is pooled (sum over sum), as on
the Open ASR leaderboard, not a mean. A figure without its timed region cannot be compared, so the region is a field.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from duolect.errors import ScoringError

FEATURES_TO_TEXT = "features to text: samples in memory to hypotheses; reading and decoding audio files not included"
"""The timed region of the Open ASR leaderboard."""

FILES_TO_TEXT = "files to text: reading, decoding and resampling audio files included"

_STATUS = Path("/proc/self/status")
_PROCESSOR = Path("/proc/cpuinfo")
_CLEAR = Path("/proc/self/clear_refs")


@cache
def processor_name() -> str:
    """The processor as its maker calls it where the system tells, else its architecture.

    Neither speeds nor trainings are the same on two kinds: the last bits of sums depend on their instructions.
    """
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _PROCESSOR.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long recognising some audio took; `a + b` pools two runs of one region."""

    audio_seconds: float
    wall_seconds: float
    region: str
    """What the clock ran over, in words: "features to text, files decoded before, one warm-up batch"."""

    def __post_init__(self) -> None:
        for name in ("audio_seconds", "wall_seconds"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ScoringError(f"timing: {name} must be a number of seconds ≥ 0, not {value}.")

    @property
    def rtfx(self) -> float:
        """Audio seconds per wall second; nan when nothing was timed."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds > 0 else math.nan

    def __add__(self, other: Timing) -> Timing:
        if self.region != other.region:
            raise ScoringError(f"timings of {self.region!r} and {other.region!r} cannot be pooled.")
        return Timing(
            audio_seconds=self.audio_seconds + other.audio_seconds,
            wall_seconds=self.wall_seconds + other.wall_seconds,
            region=self.region,
        )


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long one utterance takes alone, from samples in memory to text: over `utterances`, after a warm-up.

    `median` and `p95` (95th percentile, interpolated linearly) are seconds; `median_of_duration` and `p95_of_duration`
    those of seconds per second of the utterance.
    """

    utterances: int
    audio_seconds: float
    median: float
    p95: float
    median_of_duration: float
    p95_of_duration: float

    @classmethod
    def of(cls, seconds: Sequence[float], durations: Sequence[float]) -> Latency:
        """Of utterances of `durations` seconds that took `seconds` each. Raises ScoringError where there is none, or
        one is not a positive number."""
        if not seconds or len(seconds) != len(durations):
            raise ScoringError(f"latency: {len(seconds)} times for {len(durations)} utterances.")
        if not all(0 < value < math.inf for value in (*seconds, *durations)):
            raise ScoringError("latency: times and durations must be numbers of seconds > 0.")
        taken, lasting = np.asarray(seconds, float), np.asarray(durations, float)
        median, p95 = np.percentile(taken, [50, 95]).tolist()
        median_of_duration, p95_of_duration = np.percentile(taken / lasting, [50, 95]).tolist()
        return cls(
            utterances=len(seconds),
            audio_seconds=float(lasting.sum()),
            median=median,
            p95=p95,
            median_of_duration=median_of_duration,
            p95_of_duration=p95_of_duration,
        )


def peak_memory_bytes() -> int:
    """The most memory this process has held resident (bytes), since its start or the last `reset_peak_memory`.

    Host memory only; that of an accelerator is measured where the accelerator is used.
    """
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # not on Windows, and only needed where there is no /proc

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory() -> bool:
    """Let the peak start anew at what is held now, so that systems run one after another are told apart.

    What is held but free goes back to the operating system first, where the C library can do that (glibc). False where
    the operating system cannot reset the peak (only Linux can): it then is the process's.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True
