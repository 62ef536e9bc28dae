"""The synthetic corpus: an English speech corpus with German translations and LM text, made on the spot.

    FOLDER/train.jsonl dev.jsonl test.jsonl     manifests
    FOLDER/lm.txt lm.de                         LM text, one sentence a line, and its translation line by line
    FOLDER/audio/{train,dev,test}/*.wav         16 kHz, 16 bit
    FOLDER/config.json                          written last: with it the corpus is complete

Every recording follows from the config alone, so the number of processes that make it does not matter.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import soundfile

from duolect.audio import SAMPLE_RATE, Voice
from duolect.configs import config_hash, to_json
from duolect.data.manifest import Utterance, write_manifest
from duolect.data.synthetic.config import Size, SyntheticConfig, synthetic_config
from duolect.data.synthetic.domains import DEV_ONLY, TEST_ONLY
from duolect.data.synthetic.grammar import Sentence
from duolect.data.synthetic.pool import Pool
from duolect.data.synthetic.sound import Scene, babble_track, draw_scene, record
from duolect.data.synthetic.text import draw_texts
from duolect.data.synthetic.voices import Split, speakers
from duolect.errors import ConfigError, DuolectError
from duolect.storage import atomic_file, read_json, write_json

Progress = Callable[[int, int], None]
SPLITS: tuple[Split, ...] = get_args(Split)
_CHUNK = 20  # recordings a task: some 0.3 s of work
_TALKERS = 5
_MARK, _STARTED, _BABBLE = "config.json", "unfinished.json", "babble"
_PARTS = ("train.jsonl", "dev.jsonl", "test.jsonl", "lm.txt", "lm.de")


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Where the parts of a corpus are: manifests, LM text and its German (line by line); hours of each split."""

    folder: Path
    train: Path
    dev: Path
    test: Path
    lm_text: Path
    translations: Path
    hours: dict[str, float]


def make_corpus(
    folder: str | os.PathLike[str],
    size: Size = "demo",
    seed: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
    *,
    config: SyntheticConfig | None = None,
) -> Corpus:
    """Make the corpus in `folder`, or find it there: a complete one of the same config is used as it is.

    `workers` processes share the work (default: one for each core); the bytes do not depend on it. `progress(done,
    total)` is called with numbers of recordings. `config` replaces the preset of `size` and `seed`.
    An unfinished corpus, or one of another config, is made anew. Raises DuolectError when the folder holds something
    else or cannot be written, ConfigError for an unknown size.
    """
    folder, config = Path(folder), config or synthetic_config(size, seed)
    if (done := _finished(folder, config)) is not None:
        return done
    _clear(folder, config)
    texts = draw_texts(config)
    recordings = {split: _recordings(split, getattr(texts, split), config) for split in SPLITS}
    try:
        with Pool(workers) as pool:
            durations = _make_sound(folder, recordings, config, pool, progress)
    except (OSError, soundfile.SoundFileError) as error:
        raise DuolectError(f"{folder}: the corpus could not be written ({error}).") from error
    for split in SPLITS:
        write_manifest(folder / f"{split}.jsonl", _utterances(folder, split, recordings[split], durations[split]))
    for name, lines in (("lm.txt", [s.text for s in texts.lm]), ("lm.de", [s.translation for s in texts.lm])):
        with atomic_file(folder / name) as handle:
            handle.writelines(line + "\n" for line in lines)
    hours: dict[str, float] = {split: round(sum(durations[split]) / 3600, 4) for split in SPLITS}
    os.sync()  # one flush for some thousand audio files; the mark below says that they are there
    write_json(folder / _MARK, {"hash": config_hash(config), "config": to_json(config), "hours": hours})
    (folder / _STARTED).unlink()
    return _corpus(folder, hours)


@dataclasses.dataclass(frozen=True)
class _Recording:
    """One utterance to be: its file below the folder, its sentence, speaker and scene."""

    file: str
    sentence: Sentence
    speaker: str
    scene: Scene


def _recordings(split: Split, sentences: Sequence[Sentence], config: SyntheticConfig) -> list[_Recording]:
    cast = speakers(split)
    order = sorted(range(len(cast)), key=lambda i: random.Random(f"duolect/{config.seed}/{split}/cast/{i}").random())
    found = []
    for index, sentence in enumerate(sentences):
        speaker = cast[order[index % len(cast)]]  # in turn: every speaker is heard, none more than once more
        rng = random.Random(f"duolect/{config.seed}/{split}/scene/{index}")
        scene = draw_scene(sentence.text, speaker.voice(rng), rng, config.sound)
        found.append(_Recording(f"audio/{split}/{split}-{index:05d}.wav", sentence, speaker.name, scene))
    return found


def _utterances(
    folder: Path, split: Split, recordings: Sequence[_Recording], durations: Sequence[float]
) -> Iterator[Utterance]:
    for recording, duration in zip(recordings, durations, strict=True):
        scene, sentence = recording.scene, recording.sentence
        yield Utterance(
            audio_filepath=folder / recording.file,
            duration=duration,
            text=sentence.text,
            speaker=recording.speaker,
            lang="en",
            translation=sentence.translation,
            target_lang="de",
            id=Path(recording.file).stem,
            fields={
                "domain": sentence.domain,
                "template": sentence.template,
                "seen_template": sentence.template not in TEST_ONLY | DEV_ONLY,
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
    recordings: dict[Split, list[_Recording]],
    config: SyntheticConfig,
    pool: Pool,
    progress: Progress | None,
) -> dict[Split, list[float]]:
    """Write all audio files; durations in seconds, in the order of the recordings."""
    (folder / _BABBLE).mkdir()
    pool.map(_write_babble, [task for split in SPLITS for task in _babble_tasks(folder, split, recordings, config)])
    total = sum(len(found) for found in recordings.values())
    done = 0

    def report(part: list[float]) -> None:
        nonlocal done
        done += len(part)
        if progress is not None:
            progress(done, total)

    tasks, owners = [], []
    for split in SPLITS:
        (folder / "audio" / split).mkdir(parents=True)
        tracks = [_track(folder, split, place) for place in range(config.babble_tracks)]
        for start in range(0, len(recordings[split]), _CHUNK):
            part = recordings[split][start : start + _CHUNK]
            tasks.append(([(folder / recording.file, recording.scene) for recording in part], tracks))
            owners.append(split)
    durations: dict[Split, list[float]] = {split: [] for split in SPLITS}
    for split, part in zip(owners, pool.map(_write_recordings, tasks, report), strict=True):
        durations[split] += part
    shutil.rmtree(folder / _BABBLE)
    return durations


def _track(folder: Path, split: Split, place: int) -> Path:
    return folder / _BABBLE / f"{split}-{place:02d}.npy"


def _babble_tasks(
    folder: Path, split: Split, recordings: dict[Split, list[_Recording]], config: SyntheticConfig
) -> Iterator[tuple[Path, list[str], list[Voice], float]]:
    # The split's own voices, but sentences of training: what is said behind a test sentence is no test sentence.
    for place in range(config.babble_tracks):
        rng = random.Random(f"duolect/{config.seed}/{split}/babble/{place}")
        cast = sorted(speakers(split), key=lambda _: rng.random())[:_TALKERS]
        texts = [recordings["train"][int(rng.random() * len(recordings["train"]))].sentence.text for _ in range(60)]
        yield _track(folder, split, place), texts, [speaker.voice(rng) for speaker in cast], config.babble_seconds


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


def _corpus(folder: Path, hours: dict[str, float]) -> Corpus:
    train, dev, test, lm_text, translations = (folder / name for name in _PARTS)
    return Corpus(folder, train, dev, test, lm_text, translations, hours)


def _finished(folder: Path, config: SyntheticConfig) -> Corpus | None:
    """The corpus that stands in `folder`, if it is a complete one of this config."""
    try:
        mark = read_json(folder / _MARK)
        if mark["hash"] == config_hash(config) and all((folder / name).is_file() for name in _PARTS):
            return _corpus(folder, {split: float(mark["hours"][split]) for split in SPLITS})
    except (ConfigError, OSError, KeyError, TypeError):
        pass  # not there, not ours or damaged: `_clear` tells which
    return None


def _clear(folder: Path, config: SyntheticConfig) -> None:
    """Make `folder` an empty one that is marked as unfinished; only what a corpus consists of is ever removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = (folder / _STARTED).exists() or _is_mark(folder / _MARK)
        if not ours and any(folder.iterdir()):
            raise DuolectError(f"{folder}: holds something that is no synthetic corpus; name a new or empty folder.")
        write_json(folder / _STARTED, {"hash": config_hash(config)})
        for name in (_MARK, *_PARTS):  # the mark first: from here on the old corpus is not complete
            (folder / name).unlink(missing_ok=True)
        for name in ("audio", _BABBLE):
            shutil.rmtree(folder / name, ignore_errors=True)
    except OSError as error:
        raise DuolectError(f"{folder}: the corpus could not be written ({error.strerror or error}).") from error


def _is_mark(path: Path) -> bool:
    try:
        mark = read_json(path)
    except (ConfigError, OSError):
        return False
    return isinstance(mark, dict) and {"hash", "config", "hours"} <= mark.keys()
