"""Forced alignment by CTC: the most probable path of frames that spells given labels (Viterbi).

Legend: T frames · W = V + 1 classes (blank last) · N labels · S = 2N + 1 states: blank, label 1, blank, …, label N,
blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import SearchError

_STAY, _STEP, _SKIP = 0, 1, 2


@dataclass(frozen=True)
class Alignment:
    """The best path: its log-probability, and for each label the frames begins_N … ends_N − 1 that it lies on, and the
    mean of its probabilities there."""

    score: float
    begins_N: np.ndarray
    ends_N: np.ndarray
    posteriors_N: np.ndarray


def align(log_probs_TW: np.ndarray, labels: Sequence[int]) -> Alignment | None:
    """The best path for `labels` through natural logarithms of frame posteriors, blank last, computed in float64.

    Every label lies on one frame or more in a row, and between two equal ones there is a blank (Graves et al. 2006). Of
    paths of the same probability the one that goes on earlier is taken. None where there is no path, as where there are
    too few frames. Raises SearchError for labels that are none, for NaN and +inf.
    """
    frames, width = log_probs_TW.shape
    labels_N = np.asarray(labels, dtype=np.int64)
    if len(labels_N) and not (labels_N.min() >= 0 and labels_N.max() < width - 1):
        raise SearchError(f"alignment: labels must be from 0 to {width - 2}, not {sorted(set(labels))}.")
    classes_S = np.full(2 * len(labels_N) + 1, width - 1)
    classes_S[1::2] = labels_N
    scores_TS = log_probs_TW[:, classes_S].astype(np.float64)
    if not (scores_TS < np.inf).all():  # NaN, too
        raise SearchError("alignment: the posteriors hold NaN or +inf.")
    if not frames:
        return None if len(labels_N) else Alignment(0.0, *(np.zeros(0, np.int64),) * 2, np.zeros(0))
    moves_TS, best_S = _forward(scores_TS, classes_S)
    states = len(classes_S)
    state = states - 1
    if states > 1 and best_S[-2] > best_S[-1]:
        state -= 1
    if best_S[state] == -np.inf:
        return None
    path_T = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path_T[t] = state
        state -= int(moves_TS[t, state])
    return _read(path_T, scores_TS, len(labels_N), float(best_S[path_T[-1]]))


def _forward(scores_TS: np.ndarray, classes_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By which move each state was best reached in each frame, and the best score of each state in the last."""
    frames, states = scores_TS.shape
    skips_S = np.zeros(states, bool)  # into a label from the one before, unless it is the same
    skips_S[3::2] = classes_S[3::2] != classes_S[1:-2:2]
    moves_TS = np.zeros((frames, states), np.int8)
    best_S = np.full(states, -np.inf)
    best_S[:2] = scores_TS[0, :2]
    ways_3S = np.full((3, states), -np.inf)
    for t in range(1, frames):
        ways_3S[_STAY] = best_S
        ways_3S[_STEP, 1:] = best_S[:-1]
        ways_3S[_SKIP, 2:] = np.where(skips_S[2:], best_S[:-2], -np.inf)
        moves_TS[t] = ways_3S.argmax(0)
        best_S = ways_3S.max(0) + scores_TS[t]
    return moves_TS, best_S


def _read(path_T: np.ndarray, scores_TS: np.ndarray, count: int, score: float) -> Alignment:
    states_N = 2 * np.arange(count) + 1
    begins_N, ends_N = np.searchsorted(path_T, states_N, "left"), np.searchsorted(path_T, states_N, "right")
    posteriors_T = np.exp(scores_TS[np.arange(len(path_T)), path_T])
    sums_T = np.concatenate([[0.0], np.cumsum(posteriors_T)])
    return Alignment(score, begins_N, ends_N, (sums_T[ends_N] - sums_T[begins_N]) / (ends_N - begins_N))
