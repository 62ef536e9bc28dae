"""What a recognition run leaves on disk: `hyps.jsonl`, one utterance a line, and `hyps.run.json`, how it was made.

A line of `hyps.jsonl`:
`{"id", "reference"?, "text", "score"?, "terms"?, "flags"?, "duration"?, "run"?, …}`; keys beyond these are kept
(docs/hypothesis-files.md).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, ScoringError
from duolect.evaluation.speed import FILES_TO_TEXT, Latency, Timing
from duolect.storage import atomic_file, finite_number, read_json, write_json

_KNOWN = ("id", "reference", "text", "score", "terms", "flags", "duration", "run")


@dataclass(frozen=True, kw_only=True)
class HypothesisRow:
    """One utterance's result. Texts are raw (not normalised); log scores are natural logarithms."""

    id: str
    text: str
    reference: str | None = None
    score: float | None = None
    """The search's combined score."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """Unweighted log probability per scorer."""
    flags: tuple[str, ...] = ()
    """What a reader must know of this hypothesis, such as "truncated"."""
    duration: float | None = None
    """Seconds of audio."""
    run: str | None = None
    """`RunRecord.hash` of the run that made it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """All further keys of the line."""


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


def run_record_path(path: str | os.PathLike[str]) -> Path:
    """The sidecar of a hypothesis file: `hyps.jsonl` → `hyps.run.json` beside it."""
    return Path(path).with_suffix(".run.json")


def write_run(path: str | os.PathLike[str], rows: Iterable[HypothesisRow], record: RunRecord | None = None) -> None:
    """Write a hypothesis file and, when `record` is given, its sidecar; each appears whole or not at all.

    With a record, rows that carry no `run` get its hash. Raises ScoringError for a row with a score that is not
    finite, DuolectError when the folder cannot be written.
    """
    stamp = record.hash if record is not None else None
    with atomic_file(path) as handle:
        for row in rows:
            handle.write(_to_line(row, stamp) + "\n")
    if record is not None:
        write_json(run_record_path(path), to_json(record))


def read_rows(path: str | os.PathLike[str]) -> Iterator[HypothesisRow]:
    """Read a hypothesis file lazily, line by line; blank lines are passed over, as is a byte order mark.

    Raises ScoringError "FILE:LINE: …" for what is not a row, and for an id that occurred before.
    """
    seen: dict[str, int] = {}
    for number, line in text_lines(path, "hypothesis file"):
        row = _from_line(line, f"{path}:{number}")
        if row.id in seen:
            raise ScoringError(f"{path}:{number}: the id {row.id!r} is already on line {seen[row.id]}.")
        seen[row.id] = number
        yield row
    if not seen:
        raise ScoringError(f"{path}: there is no hypothesis in this file.")


def text_lines(path: str | os.PathLike[str], what: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers (from 1), without a byte order mark.

    Raises ScoringError naming the file that cannot be read, with `what` it is, or file and line of what is not UTF-8.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115  (closed by the with below)
    except OSError as error:
        raise ScoringError(f"{path}: the {what} cannot be read ({error.strerror}).") from error
    with handle:
        for number, raw in enumerate(handle, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ScoringError(f"{path}:{number}: not UTF-8 text (byte {error.start + 1}).") from error
            if line.strip():
                yield number, line


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
            f"{path}: utterance {strange.id!r} is of run {strange.run}, but {run_record_path(path)} is of"
            f" {record.hash}."
        )
    return rows, record


def read_record(path: str | os.PathLike[str]) -> RunRecord | None:
    """The sidecar of a hypothesis file; None where there is none. Raises ScoringError for a damaged one."""
    sidecar = run_record_path(path)
    if not sidecar.exists():
        return None
    try:
        return from_json(RunRecord, read_json(sidecar), str(sidecar))
    except ConfigError as error:
        raise ScoringError(str(error)) from error


def _to_line(row: HypothesisRow, stamp: str | None) -> str:
    known = {
        "id": row.id,
        "reference": row.reference,
        "text": row.text,
        "score": row.score,
        "terms": dict(row.terms) or None,
        "flags": list(row.flags) or None,
        "duration": row.duration,
        "run": row.run or stamp,
    }
    line = {key: value for key, value in known.items() if value is not None}
    line |= {key: value for key, value in row.fields.items() if key not in _KNOWN}
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ScoringError(f"utterance {row.id!r}: a score or field is not a finite number.") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _from_line(line: str, where: str) -> HypothesisRow:
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        raise ScoringError(f"{where}: not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ScoringError(f"{where}: expected an object with at least id and text, found {type(value).__name__}.")
    for key in ("id", "text"):
        if not isinstance(value.get(key), str):
            found = "missing" if key not in value else f"{value[key]!r}"
            raise ScoringError(f"{where}: {key!r} must be a string; it is {found}.")
    reference, run = value.get("reference"), value.get("run")
    for key, text in (("reference", reference), ("run", run)):
        if text is not None and not isinstance(text, str):
            raise ScoringError(f"{where}: {key!r} must be a string; it is {text!r}.")
    terms, flags = value.get("terms") or {}, value.get("flags") or []
    if not isinstance(terms, dict):
        raise ScoringError(f"{where}: 'terms' must be an object of numbers; it is {terms!r}.")
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise ScoringError(f"{where}: 'flags' must be a list of strings; it is {flags!r}.")
    return HypothesisRow(
        id=value["id"],
        text=value["text"],
        reference=reference,
        score=_number(value.get("score"), f"{where}: 'score'"),
        terms={name: _number(term, f"{where}: the term {name!r}") or 0.0 for name, term in terms.items()},
        flags=tuple(flags),
        duration=_number(value.get("duration"), f"{where}: 'duration'"),
        run=run,
        fields={key: further for key, further in value.items() if key not in _KNOWN},
    )


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    number = finite_number(value)
    if number is None:
        raise ScoringError(f"{what} must be a finite number; it is {value!r:.60}.")
    return number
