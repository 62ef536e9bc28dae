"""The compiled search over frames: when it can stand in for the tensor one, and its call for a batch.

Legend: B utterances · T frames · V labels (EOS included) · W = V + 1 (blank last).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from duolect.search.result import Hypothesis


@functools.cache
def available() -> bool:
    """Whether Numba (the extra `fast`) is installed; it is imported only when a search needs it."""
    return importlib.util.find_spec("numba") is not None


def ctc_beams(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    *,
    beam: int,
    nbest: int,
    special: Sequence[int],
    labels_per_frame: int | None,
    take_max: bool,
    skip_blank: float | None,
    ctc_weight: float,
    name: str,
) -> list[list[Hypothesis]]:
    """What `frame_synchronous` finds without further scorers, on a CPU; its arguments are explained and checked there.

    special: labels that are never emitted. As many utterances are searched at the same time as torch has threads.
    """
    from duolect.search.ctc_kernel import search

    vocabulary = log_probs_BTW.shape[-1] - 1
    banned_V = np.zeros(vocabulary, np.bool_)
    banned_V[list(special)] = True
    candidates, wanted = min(labels_per_frame or vocabulary, vocabulary), min(nbest, beam)
    skip = float(np.float32(np.log(skip_blank))) if skip_blank is not None else np.inf
    frames_BTW = log_probs_BTW.detach().float().contiguous().numpy()

    def one(b: int, length: int) -> list[Hypothesis]:
        masses, ends, labels = search(frames_BTW[b, :length], banned_V, beam, candidates, wanted, take_max, skip)
        flat, bounds = tuple(labels.tolist()), [0, *ends.tolist()]
        flags = () if length else ("no_frames",)
        return [
            Hypothesis(labels=flat[begin:end], score=ctc_weight * mass, terms={name: mass}, flags=flags)
            for begin, end, mass in zip(bounds, bounds[1:], masses.tolist(), strict=False)
        ] or [Hypothesis(labels=(), score=-np.inf, terms={}, flags=(*flags, "unfinished"))]

    lengths, threads = lengths_B.tolist(), torch.get_num_threads()
    if threads == 1 or len(lengths) == 1:
        return [one(b, length) for b, length in enumerate(lengths)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(lengths)), lengths))
