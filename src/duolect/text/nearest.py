"""The nearest of many short sequences by edit distance, all of one length compared at once.

Bit-parallel, after Myers (1999), "A fast bit-vector algorithm for approximate string matching based on dynamic
programming", in the form of Hyyrö (2003) for the distance of whole sequences.

n sequences of one length ℓ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LONGEST = 64
"""Of a sought sequence that is longer, only so many labels are compared."""

_ONE = np.uint64(1)


class NearestSequences:
    """Sequences of labels (ids from 0), in order of preference where two are equally near."""

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        """Raises ValueError where there are none."""
        self.sequences = [tuple(sequence) for sequence in sequences]
        if not self.sequences:
            raise ValueError("there must be at least one sequence to be near to")
        by_length: dict[int, list[int]] = {}
        for place, sequence in enumerate(self.sequences):
            by_length.setdefault(len(sequence), []).append(place)
        self._places = by_length
        self._columns = {
            length: np.array([self.sequences[place] for place in places], dtype=np.int32)
            .reshape(len(places), length)
            .T.copy()
            for length, places in by_length.items()
        }
        self._labels = 1 + max((label for sequence in self.sequences for label in sequence), default=-1)

    def nearest(self, sought: Sequence[int]) -> tuple[int, ...]:
        """The sequence of the smallest Levenshtein distance to `sought`; the first of those with the same."""
        sought = sought[:LONGEST]
        best = (len(sought) + max(self._places) + 1, 0)
        for length in sorted(self._places, key=lambda length: abs(length - len(sought))):
            if abs(length - len(sought)) > best[0]:
                break  # the difference in length is a lower bound
            distances_n = self._distances(sought, length)
            at = int(distances_n.argmin())
            best = min(best, (int(distances_n[at]), self._places[length][at]))
        return self.sequences[best[1]]

    def _distances(self, sought: Sequence[int], length: int) -> np.ndarray:
        """Levenshtein distances (n,) of `sought` to all sequences of one length."""
        columns_ln = self._columns[length]
        number = columns_ln.shape[1]
        if not sought:
            return np.full(number, length)
        where_V = np.zeros(self._labels, dtype=np.uint64)  # bit i: the label is the i-th of those sought
        for i, label in enumerate(sought):
            if label < self._labels:
                where_V[label] |= _ONE << np.uint64(i)
        last = np.uint64(len(sought) - 1)
        up_n = np.full(number, np.iinfo(np.uint64).max)  # where the table's column rises by one, and where it falls
        down_n = np.zeros(number, dtype=np.uint64)
        distances_n = np.full(number, len(sought))
        for labels_n in columns_ln:
            equal_n = where_V[labels_n]
            vertical_n = equal_n | down_n
            horizontal_n = (((equal_n & up_n) + up_n) ^ up_n) | equal_n
            rises_n = down_n | ~(horizontal_n | up_n)
            falls_n = up_n & horizontal_n
            distances_n += (rises_n >> last & _ONE).astype(np.int64) - (falls_n >> last & _ONE).astype(np.int64)
            rises_n = rises_n << _ONE | _ONE
            up_n = falls_n << _ONE | ~(vertical_n | rises_n)
            down_n = rises_n & vertical_n
        return distances_n
