"""References by enumeration, in float64. T frames · W = V + 1 classes (blank last) · P paths."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def all_sequences(labels: Sequence[int], longest: int) -> list[tuple[int, ...]]:
    """Every sequence of at most `longest` labels."""
    return [a for n in range(longest + 1) for a in itertools.product(labels, repeat=n)]


@functools.cache
def _paths(frames: int, width: int) -> tuple[Tensor, list[tuple[int, ...]], Tensor]:
    """All alignments (P, T), the label sequences they stand for, and which one each is (P,)."""
    places: dict[tuple[int, ...], int] = {}
    which = []
    paths = list(itertools.product(range(width), repeat=frames))
    for path in paths:
        labels = tuple(c for c, before in zip(path, (width - 1, *path), strict=False) if c not in (width - 1, before))
        which.append(places.setdefault(labels, len(places)))
    return torch.tensor(paths).reshape(len(paths), frames), list(places), torch.tensor(which)


def ctc_sums(log_probs_TW: Tensor) -> dict[tuple[int, ...], tuple[float, float]]:
    """Label sequence → (log of the sum over its alignments, log of its best alignment), by listing all of them."""
    frames, width = log_probs_TW.shape
    paths_PT, sequences, which_P = _paths(frames, width)
    scores_P = log_probs_TW.double()[torch.arange(frames), paths_PT].sum(1)
    sums = torch.zeros(len(sequences), dtype=torch.float64).index_add(0, which_P, scores_P.exp()).log()
    best = torch.full((len(sequences),), -torch.inf, dtype=torch.float64).scatter_reduce(0, which_P, scores_P, "amax")
    return dict(zip(sequences, zip(sums.tolist(), best.tolist(), strict=True), strict=True))


def random_posteriors(generator: torch.Generator, frames: int, width: int, sharpness: float = 2.0) -> Tensor:
    """(T, W) log-softmax of random logits; one in twenty labels has a probability of exactly zero."""
    logits = torch.randn(frames, width, generator=generator) * sharpness
    zero = torch.rand(frames, width, generator=generator) < 0.05
    zero[:, -1] = False
    return logits.masked_fill(zero, -torch.inf).log_softmax(-1)


def pad(parts: Sequence[Tensor], extra: int = 0, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """Posteriors of different length as (B, T, W), with `extra` frames of padding more, and the lengths."""
    lengths = torch.tensor([len(p) for p in parts])
    out = torch.full((len(parts), int(lengths.max()) + extra, parts[0].shape[1]), fill)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out, lengths
