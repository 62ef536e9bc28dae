"""From files or arrays to padded batches of samples: in order of duration, bad ones set aside with their reason.

B utterances · N samples
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duolect.audio import SAMPLE_RATE, audio_info, read_audio
from duolect.data import Utterance
from duolect.errors import AudioError
from duolect.systems.arrays import Audio, as_samples

SHORTEST_SECONDS = 0.025  # one analysis window: below it there is nothing to look at
LONGEST_SECONDS = 120.0  # self-attention grows with the square of the length


@dataclass(frozen=True)
class Source:
    """One utterance to recognise: its place in the input, what to call it, how long it claims to be, how to get it.

    `language`: what to write it in, where a model has to be told.
    """

    index: int
    id: str
    file: str
    seconds: float
    read: Callable[[], np.ndarray]
    language: str | None = None


@dataclass(frozen=True)
class AudioBatch:
    """Samples of several utterances, right-padded with zeros: samples_BN (float32), lengths_B."""

    sources: tuple[Source, ...]
    samples_BN: Tensor
    lengths_B: Tensor

    sample_rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Audio seconds, padding not counted."""
        return float(self.lengths_B.sum()) / self.sample_rate


def utterance_source(index: int, utterance: Utterance) -> Source:
    """The source of a manifest's utterance: its part of its file."""

    def read() -> np.ndarray:
        return read_audio(
            utterance.audio_filepath, sample_rate=SAMPLE_RATE, offset=utterance.offset, duration=utterance.duration
        )

    return Source(index, utterance.id, str(utterance.audio_filepath), utterance.duration, read)


def audio_source(index: int, audio: Audio) -> Source:
    """The source of a file, or of samples (see `as_samples`). Raises AudioError where it cannot be opened."""
    if isinstance(audio, str | Path):
        path = Path(audio)
        return Source(index, path.stem, str(path), audio_info(path).duration, lambda: read_audio(path))
    name = f"array-{index}"
    samples = as_samples(audio, name)
    return Source(index, name, name, len(samples) / SAMPLE_RATE, lambda: samples)


def plan(sources: Iterable[Source], batch_seconds: float, max_utterances: int = 64) -> list[list[Source]]:
    """Batches of utterances of like duration, longest first; padded, each holds at most `batch_seconds` (or one)."""
    batches: list[list[Source]] = []
    for source in sorted(sources, key=lambda s: (-s.seconds, s.index)):
        batch = batches[-1] if batches else None
        longest = batch[0].seconds if batch else 0.0
        if batch and len(batch) < max_utterances and (len(batch) + 1) * longest <= batch_seconds:
            batch.append(source)
        else:
            batches.append([source])
    return batches


def read_batch(
    sources: Sequence[Source], max_seconds: float = LONGEST_SECONDS
) -> tuple[AudioBatch | None, list[tuple[Source, str]]]:
    """Read the audio of `sources`: the batch of those that could be read (None: not one), the others with reasons."""
    kept: list[Source] = []
    arrays: list[np.ndarray] = []
    bad: list[tuple[Source, str]] = []
    for source in sources:
        try:
            samples = _checked(source, max_seconds)
        except AudioError as error:
            bad.append((source, str(error)))
            continue
        kept.append(source)
        arrays.append(samples)
    if not kept:
        return None, bad
    lengths_B = torch.tensor([len(a) for a in arrays])
    samples_BN = torch.zeros(len(arrays), int(lengths_B.max()))
    for row, samples in zip(samples_BN, arrays, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    return AudioBatch(tuple(kept), samples_BN, lengths_B), bad


def _checked(source: Source, max_seconds: float) -> np.ndarray:
    _check_length(source, source.seconds, max_seconds)  # before a recording of hours is decoded
    samples = source.read()
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        raise AudioError(
            f"{source.file}: has {len(samples)} samples at 16 kHz, but at least"
            f" {SHORTEST_SECONDS * 1000:.0f} ms are needed."
        )
    _check_length(source, seconds, max_seconds)
    return samples


def _check_length(source: Source, seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(
            f"{source.file}: {source.id} lasts {seconds:.1f} s, more than the {max_seconds:g} s that are recognised"
            " in one piece; `duolect transcribe` cuts long recordings at pauses."
        )
