"""Learning-rate schedules: pure functions of the step, so that a resumed run needs to know nothing but its step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from duolect.training.config import require


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear:
    """Straight lines between points (fraction of the run, factor of the peak learning rate).

    The default is the papers' (arXiv 2603.15045): with a peak of 5e-4, from 5e-6 up to 5e-4 at 45 % of the run, down
    to 5e-6 at 90 % and to 5e-7 at its end.
    """

    kind: Literal["piecewise_linear"] = "piecewise_linear"
    points: tuple[tuple[float, float], ...] = ((0.0, 0.01), (0.45, 1.0), (0.9, 0.01), (1.0, 0.001))

    def __post_init__(self) -> None:
        places = [place for place, _ in self.points]
        require(len(self.points) >= 2, "schedule: points must hold two or more [fraction, factor] pairs.")
        require(
            places[0] == 0 and places[-1] == 1 and all(a < b for a, b in pairwise(places)),
            f"schedule: the fractions of points must rise from 0 to 1, not {places}.",
        )
        require(all(factor >= 0 for _, factor in self.points), "schedule: the factors of points must be 0 or more.")

    def factor(self, step: int, steps: int) -> float:
        """The factor of the peak learning rate used by step `step` (0-based) of `steps`; the end's beyond it."""
        place = min(step / steps, 1.0)
        for (left, low), (right, high) in pairwise(self.points):
            if place <= right:
                return low + (high - low) * (place - left) / (right - left)
        return self.points[-1][1]


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """A straight line up from 0 over the warm-up, then half a cosine down to `minimum` (a factor of the peak).

    `warmup` below 1 is a fraction of the run, else a number of steps. The first step already has one part of the
    warm-up, so that no step is spent at a learning rate of 0.
    """

    kind: Literal["warmup_cosine"] = "warmup_cosine"
    warmup: float = 0.1
    minimum: float = 0.0

    def __post_init__(self) -> None:
        require(self.warmup >= 0, f"schedule: warmup must be 0 or more, not {self.warmup}.")
        require(0 <= self.minimum <= 1, f"schedule: minimum must lie in [0, 1], not {self.minimum}.")

    def factor(self, step: int, steps: int) -> float:
        """The factor of the peak learning rate used by step `step` (0-based) of `steps`; `minimum` beyond the end."""
        warm = self.warmup * steps if self.warmup < 1 else self.warmup
        if step < warm:
            return min(1.0, (step + 1) / warm)
        place = min(1.0, (step - warm) / max(1.0, steps - warm))
        return self.minimum + (1 - self.minimum) * 0.5 * (1 + math.cos(math.pi * place))


@dataclass(frozen=True, kw_only=True)
class InverseSquareRoot:
    """A straight line up from 0 over the warm-up, then down with the square root of the steps taken.

    That of Vaswani et al. (2017), as in arXiv 2501.02370, whose warm-up has 25,000 steps. `warmup` below 1 is a
    fraction of the run, else a number of steps; its last step has the peak learning rate. Beyond the warm-up the factor
    does not depend on how long the run is.
    """

    kind: Literal["inverse_square_root"] = "inverse_square_root"
    warmup: float = 25_000.0

    def __post_init__(self) -> None:
        require(self.warmup >= 0, f"schedule: warmup must be 0 or more, not {self.warmup}.")

    def factor(self, step: int, steps: int) -> float:
        """The factor of the peak learning rate used by step `step` (0-based) of `steps`."""
        warm = max(1.0, self.warmup * steps if self.warmup < 1 else self.warmup)
        return min((step + 1) / warm, math.sqrt(warm / (step + 1)))


Schedule = PiecewiseLinear | WarmupCosine | InverseSquareRoot
