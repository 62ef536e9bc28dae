"""Where a model hears nothing: the longest run of CTC blanks, at which speech without a pause can be parted."""

from __future__ import annotations

import numpy as np
import torch

from duolect.audio import SAMPLE_RATE
from duolect.audio.segments import FindGap
from duolect.systems.recordings.words import Listener

_SHORTEST_SECONDS = 0.3  # between the labels of a word blanks are common, but not that many
_BLANK = 0.5


def gap_finder(listener: Listener, device: torch.device) -> FindGap:
    """What finds the middle of the longest run of frames whose blank is more probable than all labels together.

    It looks between two samples of a stretch, and finds nothing where no run there lasts 0.3 s.
    """
    model = listener.part.model

    def find(samples: np.ndarray, low: int, high: int) -> int | None:
        with torch.inference_mode():
            heard = torch.from_numpy(samples)[None].to(device)
            encoded = model.encode(heard, torch.tensor([len(samples)], device=device))
            log_probs_BTW, lengths_B = model.ctc_log_probs(encoded, listener.layer)
            blank_T = log_probs_BTW[0, : int(lengths_B[0]), -1].exp().cpu().numpy() > _BLANK
        times_T = np.array([listener.seconds(t) for t in range(len(blank_T))])
        inside_T = blank_T & (times_T * SAMPLE_RATE >= low) & (times_T * SAMPLE_RATE <= high)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside_T.astype(np.int8), [0]])))
        begins, ends = edges[::2], edges[1::2]
        if not len(begins):
            return None
        run = int((ends - begins).argmax())
        if (ends - begins)[run] * model.seconds_per_frame < _SHORTEST_SECONDS:
            return None
        return round(listener.seconds((begins[run] + ends[run] - 1) / 2) * SAMPLE_RATE)

    return find
