"""Lines of TSV, CSV and JSON-lines tables, each with its number; a bad line is a fault of its own, not of the file."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.errors import ManifestError

SUFFIXES = {".tsv": "\t", ".csv": ",", ".jsonl": "", ".json": ""}
"""Of tables, and the delimiter each stands for ("": JSON lines)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its values by column, or what is wrong with it."""

    line: int
    values: dict[str, Any]
    fault: str | None = None


def read_rows(path: Path, *, delimiter: str | None = None, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a table in order; blank lines are passed over.

    `delimiter` None goes by the suffix; only "," knows quotes, since the texts of the others hold single ones.
    `columns` names the columns of a table without a header line. Raises ManifestError when the file cannot be read,
    its suffix says nothing, or its header is missing or names a column twice.
    """
    if delimiter is None:
        delimiter = SUFFIXES.get(path.suffix.lower())
        if delimiter is None:
            raise ManifestError(f"{path}: is no table; expected a name in {', '.join(SUFFIXES)}, or a delimiter.")
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
            yield from _json_rows(handle) if not delimiter else _delimited(path, handle, delimiter, columns)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}).") from error


def _json_rows(handle: Iterator[str]) -> Iterator[Row]:
    for line, text in enumerate(handle, start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, f"not valid JSON ({error})")
            continue
        if not isinstance(value, dict):
            yield Row(line, {}, "is no JSON object")
        else:
            yield Row(line, value, _undecodable(text))


def _delimited(path: Path, handle: Iterator[str], delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(handle, delimiter=delimiter, quoting=quoting)
    names = list(columns)
    for _ in itertools.count():
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Row(first, {}, str(error))
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = [cell.strip() for cell in cells]
            if len(set(names)) < len(names) or not all(names):
                found = delimiter.join(cells)[:80]
                raise ManifestError(f"{path}:{first}: expected a header line with names of columns, found {found!r}.")
        elif len(cells) != len(names):
            yield Row(first, {}, f"has {len(cells)} columns, not {len(names)}")
        else:
            yield Row(first, dict(zip(names, cells, strict=True)), _undecodable("".join(cells)))
    if not names:
        raise ManifestError(f"{path}: the table is empty.")


def _undecodable(text: str) -> str | None:
    return "is not valid UTF-8" if any("\ud800" <= c <= "\udfff" for c in text) else None
