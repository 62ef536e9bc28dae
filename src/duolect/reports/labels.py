"""Where the names of points go, so that they cover neither each other nor the points (greedy, then a few repairs)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_RADII = (7.0, 13.0, 21.0, 31.0, 43.0, 58.0, 76.0)
_DIRECTIONS = 16
_ROUNDS = 4


@dataclass(frozen=True)
class Box:
    """A rectangle in points, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The common area."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide * high if wide > 0 and high > 0 else 0.0

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], obstacles: Sequence[Box], bounds: Box
) -> list[Box]:
    """A box for each label near its point.

    points (x, y), sizes (width, height), obstacles (points, bars: each may be touched only where there is no other
    way) and bounds are in points. Deterministic: the first best of the same candidates, in the order given.
    """
    candidates = [_candidates(point, size) for point, size in zip(points, sizes, strict=True)]
    placed: list[Box | None] = [None] * len(points)
    for _ in range(_ROUNDS):
        for n, options in enumerate(candidates):
            others = [box for m, box in enumerate(placed) if box is not None and m != n]
            placed[n] = min(options, key=lambda option: _cost(option, others, obstacles, bounds))[1]
    return [box for box in placed if box is not None]


def nearest(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """The point of a box's edge or inside that is nearest to `point`: where a line to the label ends."""
    return min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[tuple[float, Box]]:
    (x, y), (width, height) = point, size
    found = []
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            dx, dy = math.cos(angle), math.sin(angle)
            # The label's side that faces the point lies on the circle, so a long name is not pushed into it.
            left = x + radius * dx - width * (1 - dx) / 2
            bottom = y + radius * dy - height * (1 - dy) / 2
            found.append((radius + 2 * (1 - dx), Box(left, bottom, left + width, bottom + height)))
    return found


def _cost(option: tuple[float, Box], others: Sequence[Box], obstacles: Sequence[Box], bounds: Box) -> float:
    distance, box = option
    outside = box.area - box.overlap(bounds)
    # To touch at all costs something, so that a label rather moves on than grazes.
    on_labels = sum(20 + 6 * area for other in others if (area := box.overlap(other)))
    on_obstacles = sum(6 + 1.5 * area for obstacle in obstacles if (area := box.overlap(obstacle)))
    return distance + 10 * outside + on_labels + on_obstacles
