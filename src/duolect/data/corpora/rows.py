"""Lines of TSV, CSV and JSON-lines tables, each with its number; a bad line is a fault of its own, not of the file."""

from __future__ import annotations

import codecs
import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.data.corpora.lines import NO_UTF_8, undecodable
from duolect.errors import ManifestError

SUFFIXES = {".tsv": "\t", ".csv": ",", ".jsonl": "", ".json": ""}
"""Of tables, and the delimiter each stands for ("": JSON lines)."""

_LINES_IN_QUOTES = 200
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its values by column, or what is wrong with it."""

    line: int
    values: dict[str, Any]
    fault: str | None = None


def read_rows(path: Path, *, delimiter: str | None = None, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a table in order; blank lines are passed over.

    `delimiter` None goes by the suffix. In .csv, and between commas, quotes group cells; elsewhere, and between "|" (as
    in LJ Speech's metadata.csv), texts hold single ones, which are kept. A quote that is not closed is a fault of its
    line, and the lines after it are rows.
    `columns` names the columns of a table without a header line. Raises ManifestError when the file cannot be read
    or is UTF-16, its suffix says nothing, or its header is missing or names a column twice.
    """
    if delimiter is None:
        delimiter = SUFFIXES.get(path.suffix.lower())
        if delimiter is None:
            raise ManifestError(f"{path}: is no table; expected a name in {', '.join(SUFFIXES)}, or a delimiter.")
    try:
        with open(path, "rb") as begun:
            if begun.read(2) in _UTF_16:
                raise ManifestError(f"{path}: is UTF-16; save it as UTF-8.")
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
            yield Row(line, value, NO_UTF_8 if undecodable(text) else None)


def _delimited(path: Path, handle: Iterator[str], delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    form = _Form(delimiter, delimiter == "," or (path.suffix.lower() == ".csv" and delimiter != "|"))
    names = list(columns)
    waiting, after = deque[str](), 1
    while (text := waiting.popleft() if waiting else next(handle, None)) is not None:
        first, after = after, after + 1
        try:
            cells, whole = _cells([text], form)
            if not whole:
                cells, more = _quoted(text, waiting, handle, form, len(names))
                after += more
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
            yield Row(first, dict(zip(names, cells, strict=True)), NO_UTF_8 if undecodable("".join(cells)) else None)
    if not names:
        raise ManifestError(f"{path}: the table is empty.")


@dataclass(frozen=True, slots=True)
class _Form:
    """What parts the cells of a row, and whether quotes group them."""

    delimiter: str
    quotes: bool


def _cells(lines: Sequence[str], form: _Form, *, strict: bool = False) -> tuple[list[str], bool]:
    """The cells of a row, and whether it ends with the last of its lines: else a quote is still open."""
    whole = True

    def given() -> Iterator[str]:
        nonlocal whole
        yield from lines
        whole = False

    quoting = csv.QUOTE_MINIMAL if form.quotes else csv.QUOTE_NONE
    try:
        cells = next(csv.reader(given(), delimiter=form.delimiter, quoting=quoting, strict=strict), [])
    except csv.Error:
        if not whole:  # the reader asked for more
            return [], False
        raise
    return cells, whole


def _quoted(text: str, waiting: deque[str], handle: Iterator[str], form: _Form, width: int) -> tuple[list[str], int]:
    """The cells of a row with line feeds in quotes, and how many lines follow its first one.

    Raises csv.Error, and takes no line but the first, where the quote seems to be a slip: none closes it, what follows
    does not fit, or all lines in between are rows by themselves.
    """
    taken: list[str] = []
    while len(taken) < _LINES_IN_QUOTES and (line := waiting.popleft() if waiting else next(handle, None)) is not None:
        taken.append(line)
        if '"' not in line:
            continue
        try:
            cells, whole = _cells([text, *taken], form, strict=True)
        except csv.Error:
            break
        if whole:
            between = [_cells([each], form) for each in taken[:-1]]
            slip = between and all(closed and len(row) == width for row, closed in between)
            if slip or (width and len(cells) != width):
                break
            return cells, len(taken)
    waiting.extendleft(reversed(taken))
    raise csv.Error("has a quotation mark that is not closed")
