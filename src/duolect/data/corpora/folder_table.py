"""The table of a folder of sound: which column is what, and the utterance of each row."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolect.data.corpora.base import UNKNOWN, WholeFile
from duolect.data.corpora.rows import SUFFIXES, Row, read_rows
from duolect.data.manifest import Utterance, field_name
from duolect.data.skips import Skipped
from duolect.errors import ManifestError

if TYPE_CHECKING:
    from duolect.data.corpora.folder import FolderOptions

_COLUMNS = {
    "audio": ("audio_filepath", "file_name", "path", "audio", "wav", "file", "filename", "audio_path"),
    "text": ("text", "sentence", "transcript", "transcription", "raw_text"),
    "id": ("id", "utt_id", "utterance_id", "segment_id"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "lang": ("lang", "language", "locale"),
    "translation": ("translation",),
    "target_lang": ("target_lang",),
    "offset": ("offset", "start"),
    "duration": ("duration",),
    "end": ("end",),
}
_NUMBERS = ("offset", "duration", "end")
_FIRST_LINES = 100


def column_names(table: Path, options: FolderOptions) -> dict[str, str]:
    """Which column holds what, from the first lines; of JSON from all, for each may hold others.

    Raises ManifestError where there is no column for the sound or the text.
    """
    delimited = options.delimiter or SUFFIXES.get(table.suffix.lower())
    rows = read_rows(table, delimiter=options.delimiter, columns=options.columns)
    found_in: dict[str, None] = {}
    first = ""
    for row in islice(rows, _FIRST_LINES if delimited else None):
        if row.fault:
            first = first or f"; the first, in line {row.line}, {row.fault}"
        else:
            found_in.update(dict.fromkeys(row.values))
    if not (held := list(found_in)):
        raise ManifestError(f"{table}: holds no line that can be read{first}.")
    names = {}
    by_name = {name.lower(): name for name in reversed(held)} | {name: name for name in held}
    given = {"audio": options.audio_column, "text": options.text_column}
    for what, usual in _COLUMNS.items():
        if (asked := given.get(what)) is not None:
            if asked not in held:
                raise ManifestError(f"{table}: has no column {asked!r}; it has {', '.join(held)}.")
            names[what] = asked
        elif found := [by_name[name] for name in usual if name in by_name]:
            names[what] = found[0]
    if "offset" not in names:
        names.pop("end", None)  # counted from who knows where
    for what in ("audio", "text"):
        if what not in names and len(held) == 1 and options.delimiter is None:
            for delimiter, said in ((";", "';'"), ("\t", "$'\\t'"), ("|", "'|'"), (",", "','")):
                if delimiter in held[0]:
                    raise ManifestError(
                        f"{table}: has a single column, {held[0][:80]!r}; if its columns are parted by {said}, give "
                        f"--delimiter {said}."
                    )
        if what not in names:
            raise ManifestError(
                f"{table}: has no column for {what} (looked for {', '.join(_COLUMNS[what])}); "
                f"name it with the option {what}_column; it has {', '.join(held)}."
            )
    return names


def from_table(root: Path, table: Path, options: FolderOptions) -> Iterator[Utterance | Skipped]:
    """The utterances of a table in order. Raises ManifestError as `column_names` does."""
    names = column_names(table, options)
    base = table.parent if options.audio_folder is None else root / options.audio_folder
    for row in read_rows(table, delimiter=options.delimiter, columns=options.columns):
        yield _utterance(row, table, base, root, names, options)


def _utterance(
    row: Row, table: Path, base: Path, root: Path, names: Mapping[str, str], options: FolderOptions
) -> Utterance | Skipped:
    place = f"{table}:{row.line}"
    values = row.values
    known: dict[str, Any] = {what: values.get(column) for what, column in names.items()}
    fault = row.fault
    if not fault and not (isinstance(known["audio"], str) and known["audio"].strip()):
        fault = f"{names['audio']} names no file"
    for what in _NUMBERS:
        if not fault and known.get(what) not in (None, ""):
            try:
                known[what] = float(known[what])
            except (TypeError, ValueError):
                fault = f"{names[what]} is no number: {known[what]!r}"
            else:
                if not math.isfinite(known[what]) or known[what] < 0:
                    fault = f"{names[what]} must be 0 or more seconds, not {known[what]}"
    offset = known.get("offset") or 0.0
    duration = UNKNOWN if known.get("duration") in (None, "") else known["duration"]
    if not fault and duration == 0:
        fault = f"{names['duration']} must be above 0 seconds, not {duration}"
    if not fault and duration is UNKNOWN and known.get("end") not in (None, ""):
        duration = round(known["end"] - offset, 6)
        if duration <= 0:
            fault = f"{names['end']} must be after the start, {offset} s, not {known['end']}"
    if fault:
        return Skipped(place, str(table), f"bad line: {place} {fault}")
    name = known["audio"].strip()
    path = Path(os.path.normpath(base / (name.removesuffix(options.audio_suffix) + options.audio_suffix)))
    texts = {key: _text(known.get(key)) for key in ("speaker", "lang", "translation", "target_lang")}
    where = path.relative_to(root) if path.is_relative_to(root) else path
    made: Callable[..., Utterance] = Utterance
    if "offset" not in names and duration is not UNKNOWN:  # without a beginning it is no stretch
        made, duration = partial(WholeFile, told=duration), UNKNOWN
    return made(
        audio_filepath=path,
        duration=duration,
        text=_text(known["text"]) or "",
        offset=offset,
        speaker=texts["speaker"],
        lang=texts["lang"] or options.lang,
        translation=texts["translation"],
        target_lang=texts["target_lang"],
        id=_text(known.get("id")) or os.path.splitext(where.as_posix())[0] + (f"-{offset:.3f}" if offset else ""),
        fields={
            field_name(key): value
            for key, value in values.items()
            if key not in names.values() and not _says_nothing(value)
        },
    )


def _says_nothing(value: Any) -> bool:
    """Whether a cell is empty: also NaN and infinity, which Python writes into JSON and a manifest cannot hold."""
    return value in (None, "") or (isinstance(value, float) and not math.isfinite(value))


def _text(value: Any) -> str | None:
    return " ".join(str(value).split()) or None if value is not None else None
