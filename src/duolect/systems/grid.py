"""The choice of scales from an n-best table alone: a grid, refined around its best point, minimum word errors.

No model runs here. Every hypothesis' number of word errors is counted once, beforehand; a grid point then costs one
product terms·scales, one arg-max per utterance and one sum.

U utterances · K hypotheses each (padded) · Q terms · G grid points · A axes
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import ConfigError

CHUNK = 4_000_000  # scores held at once
MOST_POINTS = 10_000  # points of one pass over the grid; more axes get fewer steps


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """`steps` values from 0 to `upper` per scale (fewer from the fourth scale on), then up to `refinements` grids of
    the same number of values around the best point, each ten times finer, for as long as the errors fall."""

    upper: float = 2.0
    steps: int = 21
    refinements: int = 10

    def __post_init__(self) -> None:
        if not (math.isfinite(self.upper) and self.upper > 0):
            raise ConfigError(f"grid: upper must be above 0, not {self.upper}.")
        if self.steps < 3 or self.steps % 2 == 0:
            raise ConfigError(f"grid: steps must be an odd number of at least 3, not {self.steps}.")
        if self.refinements < 0:
            raise ConfigError(f"grid: refinements must be at least 0, not {self.refinements}.")


@dataclass(frozen=True)
class TermTable:
    """All hypotheses of a development set, first-pass order kept within an utterance.

    `names`: the Q terms; `terms_UKQ`: natural logarithms, 0 where a term is missing; `valid_UK`; `errors_UK`: word
    errors against the reference; `lengths_UK`: labels, EOS counted; `words`: reference words of the whole set.
    """

    names: tuple[str, ...]
    terms_UKQ: np.ndarray
    valid_UK: np.ndarray
    errors_UK: np.ndarray
    lengths_UK: np.ndarray
    words: int

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        terms: Sequence[Sequence[Mapping[str, float]]],
        errors: Sequence[Sequence[int]],
        lengths: Sequence[Sequence[int]],
        words: int,
    ) -> TermTable:
        """From nested lists, outer by utterance, inner by hypothesis. `lengths` counts labels with EOS."""
        width = max(map(len, terms), default=0)
        shape = (len(terms), width)
        terms_UKQ = np.zeros((*shape, len(names)))
        valid_UK = np.zeros(shape, dtype=bool)
        errors_UK = np.zeros(shape, dtype=np.int64)
        lengths_UK = np.ones(shape, dtype=np.int64)
        for u, row in enumerate(terms):
            for k, values in enumerate(row):
                terms_UKQ[u, k] = [values.get(name, 0.0) for name in names]
            valid_UK[u, : len(row)] = True
            errors_UK[u, : len(row)] = errors[u]
            lengths_UK[u, : len(row)] = lengths[u]
        return cls(tuple(names), terms_UKQ, valid_UK, errors_UK, lengths_UK, words)

    def word_errors(self, scales_GQ: np.ndarray, length_exponent: float = 0.0) -> np.ndarray:
        """Word errors (G,) of the arg-max hypotheses under each row of signed scales (the prior's negative)."""
        if not self.errors_UK.size:
            return np.zeros(len(scales_GQ), dtype=np.int64)
        normal_UK1 = (self.lengths_UK.astype(float) ** length_exponent)[..., None]
        step = max(1, CHUNK // self.errors_UK.size)
        totals = []
        for start in range(0, len(scales_GQ), step):
            scores_UKG = self.terms_UKQ @ scales_GQ[start : start + step].T / normal_UK1
            scores_UKG[~self.valid_UK] = -np.inf
            best_UG = scores_UKG.argmax(axis=1)
            totals.append(np.take_along_axis(self.errors_UK, best_UG, axis=1).sum(axis=0))
        return np.concatenate(totals)

    @property
    def oracle_errors(self) -> int:
        """Word errors if the best hypothesis of each list were chosen."""
        if not self.errors_UK.size:
            return 0
        return int(np.where(self.valid_UK, self.errors_UK, np.iinfo(np.int64).max).min(axis=1).sum())


@dataclass(frozen=True)
class GridResult:
    """The best scales (the prior's positive), their word errors, whether one lies on the grid's upper edge (a wider
    grid may do better), the number of refinements that helped, and every point tried as (scales, errors)."""

    scales: dict[str, float]
    errors: int
    at_edge: bool
    refined: int
    tried: list[tuple[dict[str, float], int]]


def search_grid(
    table: TermTable,
    *,
    anchor: str,
    axes: Sequence[str],
    grid: GridConfig | None = None,
    length_exponent: float = 0.0,
    fixed: Mapping[str, float] | None = None,
) -> GridResult:
    """Scales with the fewest word errors; the `anchor` keeps 1, the `axes` move, the `fixed` ones stay (they are in the
    result, too), other terms of the table get 0.

    The axis of the prior is its scale relative to the LM's where both move. Equal errors are decided for the smaller
    scales (their sum, then axis by axis). Deterministic. Raises ConfigError for an axis that the table lacks.
    """
    grid = grid or GridConfig()
    kept = dict(fixed or {})
    for name in (anchor, *axes, *kept):
        if name not in table.names:
            raise ConfigError(f"tuning: the n-best table has no term {name!r}; it has {', '.join(table.names)}.")
    steps = grid.steps
    while steps > 3 and steps ** len(axes) > MOST_POINTS:
        steps -= 2
    tried: list[tuple[dict[str, float], int]] = []

    def evaluate(values: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
        points_GA = np.array(list(itertools.product(*values)), dtype=float)
        scales = [{**kept, **_scales(anchor, axes, point)} for point in points_GA]
        signed_GQ = np.array([[-s.get(n, 0.0) if n == "prior" else s.get(n, 0.0) for n in table.names] for s in scales])
        errors_G = table.word_errors(signed_GQ, length_exponent)
        tried.extend(zip(scales, errors_G.tolist(), strict=True))
        order = np.lexsort((*points_GA.T[::-1], points_GA.sum(axis=1).round(9), errors_G))
        return points_GA[order[0]], int(errors_G[order[0]])

    point, errors = evaluate([np.linspace(0.0, grid.upper, steps).round(9)] * len(axes))
    width, refined = grid.upper / (steps - 1), 0
    for _ in range(grid.refinements if axes else 0):
        around = [
            np.unique(np.linspace(max(0.0, v - width), min(grid.upper, v + width), steps).round(9)) for v in point
        ]
        finer, fewer = evaluate(around)
        if fewer >= errors:  # a plateau: stay where the coarser grid chose, rather than on the edge of an accident
            break
        point, errors, refined, width = finer, fewer, refined + 1, width * 2 / (steps - 1)
    at_edge = bool(len(point)) and bool(np.any(point >= grid.upper - 1e-9))
    return GridResult({**kept, **_scales(anchor, axes, point)}, errors, at_edge, refined, tried)


def _scales(anchor: str, axes: Sequence[str], point: np.ndarray) -> dict[str, float]:
    scales = {anchor: 1.0, **{name: float(value) for name, value in zip(axes, point, strict=True)}}
    if "prior" in axes and "lm" in axes:
        scales["prior"] = round(scales["prior"] * scales["lm"], 9)
    return scales
