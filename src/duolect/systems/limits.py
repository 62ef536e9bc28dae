"""What no hypothesis of a first pass may have: ids that are no labels, and too many labels."""

from __future__ import annotations

import math

from duolect.audio import SAMPLE_RATE
from duolect.systems.context import Context
from duolect.text import Units


def forbidden(units: Units) -> list[int]:
    """Ids that are no labels; EOS is handled by the searches themselves."""
    return sorted(units.special_ids - {units.eos_id})


def label_limits(context: Context) -> list[int]:
    """The most labels of each utterance by the length of its audio; 2⁶²: no limit."""
    rate = context.search.max_labels_per_second
    if rate is None:
        return [1 << 62] * len(context.ids)
    return [math.ceil(samples / SAMPLE_RATE * rate) for samples in context.lengths_B.tolist()]
