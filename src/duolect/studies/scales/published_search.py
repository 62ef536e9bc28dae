"""The searches of arXiv 2603.15045 at the scale of the papers, as the authors' public recipes have them.

CTC is searched over frames with a beam of 64, alone, with an LM and with the attention decoder; alignments of the same
labels are joined by their maximum, and soft collapse makes the same of neighbouring frames. The speech LLM is searched
with CTC over labels with a beam of 4, which sees all labels, and soft collapse takes the mean; the attention decoder
alone has a beam of 12.
Only here: a frame tries no more than its 64 best labels, which loses nothing of CTC, since of the extensions of one
hypothesis no more than the beam can be kept. Which beam a delayed LM had where it is compared with a label-wise one is
not known: it has the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLLAPSE = {"loquacious": 0.8, "librispeech": 0.9}
"""Corpus → the probability from which on neighbouring frames of one label become one."""
OVER_FRAMES, OVER_LABELS, DECODER = 64, 4, 12


def _beam(size: int) -> dict[str, Any]:
    return {"beam": size, "nbest": size}


def published_searches(corpus: str) -> Mapping[str, Mapping[str, Any]]:
    """Method → the fields of its search (`systems.SearchConfig`) that are unlike the method's own."""
    frames = {
        **_beam(OVER_FRAMES),
        "labels_per_frame": OVER_FRAMES,
        "merge": "max",
        "exact_ctc": False,
        "collapse": COLLAPSE[corpus],
        "collapse_how": "max",
    }
    over_frames = (
        "ctc-beam",
        "ctc+attention-rescoring",
        "ctc+lm-rescoring",
        "ctc+lm-delayed",
        "ctc+lm-labelwise",
        "ctc+speech-llm-rescoring",
    )
    return {
        **dict.fromkeys(over_frames, frames),
        "attention": _beam(DECODER),
        "attention+ctc": {**frames, "first_pass": "frames", "candidates": None},
        "speech-llm+ctc": {**_beam(OVER_LABELS), "candidates": None, "collapse": COLLAPSE[corpus]},
    }
