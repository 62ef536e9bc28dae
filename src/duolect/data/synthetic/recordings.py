"""Texts, spoken by the voices of their split in noise and rooms: audio files, and the utterances that describe them.

Every recording follows from the texts and the config alone, so the number of processes that make it does not matter.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import soundfile

from duolect.audio import SAMPLE_RATE, Voice
from duolect.data.manifest import Utterance
from duolect.data.synthetic.config import SpeakingConfig
from duolect.data.synthetic.folder import AUDIO, BABBLE, Progress
from duolect.data.synthetic.pool import Pool
from duolect.data.synthetic.sound import Scene, babble_track, draw_scene, record
from duolect.data.synthetic.voices import Speaker, Split, speakers
from duolect.errors import DuolectError

SPLITS: tuple[Split, ...] = get_args(Split)
_CHUNK = 20  # recordings a task: some 0.3 s of work
_TALKERS = 5


def record_texts(
    folder: Path,
    texts: Mapping[Split, Sequence[str]],
    config: SpeakingConfig,
    workers: int | None = None,
    progress: Progress | None = None,
    language: str = "en",
) -> dict[Split, list[Utterance]]:
    """Write folder/audio/SPLIT/*.wav (16 kHz, 16 bit), one for each text; the utterances of each split, in order.

    `fields` of an utterance say voice, noise and room. Raises DuolectError where the files cannot be written,
    ConfigError for a language that no voice speaks.
    """
    casts = {split: speakers(split, language) for split in SPLITS}
    recordings = {split: _recordings(split, casts[split], texts[split], config) for split in SPLITS}
    try:
        with Pool(workers) as pool:
            durations = _make_sound(folder, casts, recordings, config, pool, progress)
    except (OSError, soundfile.SoundFileError) as error:
        raise DuolectError(f"{folder}: the corpus could not be written ({error}).") from error
    return {split: list(_utterances(folder, language, recordings[split], durations[split])) for split in SPLITS}


def hours_of(utterances: Mapping[Split, Sequence[Utterance]]) -> dict[str, float]:
    """Hours of audio in each split."""
    return {split: round(sum(u.duration for u in found) / 3600, 4) for split, found in utterances.items()}


@dataclasses.dataclass(frozen=True)
class _Recording:
    """One utterance to be: its file below the folder, its speaker and scene."""

    file: str
    speaker: str
    scene: Scene


def _recordings(
    split: Split, cast: Sequence[Speaker], texts: Sequence[str], config: SpeakingConfig
) -> list[_Recording]:
    order = sorted(range(len(cast)), key=lambda i: random.Random(f"duolect/{config.seed}/{split}/cast/{i}").random())
    found = []
    for index, text in enumerate(texts):
        speaker = cast[order[index % len(cast)]]  # in turn: every speaker is heard, none more than once more
        rng = random.Random(f"duolect/{config.seed}/{split}/scene/{index}")
        scene = draw_scene(text, speaker.voice(rng), rng, config.sound)
        found.append(_Recording(f"{AUDIO}/{split}/{split}-{index:05d}.wav", speaker.name, scene))
    return found


def _utterances(
    folder: Path, language: str, recordings: Sequence[_Recording], durations: Sequence[float]
) -> Iterator[Utterance]:
    for recording, duration in zip(recordings, durations, strict=True):
        scene = recording.scene
        yield Utterance(
            audio_filepath=folder / recording.file,
            duration=duration,
            text=scene.text,
            speaker=recording.speaker,
            lang=language,
            id=Path(recording.file).stem,
            fields={
                "voice": scene.voice.full_name,
                "rate": scene.voice.rate,
                "pitch": scene.voice.pitch,
                "noise": scene.noise,
                "snr": scene.snr_db,
                "room": scene.rt60 or 0.0,
                "telephone": scene.band is not None,
                "level": -scene.level_db,
            },
        )


def _make_sound(
    folder: Path,
    casts: Mapping[Split, Sequence[Speaker]],
    recordings: Mapping[Split, Sequence[_Recording]],
    config: SpeakingConfig,
    pool: Pool,
    progress: Progress | None,
) -> dict[Split, list[float]]:
    """Write all audio files; durations in seconds, in the order of the recordings."""
    (folder / BABBLE).mkdir()
    texts = [recording.scene.text for recording in recordings["train"]]
    talk = [task for split in SPLITS for task in _babble_tasks(folder, split, casts[split], texts, config)]
    pool.map(_write_babble, talk)
    total = sum(len(found) for found in recordings.values())
    done = 0

    def report(part: list[float]) -> None:
        nonlocal done
        done += len(part)
        if progress is not None:
            progress(done, total)

    tasks, owners = [], []
    for split in SPLITS:
        (folder / AUDIO / split).mkdir(parents=True)
        tracks = [_track(folder, split, place) for place in range(config.babble_tracks)]
        for start in range(0, len(recordings[split]), _CHUNK):
            part = recordings[split][start : start + _CHUNK]
            tasks.append(([(folder / recording.file, recording.scene) for recording in part], tracks))
            owners.append(split)
    durations: dict[Split, list[float]] = {split: [] for split in SPLITS}
    for split, part in zip(owners, pool.map(_write_recordings, tasks, report), strict=True):
        durations[split] += part
    shutil.rmtree(folder / BABBLE)
    return durations


def _track(folder: Path, split: Split, place: int) -> Path:
    return folder / BABBLE / f"{split}-{place:02d}.npy"


def _babble_tasks(
    folder: Path, split: Split, cast: Sequence[Speaker], texts: Sequence[str], config: SpeakingConfig
) -> Iterator[tuple[Path, list[str], list[Voice], float]]:
    # The split's own voices, but sentences of training: what is said behind a test sentence is no test sentence.
    for place in range(config.babble_tracks):
        rng = random.Random(f"duolect/{config.seed}/{split}/babble/{place}")
        talkers = sorted(cast, key=lambda _: rng.random())[:_TALKERS]
        said = [texts[int(rng.random() * len(texts))] for _ in range(60)]
        yield _track(folder, split, place), said, [talker.voice(rng) for talker in talkers], config.babble_seconds


def _write_babble(task: tuple[Path, list[str], list[Voice], float]) -> None:
    path, texts, voices, seconds = task
    np.save(path, babble_track(texts, voices, seconds))


@lru_cache(maxsize=64)
def _read_babble(path: Path) -> np.ndarray:
    return np.load(path)


def _write_recordings(task: tuple[list[tuple[Path, Scene]], list[Path]]) -> list[float]:
    scenes, tracks = task
    babble = [_read_babble(path) for path in tracks]
    durations = []
    for path, scene in scenes:
        samples_N = record(scene, babble)
        soundfile.write(path, samples_N, SAMPLE_RATE, subtype="PCM_16")
        durations.append(len(samples_N) / SAMPLE_RATE)
    return durations
