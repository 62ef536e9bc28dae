"""A stress set on disk: sound without speech, and speech under strain, in one manifest.

FOLDER/stress.jsonl         the manifest; `condition` says what each recording is of, `sound` and `snr` tell more
FOLDER/audio/…/*.wav        16 kHz, 16 bit
FOLDER/skipped.jsonl        what could not be used, and why
FOLDER/config.json          written last: with it the set is complete
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from duolect.audio.files import SAMPLE_RATE, audio_info, write_audio
from duolect.data.manifest import Utterance, load_manifest, write_manifest
from duolect.data.nonspeech.config import StressConfig
from duolect.data.nonspeech.sounds import SOUNDS, make_sound
from duolect.data.nonspeech.strained import CLEAN, Strain, joined_text, plan, strained_samples
from duolect.data.skips import SkipLog, Skipped
from duolect.data.synthetic.folder import AUDIO, CorpusFolder, Progress
from duolect.data.synthetic.pool import Pool
from duolect.errors import AudioError, ConfigError, ManifestError
from duolect.storage import file_hash, files_below
from duolect.text.chunks import INDEX, is_whole_text, parent_of

_VERSION = 1  # changes when the same config gives other recordings than before
_MANIFEST, _SKIPPED = "stress.jsonl", "skipped.jsonl"
_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".m4a"}
_SPEECH = "speech"
_FIELDS = ("condition", "sound", "snr", "of", "source", "take")


@dataclasses.dataclass(frozen=True)
class StressSet:
    """Where the manifest is, the hours of each condition, and what was left out."""

    manifest: Path
    hours: dict[str, float]
    skipped: SkipLog


@dataclasses.dataclass(frozen=True)
class _Task:
    """One recording to be made: a sound of so many seconds, or speech under strain."""

    file: Path
    config: StressConfig
    kind: str = ""
    seconds: float = 0.0
    take: int = 0
    strain: Strain | None = None


def make_stress_set(
    folder: str | os.PathLike[str],
    config: StressConfig | None = None,
    *,
    speech: str | os.PathLike[str] | None = None,
    sounds: Sequence[str | os.PathLike[str]] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> StressSet:
    """Make a stress set in `folder`, or find it there complete.

    speech: a manifest, whose utterances are taken unchanged, with silence, in noise and joined to long recordings;
    chunks that have the text of their whole recording (fields `parent_id` and `chunk_index`) cannot be used.
    sounds: folders of sound files without speech, such as MUSAN's music and noise; they are read where they are, in
    pieces, with the condition FOLDER/SUBFOLDER, where as much of the path stands for FOLDER as tells them apart. What
    lies in a subfolder named "speech" is left out, as are files that cannot be read.
    The recordings depend on config, manifest and files alone, not on `workers`. Raises ConfigError or ManifestError for
    a folder of sounds or a manifest that is not there, and for a folder that is named twice, DuolectError where the
    folder holds something else.
    """
    config = config or StressConfig()
    utterances = load_manifest(speech) if speech is not None else []
    skipped = SkipLog(Skipped(u.id, str(u.audio_filepath), "has no text") for u in utterances if not u.text.strip())
    utterances = _with_own_texts([u for u in utterances if u.text.strip()], skipped)
    given = [entry for path, name in _named(sounds).items() for entry in _given(path, name, config, skipped)]
    made = {
        "version": _VERSION,
        "config": config,
        "speech": None if speech is None else [os.path.abspath(speech), file_hash(speech)],
        "sounds": [[str(u.audio_filepath), u.offset, u.duration] for u in given],
    }
    place = CorpusFolder(folder, made, (_MANIFEST, _SKIPPED))
    manifest = place.path / _MANIFEST
    hours = place.hours()
    if hours is not None:
        return StressSet(manifest, hours, SkipLog.read(place.path / _SKIPPED))
    clean, tasks = [], list(_sound_tasks(place.path, config))
    for number, strain in enumerate(plan(utterances, config) if utterances else ()):
        if strain.condition == CLEAN:
            clean.append(_described(strain.utterances[0], strain))
        else:
            name = strain.condition.replace(" ", "-")
            tasks.append(_Task(place.path / AUDIO / name / f"{number:06d}.wav", config, strain=strain))
    if not (tasks or clean or given):
        raise ManifestError(f"{place.path}: there is nothing to write; name a sound to make, a manifest or a folder.")
    place.clear()
    for parent in {task.file.parent for task in tasks}:
        parent.mkdir(parents=True, exist_ok=True)
    done = 0

    def report(_: object) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(tasks))

    with Pool(workers) as pool:
        results = pool.map(_make, tasks, report)
    skipped.extend(result for result in results if isinstance(result, Skipped))
    clean, results = _in_all_conditions(clean, tasks, results, skipped)
    rows = [*(result for result in results if isinstance(result, Utterance)), *given]
    rows = [row for row in rows if not row.text] + clean + [row for row in rows if row.text]
    write_manifest(manifest, rows)
    skipped.write(place.path / _SKIPPED)
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.fields["condition"]] = seconds.get(row.fields["condition"], 0.0) + row.duration
    hours = {condition: round(total / 3600, 4) for condition, total in seconds.items()}
    place.finish(hours)
    return StressSet(manifest, hours, skipped)


def _with_own_texts(utterances: Sequence[Utterance], skipped: SkipLog) -> list[Utterance]:
    """Without the chunks of recordings that have the whole recording's text: what is said in each is not known. The
    others are utterances like any other, and no chunks: several are made of each, which would be joined in scoring."""
    texts: dict[str, list[str]] = {}
    for utterance in utterances:
        if (parent := parent_of(utterance.fields)) is not None:
            texts.setdefault(parent, []).append(utterance.text)
    whole = {parent for parent, said in texts.items() if is_whole_text(said)}
    kept = []
    for utterance in utterances:
        parent = parent_of(utterance.fields)
        if parent in whole:
            reason = f"is a chunk with the text of its whole recording, {parent}"
            skipped.extend([Skipped(utterance.id, str(utterance.audio_filepath), reason)])
        else:
            fields = {key: value for key, value in utterance.fields.items() if key != INDEX}
            kept.append(dataclasses.replace(utterance, fields=fields))
    return kept


def _sound_tasks(folder: Path, config: StressConfig) -> Iterator[_Task]:
    for kind in config.kinds:
        for seconds in config.seconds:
            for take in range(config.takes):
                name = f"{kind}-{seconds:g}s-{take}.wav"
                yield _Task(folder / AUDIO / SOUNDS[kind].condition / name, config, kind, seconds, take)


def _make(task: _Task) -> Utterance | Skipped:
    if task.strain is None:
        samples_N = make_sound(task.kind, task.seconds, seed=task.config.seed, take=task.take)
        fields: dict[str, Any] = {"condition": SOUNDS[task.kind].condition, "sound": task.kind, "take": task.take}
        row = Utterance(audio_filepath=task.file, duration=1.0, text="", id=task.file.stem, fields=fields)
    else:
        try:
            samples_N = strained_samples(task.strain, task.config)
        except AudioError as error:
            return Skipped(task.strain.id, str(task.strain.utterances[0].audio_filepath), str(error))
        row = _described(_together(task.strain.utterances), task.strain)
    write_audio(task.file, samples_N)
    duration = len(samples_N) / SAMPLE_RATE
    return dataclasses.replace(row, audio_filepath=task.file, duration=duration, offset=0.0)


def _in_all_conditions(
    clean: list[Utterance], tasks: Sequence[_Task], results: Sequence[Utterance | Skipped], skipped: SkipLog
) -> tuple[list[Utterance], list[Utterance | Skipped]]:
    """Without the utterances that could not be used under one of the conditions that are to hold the same ones."""
    lost: dict[str, Skipped] = {}
    for task, result in zip(tasks, results, strict=True):
        if task.strain is not None and task.strain.single and isinstance(result, Skipped):
            lost.setdefault(task.strain.utterances[0].id, result)
    for row in clean:
        if row.id in lost:
            skipped.extend([dataclasses.replace(lost[row.id], id=row.id)])
    kept: list[Utterance | Skipped] = []
    for task, result in zip(tasks, results, strict=True):
        strain = task.strain
        if isinstance(result, Utterance) and strain and strain.single and strain.utterances[0].id in lost:
            skipped.extend([dataclasses.replace(lost[strain.utterances[0].id], id=strain.id)])
            task.file.unlink()
        else:
            kept.append(result)
    return [row for row in clean if row.id not in lost], kept


def _described(utterance: Utterance, strain: Strain) -> Utterance:
    given: Mapping[str, Any] = {"condition": strain.condition, "sound": strain.sound, "snr": strain.snr}
    fields = {key: value for key, value in utterance.fields.items() if key not in _FIELDS}
    fields |= {key: value for key, value in given.items() if value is not None}
    # The name of a block: what was made of one utterance under several conditions is not independent.
    fields["source"] = strain.utterances[0].id
    fields["of"] = [u.id for u in strain.utterances]
    return dataclasses.replace(utterance, id=strain.id, fields=fields)


def _together(utterances: Sequence[Utterance]) -> Utterance:
    """One utterance of several: what they all have in common, and their texts one after the other."""
    first = utterances[0]
    if len(utterances) == 1:
        return first
    text, translation = joined_text(utterances)

    def common(name: Literal["speaker", "lang", "target_lang"]) -> str | None:
        values = {getattr(utterance, name) for utterance in utterances}
        return values.pop() if len(values) == 1 else None

    return Utterance(
        audio_filepath=first.audio_filepath,
        duration=1.0,
        text=text,
        translation=translation,
        speaker=common("speaker"),
        lang=common("lang"),
        target_lang=common("target_lang"),
    )


def _named(folders: Sequence[str | os.PathLike[str]]) -> dict[Path, str]:
    """What folders of sounds are called: by their last name, or by so many that no two are called alike."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"{path}: is named twice among the folders of sounds.")
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(paths, names, strict=True))
    return {}


def _given(folder: Path, called: str, config: StressConfig, skipped: SkipLog) -> list[Utterance]:
    """The sound files of a user's folder, in pieces of at most `config.piece` seconds."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: is no folder of sounds.")
    files = sorted(path for path in files_below(folder) if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise ManifestError(f"{folder}: holds no sound file ({', '.join(sorted(_SUFFIXES))}).")
    found = []
    for path in files:
        parts = path.relative_to(folder).parts
        name = "/".join((called, *parts))
        if _SPEECH in (folder.name, *parts[:-1]):
            skipped.extend([Skipped(name, str(path), "lies in a folder named speech")])
            continue
        try:
            seconds = audio_info(path).duration
        except AudioError as error:
            skipped.extend([Skipped(name, str(path), str(error))])
            continue
        condition = "/".join((called, *parts[:-1][:1]))
        pieces = max(1, -(-int(seconds * 1000) // int(config.piece * 1000)))
        for number in range(pieces):
            found.append(
                Utterance(
                    audio_filepath=path,
                    offset=round(number * seconds / pieces, 3),
                    duration=round(seconds / pieces, 3) or seconds,
                    text="",
                    id=f"{name}#{number}",
                    fields={"condition": condition, "sound": path.stem},
                )
            )
    return found
