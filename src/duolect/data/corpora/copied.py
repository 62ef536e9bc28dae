"""Rows that come one by one, from the hub or from files: their sound is copied into shards, as it was encoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from duolect.audio.parquet import one_line
from duolect.data.corpora.base import UNKNOWN, Checkpoint, Entry
from duolect.data.corpora.columns import Columns, utterance_of
from duolect.data.corpora.in_place import NO_AUDIO, measure, sound_of
from duolect.data.corpora.shard_writer import ShardWriter, shard_path, shard_schema
from duolect.data.corpora.tables import Table, is_network
from duolect.data.skips import Skipped
from duolect.errors import DuolectError, ManifestError

_AT_MOST = 2048  # entries between two checkpoints where no shard is being written


def rows_copied(
    table: Table,
    columns: Columns,
    state: Any,
    *,
    out: Path,
    name: str,
    shard_bytes: int,
    base: str = "",
    copy: bool = False,
) -> Iterator[Entry]:
    """The rows of a table as utterances, their sound in shards of about `shard_bytes` below `out`.

    Sound that is a file of this machine stays there, unless `copy`; `base` is put before paths that are relative. All
    sound is measured, whatever the table says of its seconds. Rows without an id are called `name`-NUMBER.

    The state is the place in the source and the number of the next shard: what comes after a whole shard is read once
    more, and its shard written anew. Raises ManifestError naming the file of the source that is damaged, DuolectError
    where the network fails.
    """
    before, shard, rows = 0, 0, table.open()
    if state is not None:
        before, shard = state["rows"], state["shard"]
        for earlier in range(shard):
            if not (path := shard_path(out, name, earlier)).exists():
                raise ManifestError(f"{path}: is gone since the import was interrupted; begin anew (--restart).")
        rows.load_state_dict(state["source"])
    waiting: list[Entry] = []
    with ShardWriter(out, name, shard_schema(columns.shard_columns()), shard_bytes=shard_bytes, first=shard) as writer:
        for number, row in enumerate(_guarded(table, rows, before), start=before + 1):
            waiting.append(_entry(row, columns, f"{name}-{number - 1:09d}", writer, base, table.where, copy))
            if writer.full or (not writer.rows and len(waiting) >= _AT_MOST):
                writer.close()
                yield from waiting
                waiting.clear()
                yield Checkpoint({"rows": number, "shard": writer.number, "source": rows.state_dict()})
        writer.close()
        yield from waiting


def _entry(
    row: dict[str, Any], columns: Columns, fallback: str, writer: ShardWriter, base: str, where: str, copy: bool
) -> Entry:
    record = columns.record(row, fallback)
    sound, path = sound_of(row[columns.audio])
    if sound is None and path:
        if "://" not in path:
            path = f"{base}/{path}" if "://" in base else os.path.abspath(os.path.join(base, path))
        if not copy and "://" not in path:
            return utterance_of(record, Path(path), UNKNOWN)
        sound = _fetched(path)
        if isinstance(sound, str):
            return Skipped(record["id"], path, sound)
    if not sound:
        return Skipped(record["id"], where, NO_AUDIO)
    seconds = measure(sound, path or record["id"])
    if isinstance(seconds, str):
        return Skipped(record["id"], where, seconds)
    seconds = round(seconds, 6)
    address = writer.add(sound, None if path is None else os.path.basename(path), record | {"duration": seconds})
    return utterance_of(record, address, seconds)


def _fetched(path: str) -> bytes | str:
    """The bytes of a file of the hub, or of an archive; or why there are none."""
    import fsspec

    try:
        with fsspec.open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return "audio is missing: there is no such file"
    except Exception as error:
        if is_network(error):
            raise DuolectError(
                f"{path}: cannot be fetched ({one_line(error)}); give the same command again to go on."
            ) from error
        return f"cannot be read: {one_line(error)}"


def _guarded(table: Table, rows: Any, before: int) -> Iterator[dict[str, Any]]:
    """The rows; what goes wrong with the network or a file in one sentence."""
    import pyarrow as arrow

    count = before
    try:
        for count, row in enumerate(rows, start=before + 1):  # noqa: B007 (for the messages)
            yield row
    except DuolectError:
        raise
    except ImportError as error:  # `datasets` lists sound outside of parquet files only with torchcodec
        raise DuolectError(
            f"{table.where}: {one_line(error)}; pip install torchcodec, or import a folder of this machine by "
            "duolect import folder."
        ) from error
    except Exception as error:
        if is_network(error):
            raise DuolectError(
                f"{table.where}: the connection broke after {count} rows ({one_line(error)}); "
                "give the same command again to go on."
            ) from error
        if isinstance(error, arrow.ArrowException | OSError | ValueError):
            raise ManifestError(
                f"{_file_at(table, rows)}: is damaged ({one_line(error)}), after {count} rows of {table.where}; "
                "fetch it again, and give the same command again to go on."
            ) from error
        raise


def _file_at(table: Table, rows: Any) -> str:
    """The file that is being read, as far as the state of the rows tells."""
    at: Any = rows.state_dict()
    while isinstance(at, dict):
        if isinstance(shard := at.get("shard_idx"), int):
            return table.files[shard] if shard < len(table.files) else table.where
        at = at.get("examples_iterable")
    return table.where
