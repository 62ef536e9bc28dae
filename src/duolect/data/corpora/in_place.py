"""Parquet files that stay where they are: utterances that point at their rows, FILE.parquet#ROW."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duolect.audio import audio_info
from duolect.audio.decoders import SoundBytes
from duolect.audio.parquet import address_suffix, one_line, sound_column
from duolect.data.corpora.base import UNKNOWN, Checkpoint, Entry
from duolect.data.corpora.columns import Columns, utterance_of
from duolect.data.corpora.tables import Table, open_table
from duolect.data.skips import Skipped
from duolect.errors import AudioError, ManifestError

NO_AUDIO = "no audio: the row has no sound"
_ROWS = 1024  # at once; words alone
_SOUNDS = 32  # at once; with their sound
_ROUNDING = 0.01  # seconds


def measure(sound: bytes, name: str) -> float | str:
    """The seconds of an encoded sound, or what is wrong with it."""
    try:
        return audio_info(SoundBytes(name, sound)).duration
    except AudioError as error:
        return f"cannot be read: {str(error).removeprefix(name).lstrip(': ').rstrip('.')}"


def rows_in_place(table: Table, columns: Columns, prefix: str, state: Any) -> Iterator[Entry]:
    """The rows of parquet files on this machine as utterances, from the place `state` ([file, row]) on.

    Sound is read only where the table does not tell how long it is, or is wrong about the first sounds of a file. A row
    without an id is called `prefix`-NUMBER, by its place in the table. Raises ManifestError naming the file that is
    damaged.
    """
    start_file, start_row = state or (0, 0)
    before = 0
    for number, name in enumerate(table.files):
        path = Path(name)
        with open_table(path) as opened:
            if number >= start_file:
                yield from _rows_of(
                    opened, path, columns, prefix, before, start_row if number == start_file else 0, number
                )
            before += opened.metadata.num_rows


def _rows_of(
    opened: Any, path: Path, columns: Columns, prefix: str, before: int, start: int, number: int
) -> Iterator[Entry]:
    import pyarrow as arrow

    part = _sound_leaf(path, opened.schema_arrow, columns.audio)
    suffix = address_suffix(path, opened.schema_arrow, columns.audio)
    measured = part is not None and not _tells_truly(opened, columns)
    first = 0
    for group in range(opened.num_row_groups):
        rows = opened.metadata.row_group(group).num_rows
        if first + rows <= start:
            first += rows
            continue
        listen = part is not None and (measured or _may_lack(opened, group, part))
        wanted = columns.words + ([columns.audio] if listen or part is None else [])
        try:
            for batch in opened.iter_batches(_SOUNDS if listen else _ROWS, row_groups=[group], columns=wanted):
                for at, row in enumerate(batch.to_pylist(), start=first):
                    if at >= start:
                        address = Path(f"{path}#{at}{suffix}")
                        yield _entry(row, columns, path, address, f"{prefix}-{before + at:09d}", listen or part is None)
                first += batch.num_rows
                yield Checkpoint([number, max(first, start)])
        except (OSError, arrow.ArrowException) as error:
            raise ManifestError(
                f"{path}: is damaged in row group {group} ({one_line(error)}); fetch it again, and give the same "
                "command again to go on."
            ) from error


def _entry(row: dict[str, Any], columns: Columns, path: Path, address: Path, fallback: str, listen: bool) -> Entry:
    record = columns.record(row, fallback)
    duration = record.get("duration", UNKNOWN)
    if not listen:
        return utterance_of(record, address, duration)
    sound, beside = sound_of(row[columns.audio])
    if sound is None and beside is not None:
        return utterance_of(record, path.parent / beside, UNKNOWN)
    if not sound:
        return Skipped(record["id"], str(address), NO_AUDIO)
    duration = measure(sound, str(address))
    if isinstance(duration, str):
        return Skipped(record["id"], str(address), duration)
    return utterance_of(record, address, duration)


def sound_of(value: Any) -> tuple[bytes | None, str | None]:
    """The encoded sound of a cell, and the path it has: of a struct, of bytes alone, or of a path alone."""
    if isinstance(value, dict):
        return value.get("bytes"), value.get("path")
    return (None, value) if isinstance(value, str) else (value, None)


def _sound_leaf(path: Path, schema: Any, column: str) -> str | None:
    """The name of the parquet column with the bytes; None where the column holds paths."""
    from pyarrow import types

    kind = schema.field(column).type
    return None if types.is_string(kind) or types.is_large_string(kind) else sound_column(path, schema, column)


def _tells_truly(opened: Any, columns: Columns) -> bool:
    """Whether a file tells to the hundredth how long its first sounds are: what is rounded more cuts their ends off."""
    import pyarrow as arrow

    if columns.duration is None:
        return False
    wanted = list(dict.fromkeys([columns.audio, columns.duration]))
    try:
        rows = next((batch.to_pylist() for batch in opened.iter_batches(_SOUNDS, columns=wanted)), [])
    except (OSError, arrow.ArrowException):
        return False  # said when it is the turn of that row group
    seen = False
    for row in rows:
        told, (sound, _) = columns.seconds(row), sound_of(row[columns.audio])
        length = measure(sound, "") if sound and told is not None else ""
        if not isinstance(length, str) and told is not None:
            seen = True
            if abs(length - told) > _ROUNDING:
                return False
    return seen


def _may_lack(opened: Any, group: int, part: str) -> bool:
    """Whether a row of a row group may have no sound, or an empty one, as far as its statistics tell.

    They hold the smallest value only where all are short: an empty one among long ones is found when it is read.
    """
    held = opened.metadata.row_group(group)
    for index in range(held.num_columns):
        column = held.column(index)
        if column.path_in_schema == part and column.is_stats_set:
            known = column.statistics
            empty = known.has_min_max and not known.min
            return empty or not (known.has_null_count and known.null_count == 0)
    return True
