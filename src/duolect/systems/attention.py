"""Where a system's model looks as it writes one recording's text: the weights, and what rows and keys stand for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from duolect.errors import AudioError, ConfigError, SystemFolderError
from duolect.models.attention import AttentionMap, attention_map, hear
from duolect.systems.arrays import Audio
from duolect.systems.batches import LONGEST_SECONDS, audio_source, read_batch
from duolect.systems.components import TITLES, Component, spelling_units
from duolect.systems.system import System
from duolect.text import Units

Listener = Literal["acoustic", "speech_llm"]
"""The components whose models attend to audio label by label."""

EOS, BOS = "EOS", "BOS"


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention maps of one recording, with the texts of their rows and keys.

    `rows`: of each label, and "EOS"; `keys`: of the keys of each part of `maps`, none for audio. "▁" stands for the
    space before a word. `edges_T1`: where audio positions begin and end, in seconds; `samples_N`: the sound at 16 kHz.
    `recognised`: whether `text` is the system's own, not one that was given.
    """

    id: str
    component: Listener
    maps: AttentionMap
    rows: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    edges_T1: np.ndarray
    samples_N: np.ndarray
    text: str
    recognised: bool

    def spread(self, most: int) -> Attention:
        """At most so many of the layers, evenly spread, the last among them."""
        layers = self.maps.layers
        most = min(most, len(layers))
        chosen = [round((n + 1) * len(layers) / most) - 1 for n in range(most)]
        weights_LHMK, layers = self.maps.weights_LHMK[chosen], tuple(layers[n] for n in chosen)
        maps = dataclasses.replace(self.maps, weights_LHMK=weights_LHMK, layers=layers)
        return dataclasses.replace(self, maps=maps)


def attend(
    system: System,
    audio: Audio,
    *,
    text: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    component: Listener | None = None,
    target_language: str | None = None,
    max_seconds: float = LONGEST_SECONDS,
) -> Attention:
    """Where a model of `system` looks as it writes the text of one recording (a file, or samples at 16 kHz).

    `text`: what is written; None: what the system recognises. `layers` and `heads` are as for `attention_map`.
    `component`: whose model (None: the speech LLM where there is one, else the acoustic model with its attention
    decoder). Raises AudioError for a recording that cannot be read, ConfigError for layers and heads that do not exist,
    SystemFolderError or ModelError where no model attends to audio.
    """
    name, part = _listener(system, component)
    source = audio_source(0, audio)
    recognised = text is None
    # All models that recognise it must have room for it, too: a map is of one piece.
    asked = system.search.parts() if recognised and system.search is not None else ()
    room = min([part.longest_seconds, *(system.parts[each].longest_seconds for each in asked)])
    batch, bad = read_batch([source], min(max_seconds, room))
    if batch is None:
        raise AudioError(bad[0][1])
    if text is None:
        text, labels = _recognised(system, part, batch.samples_BN[0], target_language)
    else:
        labels = tuple(part.units.encode(text))
    heard = hear(part.model, batch.samples_BN.to(system.device), batch.lengths_B.to(system.device))
    start, encoded = BOS, heard.encoded
    if part.tags:
        place = _place(part.tags, target_language)
        encoded = dataclasses.replace(encoded, tags_B=torch.tensor([place], device=system.device))
        start = part.tags[place] if name == "acoustic" else BOS
    maps = attention_map(part.model, encoded, labels, layers=layers, heads=heads)
    return Attention(
        id=source.id,
        component=name,
        maps=maps,
        rows=(*(label_text(part.units, label) for label in labels), EOS),
        keys=tuple(
            tuple(start if label < 0 else label_text(part.units, label) for label in each.labels) for each in maps.parts
        ),
        edges_T1=heard.edges_T1,
        samples_N=batch.samples_BN[0].numpy(),
        text=text,
        recognised=recognised,
    )


def label_text(units: Units, label: int) -> str:
    """A label as it can be shown alone: "▁the" where it begins a word, its number where it has no text."""
    text = units.decode([label]).strip()
    if units.starts_word(label):
        return f"▁{text}"
    return text or f"#{label}"


def _listener(system: System, component: Listener | None) -> tuple[Listener, Component]:
    wanted: tuple[Listener, ...] = ("speech_llm", "acoustic") if component is None else (component,)
    for name in wanted:
        if name in system.parts:
            return name, system.parts[name]
    missing = "no model that hears anything" if component is None else f"no component {component!r}"
    raise SystemFolderError(f"This system has {missing}, only {', '.join(TITLES[name] for name in system.parts)}.")


def _recognised(
    system: System, part: Component, samples_N: Tensor, target_language: str | None
) -> tuple[str, tuple[int, ...]]:
    """The system's text and the labels of `part` for it."""
    (found,) = system.transcribe(
        samples_N, nbest=True, segment_seconds=math.inf, keep_silence=True, target_language=target_language
    )
    if found.error is not None or system.search is None:
        raise AudioError(found.error or "Nothing was recognised.")
    if spelling_units(system.parts, system.search).fingerprint == part.units.fingerprint:
        return found.text, found.nbest[0].labels
    return found.text, tuple(part.units.encode(found.text))


def _place(tags: Sequence[str], asked: str | None) -> int:
    if asked is None and len(tags) == 1:
        return 0
    if asked not in tags:
        raise ConfigError(f"target language: expected one of {', '.join(tags)}, not {asked!r}.")
    return tags.index(asked)
