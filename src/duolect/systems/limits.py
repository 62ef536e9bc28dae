"""What no hypothesis of a first pass may have: ids that are no labels, and too many labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import ge

from duolect.audio import SAMPLE_RATE
from duolect.systems.config import OWNERS
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


def label_room(context: Context, term: str) -> list[float]:
    """The most labels of each utterance that the positions of the LLM behind a term leave, beside prompt, audio, BOS
    and EOS; infinite where there is no LLM, or it has no such limit."""
    owner = OWNERS.get(term)
    if owner is None:
        return [math.inf] * len(context.ids)
    component = context.parts[owner]
    room = component.positions - 2
    if term != "speech_llm" or math.isinf(room):
        return [room] * len(context.ids)
    model = component.model
    audio_B = context.encoded(owner).positions_B * model.interface.audio_positions
    return [max(room - model.prompts.longest - audio, 0) for audio in audio_B.tolist()]


def frame_limits(context: Context, terms: Iterable[str]) -> list[int] | None:
    """The most labels of each utterance in a search over frames, that its rate allows and the models of these terms
    have positions for; None where all have room for a label in each frame, which is the most there can be."""
    rooms = [label_room(context, term) for term in terms]
    if context.search.max_labels_per_second is not None:
        rooms.append([float(limit) for limit in label_limits(context)])
    least = [min(each) for each in zip(*rooms, strict=True)]
    frames = context.encoded(context.search.spelling).frames_B.tolist()
    return None if all(map(ge, least, frames)) else [int(room) for room in least]


def search_limits(context: Context) -> list[int]:
    """The most labels of each utterance in a search over labels: no more than there are frames, than its rate allows,
    and than the models inside have positions for."""
    search = context.search
    frames = context.encoded(search.spelling).frames_B.tolist()
    rooms = [label_room(context, term) for term in search.inside.active]
    return [int(min(each)) for each in zip(frames, label_limits(context), *rooms, strict=True)]
