"""Whether speeds and memory that were measured can be compared: nothing is called the best where they cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from duolect.reports.comparison import SystemResult


def timed(systems: Sequence[SystemResult]) -> list[SystemResult]:
    """Those whose speed is known."""
    return [s for s in systems if math.isfinite(s.timing.rtfx) and s.timing.rtfx > 0]


def incomparable(systems: Sequence[SystemResult]) -> str:
    """Why speeds cannot be compared, as for the ratios of `efficiency`; "" where they can."""
    for what, values in (
        ("the clock ran over different regions", {s.timing.region for s in systems}),
        ("they ran on different devices", {s.provenance.get("device") for s in systems}),
        ("they ran with different numbers of threads", {s.provenance.get("threads") for s in systems}),
    ):
        if len(values) > 1:
            return what
    return ""


def memory_alike(systems: Sequence[SystemResult]) -> bool:
    """Whether what is known of memory is of one side, the host's or the accelerator's."""
    return len({s.provenance.get("memory") for s in systems if s.peak_memory is not None}) <= 1
