"""Recordings of any length to transcripts: short ones in one piece, long ones in pieces while they are being read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch

from duolect.audio import SAMPLE_RATE, read_audio
from duolect.audio.blocks import sound_blocks, sound_seconds
from duolect.audio.segments import Piece, SegmentConfig, cut, hears_nothing, whole_parts
from duolect.errors import AudioError, ConfigError
from duolect.systems.arrays import Audio
from duolect.systems.batches import SHORTEST_SECONDS, Source, audio_source, plan
from duolect.systems.components import Component
from duolect.systems.config import SearchConfig
from duolect.systems.languages import with_languages
from duolect.systems.recognition import Decode, Run, run_batches
from duolect.systems.recognizer import recognize_batch
from duolect.systems.recordings.gaps import gap_finder
from duolect.systems.recordings.joining import join
from duolect.systems.recordings.transcript import Segment, Transcript
from duolect.systems.recordings.words import find_listener, recognize_with_words
from duolect.systems.rows import Candidate, TimedWord
from duolect.text.spacing import join_parts

SEGMENT_SECONDS = 30.0
"""The longest that a recording is cut into, unless another length is asked for, the models were trained on less or have
no room for it."""

_WHOLE_SECONDS = 10.0  # a recording of so much stays whole all the same
_LEAST_SECONDS = 5.0  # however short what a model was trained on: sentences have a length of their own

_GROUP_SECONDS = 300.0  # of pieces in memory, from which batches are made

Progress = Callable[[int, int], None]
"""Called with (seconds done, seconds in all)."""


@dataclass(frozen=True, kw_only=True)
class TranscribeConfig:
    """How recordings are transcribed.

    `segment_seconds`: what lasts longer is cut into pieces of at most so much. None: what the models were trained on
    and have room for, from 5 to 30 s (30 where that is not known); up to 10 s recordings stay whole all the same.
    `keep_silence`: the models hear the silence, too, that between pieces and that of recordings in which nothing is
    said. `words`: when each word was said. `nbest`: all
    hypotheses. `batch_seconds`: audio recognised at once, padding included.
    """

    batch_seconds: float = 60.0
    segment_seconds: float | None = None
    keep_silence: bool = False
    words: bool = False
    nbest: bool = False

    def __post_init__(self) -> None:
        if not self.batch_seconds >= 0:
            raise ConfigError(f"batch_seconds must be at least 0, not {self.batch_seconds}.")
        if self.segment_seconds is not None and not self.segment_seconds >= 1:
            raise ConfigError(f"segment_seconds must be at least 1, not {self.segment_seconds}.")


@dataclass
class Transcriber:
    """A system's models and search, ready for recordings one after the other."""

    parts: Mapping[str, Component]
    search: SearchConfig
    device: torch.device
    config: TranscribeConfig
    target_language: str | None = None

    def __post_init__(self) -> None:
        self.listener = find_listener(self.parts, self.search)
        room = min(self.parts[name].longest_seconds for name in self.search.parts())
        asked = self.config.segment_seconds
        trained = [s for name in self.search.parts() if (s := self.parts[name].trained_seconds) is not None]
        usual = min(SEGMENT_SECONDS, max(_LEAST_SECONDS, min(trained, default=SEGMENT_SECONDS)))
        self.longest = min(usual if asked is None else asked, room)
        whole = self.longest if asked is not None else min(max(self.longest, _WHOLE_SECONDS), room)
        # In samples at 16 kHz: a file of less, at another rate, has no more than these when it is read.
        self.whole = whole_parts(whole, SAMPLE_RATE) / SAMPLE_RATE if math.isfinite(whole) else whole
        if self.longest < 1:
            raise ConfigError(
                f"the models have room for {room:.2f} s of audio, less than the second a piece must have."
            )

    def transcribe(self, audio: Sequence[Audio], progress: Progress | None = None) -> list[Transcript]:
        """A transcript for each recording, in the same order."""
        short: list[Source] = []
        long: list[Source] = []
        transcripts: dict[int, Transcript] = {}
        for i, item in enumerate(audio):
            try:
                source = recording_source(i, item, self.whole)
            except AudioError as error:
                transcripts[i] = Transcript(Path(item).stem if _is_file(item) else f"array-{i}", "", error=str(error))
            else:
                (long if source.seconds > self.whole else short).append(source)
        self._told([*short, *long])  # an unknown language is said before any work is done
        clock = _Clock(sum(source.seconds for source in (*short, *long)), progress)
        transcripts |= self._short(self._told(short), clock)
        for source in long:
            item = audio[source.index]
            blocks = sound_blocks(item) if _is_file(item) else _sliced(source.read())
            transcripts[source.index] = self._long(source.id, blocks, clock)
        return [transcripts[i] for i in range(len(audio))]

    def _told(self, sources: Sequence[Source]) -> list[Source]:
        """The sources with the language to write."""
        told, _ = with_languages(self.parts, self.search, sources, [None] * len(sources), self.target_language)
        return told

    def _run(self, sources: Sequence[Source], clock: _Clock, timed: bool) -> Run:
        decode: Decode = recognize_batch
        if timed and self.listener is not None:
            decode = partial(recognize_with_words, listener=self.listener)
        return run_batches(
            self.parts,
            self.search,
            sources,
            batch_seconds=self.config.batch_seconds,
            max_seconds=self.whole,
            device=self.device,
            progress=clock.over(plan(sources, self.config.batch_seconds)),
            decode=decode,
        )

    def _short(self, sources: Sequence[Source], clock: _Clock) -> dict[int, Transcript]:
        silent: dict[int, float] = {}
        heard = sources if self.config.keep_silence else [_unless_silent(source, silent) for source in sources]
        run = self._run(heard, clock, self.config.words)
        clock.add(sum(source.seconds for source in sources))
        found = {i: Transcript(source.id, "", error=reason) for i, (source, reason) in run.bad.items()}
        for i, seconds in silent.items():
            found[i] = Transcript(found[i].id, "", flags=("no_speech",), duration=seconds)
        for source in sources:
            if source.index not in run.candidates:
                continue
            candidates, seconds = run.candidates[source.index], run.seconds[source.index]
            best = candidates[0]
            segment = self._segment(0.0, seconds, candidates)
            found[source.index] = Transcript(
                source.id,
                best.text,
                best.score,
                best.terms,
                segment.flags,
                seconds,
                segment.nbest,
                segments=(segment,),
            )
        return found

    def _segment(self, start: float, end: float, candidates: Sequence[Candidate]) -> Segment:
        best, flags = candidates[0], candidates[0].flags
        if self.config.words and best.words is None:
            flags = (*flags, "no_word_times")
        words = tuple(_shifted(word, start) for word in best.words or ())
        nbest = tuple(candidates) if self.config.nbest else ()
        return Segment(start, end, best.text, words, best.score, best.terms, flags, nbest)

    def _long(self, name: str, sound: Iterator[np.ndarray], clock: _Clock) -> Transcript:
        """Cut while it is read, and recognised in groups of pieces, so that no more of it is ever in memory."""
        blocks = _Counted(sound)
        settings = SegmentConfig(longest=self.longest, keep_silence=self.config.keep_silence)
        find_gap = None if self.listener is None else gap_finder(self.listener, self.device)
        segments: list[Segment] = []
        failed: list[_Failed] = []
        group: list[Piece] = []
        ending: list[str] = []
        before = clock.seconds
        try:
            for piece in cut(blocks, settings, find_gap):
                group.append(piece)
                if sum(len(each.samples) for each in group) >= _GROUP_SECONDS * SAMPLE_RATE:
                    segments += self._pieces(name, group, failed)
                    clock.reach(before + group[-1].end / SAMPLE_RATE)
                    group = []
        except AudioError as error:
            ending = [str(error)]
        segments += self._pieces(name, group, failed) if group else []
        errors = [f"{name}: {each.sentence}" for each in failed] + ending
        heard, segments = bool(segments), join(segments)
        seconds = blocks.samples / SAMPLE_RATE
        clock.reach(before + seconds)
        if not self.config.words:
            segments = [dataclasses.replace(segment, words=()) for segment in segments]
        flags = tuple(dict.fromkeys(flag for segment in segments for flag in segment.flags))
        if not heard and not errors:
            flags = ("no_speech",)
        return Transcript(
            name,
            join_parts(segment.text for segment in segments),
            flags=flags,
            duration=seconds if seconds else None,
            error="; ".join(errors).replace(".; ", "; ") or None,
            segments=tuple(segments),
            missing=tuple((each.start, each.end) for each in failed),
        )

    def _pieces(self, name: str, pieces: Sequence[Piece], failed: list[_Failed]) -> list[Segment]:
        sources = self._told(
            [
                Source(
                    i,
                    f"{name} at {piece.begin / SAMPLE_RATE:.2f} s",
                    name,
                    len(piece.samples) / SAMPLE_RATE,
                    partial(_samples, piece),
                )
                for i, piece in enumerate(pieces)
            ]
        )
        # Overlapping pieces are joined by the times of their words.
        run = self._run(sources, _Clock(0.0, None), self.config.words or any(piece.overlap for piece in pieces))
        failed += [_Failed(pieces[i], reason) for i, (_, reason) in sorted(run.bad.items())]
        return [
            self._segment(piece.begin / SAMPLE_RATE, piece.end / SAMPLE_RATE, run.candidates[i])
            for i, piece in enumerate(pieces)
            if i in run.candidates
        ]


@dataclass(frozen=True)
class _Failed:
    """A piece that could not be recognised, and why."""

    piece: Piece
    reason: str

    @property
    def start(self) -> float:
        return self.piece.begin / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.piece.end / SAMPLE_RATE

    @property
    def sentence(self) -> str:
        return f"from {self.start:.2f} to {self.end:.2f} s nothing is recognised ({self.reason.removesuffix('.')})."


class _Clock:
    """Seconds of audio that are done, told to `progress`."""

    def __init__(self, total: float, progress: Progress | None) -> None:
        self.total, self.progress, self.seconds = total, progress, 0.0

    def reach(self, seconds: float) -> None:
        self.seconds = seconds
        if self.progress is not None:
            self.progress(min(round(seconds), round(self.total)), round(self.total))

    def add(self, seconds: float) -> None:
        self.reach(self.seconds + seconds)

    def over(self, batches: Sequence[Sequence[Source]]) -> Progress | None:
        """What counts utterances in the order of `batches`."""
        if self.progress is None:
            return None
        before, ends = self.seconds, [0.0, *np.cumsum([s.seconds for batch in batches for s in batch]).tolist()]

        def tell(done: int, _: int) -> None:
            self.reach(before + ends[done])
            self.seconds = before

        return tell


class _Counted:
    """Blocks, and how many samples they had."""

    def __init__(self, blocks: Iterator[np.ndarray]) -> None:
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks:
            self.samples += len(block)
            yield block


def recording_source(index: int, audio: Audio, longest: float) -> Source:
    """The source of a recording. One of more than `longest` seconds may be truncated or damaged: what can be read of it
    will be. Raises AudioError where it cannot be opened."""
    if isinstance(audio, str | Path) and (seconds := sound_seconds(audio)) > longest:
        return Source(index, Path(audio).stem, str(audio), seconds, partial(read_audio, audio))
    return audio_source(index, audio)


def _unless_silent(source: Source, silent: dict[int, float]) -> Source:
    """The source, but where nothing is heard in it, its seconds go into `silent`, and it cannot be read."""

    def read() -> np.ndarray:
        samples = source.read()
        if len(samples) >= SHORTEST_SECONDS * SAMPLE_RATE and hears_nothing(samples):
            silent[source.index] = len(samples) / SAMPLE_RATE
            raise AudioError(f"{source.file}: nothing is said in it.")
        return samples

    return dataclasses.replace(source, read=read)


def _is_file(audio: Audio) -> TypeGuard[str | Path]:
    return isinstance(audio, str | Path)


def _sliced(samples: np.ndarray) -> Iterator[np.ndarray]:
    step = 30 * SAMPLE_RATE
    yield from (samples[at : at + step] for at in range(0, len(samples), step))


def _samples(piece: Piece) -> np.ndarray:
    return piece.samples


def _shifted(word: TimedWord, seconds: float) -> TimedWord:
    return dataclasses.replace(word, start=word.start + seconds, end=word.end + seconds) if seconds else word
