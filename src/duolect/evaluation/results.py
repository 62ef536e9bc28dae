"""What a recognition run leaves on disk: `hyps.jsonl`, one utterance a line, and `hyps.run.json`, how it was made.

The lines are those of `rows` (docs/hypothesis-files.md).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, ScoringError
from duolect.evaluation.rows import HypothesisRow, kept_fields, line_of, read_rows
from duolect.evaluation.speed import FILES_TO_TEXT, Latency, Timing
from duolect.storage import atomic_file, read_json, write_json

_SUFFIXES = (".jsonl", ".json", ".ndjson", ".txt")


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An utterance that was not recognised, and why. Its reference, where known, lets it be scored as deleted, a
    chunk's as the `parent_id` of its recording says; its fields are those that a row of it would have."""

    id: str
    reason: str
    file: str | None = None
    reference: str | None = None
    parent_id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Speaker, languages and whatever else the manifest says; empty in files of before."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything that made a hypothesis file; what does not apply is None or empty."""

    system: str
    """Name or folder of the system."""
    config_hash: str | None = None
    method: str | None = None
    search: dict[str, Any] = field(default_factory=dict)
    """The search's whole configuration, scales included."""
    units: str | None = None
    normaliser: str | None = None
    """What was applied to the texts in the file; None: they are as the system wrote them."""
    target: Literal["text", "translation"] | None = None
    """What the hypotheses are, transcripts or translations, and so which metric is theirs; None: not stated."""
    manifest: str | None = None
    manifest_hash: str | None = None
    seed: int | None = None
    batch: str | None = None
    """The batch limit in words: "16 utterances" or "120 s of audio"."""
    beam: int | None = None
    pruning: str | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    region: str = ""
    """What the clock ran over, in words."""
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    wall_seconds_with_files: float | None = None
    """With reading, decoding and resampling the audio files added; see `timing_with_files`."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, each without those within it: they sum to `wall_seconds_with_files` (docs/cost.md)."""
    flops: dict[str, float] = field(default_factory=dict)
    """Floating-point operations per second of audio by stage: "encoder.acoustic", "rescoring/lm" …"""
    latency: Latency | None = None
    """One utterance at a time."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Weights by component, of those that the search asks."""
    host_memory: int | None = None
    """Peak resident bytes of the process."""
    device_memory: int | None = None
    """Peak bytes allocated on the accelerator."""
    statistics: dict[str, float] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    command: str | None = None
    date: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """16 hex digits of what determines the hypotheses: times, memory, command and date do not count, nor does what
        follows from the system."""
        left_out = {
            *("region", "audio_seconds", "wall_seconds", "host_memory", "device_memory", "statistics"),
            *("wall_seconds_with_files", "stages", "flops", "latency", "parameters"),
            *("skipped", "command", "date", "target"),
        }
        kept = {key: value for key, value in to_json(self).items() if key not in left_out}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def timing(self) -> Timing:
        """Seconds of audio and of wall time over the stated region."""
        return Timing(audio_seconds=self.audio_seconds, wall_seconds=self.wall_seconds, region=self.region)

    @property
    def timing_with_files(self) -> Timing | None:
        """The same from files to text; None where this was not timed."""
        seconds = self.wall_seconds_with_files
        if seconds is None:  # files of before had it here
            seconds = self.statistics.get("wall_seconds_with_files")
        if seconds is None:
            return None
        return Timing(audio_seconds=self.audio_seconds, wall_seconds=seconds, region=FILES_TO_TEXT)


def bare_name(path: str | os.PathLike[str]) -> str:
    """A hypothesis file's name without its suffix; what follows the last point of `test.clean` is none."""
    path = Path(path)
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def run_record_path(path: str | os.PathLike[str]) -> Path:
    """The sidecar beside a hypothesis file: `hyps.run.json` of `hyps.jsonl`, `test.clean.run.json` of `test.clean`."""
    return Path(path).with_name(f"{bare_name(path)}.run.json")


def _found_record_path(path: str | os.PathLike[str]) -> Path:
    """Where the sidecar is. Files of before have `test.run.json` beside `test.clean`; of files without a run, it is not
    known to be theirs."""
    sidecar, before = run_record_path(path), Path(path).with_suffix(".run.json")
    if sidecar == before or sidecar.exists() or not before.exists():
        return sidecar
    first = next(read_rows(path), None)
    return before if first is not None and first.run is not None else sidecar


def write_run(path: str | os.PathLike[str], rows: Iterable[HypothesisRow], record: RunRecord | None = None) -> None:
    """Write a hypothesis file and, when `record` is given, its sidecar; each appears whole or not at all.

    With a record, rows that carry no `run` get its hash. Fields named like what a line has itself get other names
    (`kept_fields`). Raises ScoringError for a row with a score that is not finite, DuolectError when the folder cannot
    be written.
    """
    stamp = record.hash if record is not None else None
    with atomic_file(path) as handle:
        for row in rows:
            handle.write(line_of(row, stamp) + "\n")
    if record is not None:
        skipped = tuple(dataclasses.replace(lost, fields=kept_fields(lost.fields)) for lost in record.skipped)
        write_json(run_record_path(path), to_json(dataclasses.replace(record, skipped=skipped)))


def read_run(path: str | os.PathLike[str]) -> tuple[list[HypothesisRow], RunRecord | None]:
    """All rows of a hypothesis file and its sidecar (None where there is none).

    Raises ScoringError for a damaged row or sidecar, naming file and line.
    """
    rows = list(read_rows(path))
    record = read_record(path)
    if record is None:
        return rows, None
    # A writer killed between the two files leaves new rows beside an old record.
    own = record.hash
    strange = next((row for row in rows if row.run is not None and row.run != own), None)
    if strange is not None:
        raise ScoringError(
            f"{path}: utterance {strange.id!r} is of run {strange.run}, but {_found_record_path(path)} is of"
            f" {record.hash}."
        )
    return rows, record


def read_record(path: str | os.PathLike[str]) -> RunRecord | None:
    """The sidecar of a hypothesis file; None where there is none. Raises ScoringError for a damaged one."""
    sidecar = _found_record_path(path)
    if not sidecar.exists():
        return None
    try:
        return from_json(RunRecord, read_json(sidecar), str(sidecar))
    except ConfigError as error:
        raise ScoringError(str(error)) from error
