"""When the words of a hypothesis were said: the forced alignment of its labels by a CTC head that can spell them.

B utterances · T frames · W = V + 1 classes (blank last) · N labels
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from duolect.audio import SAMPLE_RATE
from duolect.errors import UnitsError
from duolect.search import align
from duolect.systems.components import Component, spelling_units, written
from duolect.systems.config import SearchConfig
from duolect.systems.context import Context
from duolect.systems.recognizer import recognize_batch
from duolect.systems.rows import Candidate, TimedWord
from duolect.text import SoundUnits, Units, normalise


@dataclass(frozen=True)
class Listener:
    """The component whose CTC head says when words were said, and the layer of that head (None: the last)."""

    name: str
    part: Component
    layer: int | None

    def log_probs(self, context: Context) -> tuple[Tensor, Tensor]:
        """log p_BTW in float32, blank last, and lengths_B: one frame for each state of the encoder."""
        return self.part.model.ctc_log_probs(context.encoded(self.name), self.layer)

    def seconds(self, frame: float) -> float:
        """When the middle of a frame is heard; of half frames, when one frame ends and the next begins."""
        speech = self.part.model.speech
        return speech.first_centre + frame * speech.seconds_per_frame


def find_listener(parts: Mapping[str, Component], search: SearchConfig) -> Listener | None:
    """The CTC head to ask: that of the search, else of a model that it asks anyway, else of any; None: there is none.

    There is none for translations, since CTC hears what was said.
    """
    if written(parts, search) == "translation":
        return None
    used = search.parts()
    batched = all(parts[name].padding_safe for name in used)
    for name in dict.fromkeys([*([search.ctc] if search.ctc in used else []), *used, *parts]):
        part = parts[name]
        # A model that the search does not ask must bear the batches and lengths that suit the others.
        if part.has_ctc and (name in used or (part.longest_seconds == float("inf") and part.padding_safe >= batched)):
            compression = getattr(part.model.config, "compression", None)
            # Of merged frames nobody knows the times; the head that says which are merged still has them all.
            return Listener(name, part, None if compression is None else compression.layer)
    return None


def recognize_with_words(context: Context, listener: Listener) -> list[list[Candidate]]:
    """`recognize_batch`, but the best hypothesis of each utterance says when its words were said, where it can be told.

    Times are in seconds from the beginning of each utterance.
    """
    lists = recognize_batch(context)
    shared = spelling_units(context.parts, context.search).fingerprint == listener.part.ctc_or_units.fingerprint
    log_probs_BTW, lengths_B = listener.log_probs(context)
    rows = zip(lists, log_probs_BTW, lengths_B.tolist(), context.lengths_B.tolist(), strict=True)
    return [
        [dataclasses.replace(each[0], words=time_words(each[0], listener, log_TW[:frames], samples, shared)), *each[1:]]
        for each, log_TW, frames, samples in rows
    ]


def time_words(
    candidate: Candidate, listener: Listener, log_probs_TW: Tensor, samples: int, own_labels: bool = False
) -> tuple[TimedWord, ...] | None:
    """The words of a hypothesis with their times in an utterance of so many samples; None where it cannot be told.

    own_labels: whether those of the hypothesis are in the units of the listener. It cannot be told where its units
    cannot spell the text, not even as normalised words, or have fewer frames than it needs.
    """
    words = candidate.text.split()
    if not words:
        return ()
    units = listener.part.ctc_or_units
    spelled = _spell(words, units, candidate.labels if own_labels else None)
    if spelled is None:
        return None
    labels_N, word_N = spelled
    classes = sorted(set(labels_N))
    place = {label: i for i, label in enumerate(classes)}
    columns = torch.tensor([*classes, log_probs_TW.shape[1] - 1], device=log_probs_TW.device)
    found = align(log_probs_TW[:, columns].cpu().numpy(), [place[label] for label in labels_N])
    if found is None:
        return None
    end_of_sound = samples / SAMPLE_RATE
    timed = []
    for number, word in enumerate(words):
        own_M = np.flatnonzero(np.asarray(word_N) == number)
        first, last = found.begins_N[own_M[0]], found.ends_N[own_M[-1]]
        frames_M = (found.ends_N - found.begins_N)[own_M]
        start, end = (min(max(listener.seconds(edge - 0.5), 0.0), end_of_sound) for edge in (first, last))
        confidence = float((found.posteriors_N[own_M] * frames_M).sum() / frames_M.sum())
        timed.append(TimedWord(word, start, end, confidence))
    return tuple(timed)


def _spell(words: Sequence[str], units: Units, labels: Sequence[int] | None) -> tuple[list[int], list[int]] | None:
    """Labels, and for each the place of its word (−1: it stands between words); None where `units` cannot spell them.

    labels: those of a hypothesis, where they are in `units`; else, or where they do not fall into these words, the text
    is spelled, as it is or, where that fails, in its normalised form, in which a word may become several.
    """
    count = len(words)
    if labels is not None and (places := _places(labels, units)) is not None and max(places) + 1 == count:
        return list(labels), places
    plain = [normalise(word).split() for word in words]
    owner = [number for number, parts in enumerate(plain) for _ in parts]
    tries = [(" ".join(words), list(range(count)))]
    if len(set(owner)) == count:  # none is punctuation alone
        tries.append((" ".join(part for parts in plain for part in parts), owner))
    for text, owners in tries:
        try:
            ids = units.encode(text)
        except UnitsError:
            continue
        places = _places(ids, units)
        if places is not None and max(places) + 1 == len(owners):
            return ids, [owners[place] if place >= 0 else -1 for place in places]
    return None


def _places(labels: Sequence[int], units: Units) -> list[int] | None:
    """For each label the number of its word, −1 for what only parts words; None where a word has no other labels."""
    places, number, filled = [], 0, False
    sound = isinstance(units, SoundUnits)
    for label in labels:
        if units.starts_word(label):
            number, filled = number + filled, False
            if sound or not units.decode([label]).strip():
                places.append(-1)
                continue
        filled = True
        places.append(number)
    return places if any(place >= 0 for place in places) else None
