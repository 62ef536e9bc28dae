"""A folder of sound: with a text file beside each sound file, a table of texts, or no text at all.

Ids are the paths below the folder without their suffix, or the table's column of ids.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

from duolect.data.corpora.base import UNKNOWN, Corpus, Plan, Split, repeatable, sign_files, source_folder
from duolect.data.corpora.folder_table import column_names, from_table
from duolect.data.corpora.rows import SUFFIXES
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ConfigError, ManifestError
from duolect.storage import files_below

AUDIO = frozenset(
    f".{name}"
    for name in (
        *("wav", "flac", "mp3", "ogg", "opus", "oga", "m4a", "aac", "mp4", "webm"),
        *("aif", "aiff", "au", "caf", "w64", "sph", "wma"),
    )
)
"""Suffixes of sound files; others are not looked at."""

_SPLITS = frozenset(("train", "training", "dev", "devel", "develop", "valid", "validation", "val", "test", "eval"))


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """Options of `folder`."""

    text: Literal["auto", "beside", "table", "none"] = "auto"
    """Where the transcripts are: in a file beside each sound file, in a table, or nowhere (sound that is only to be
    transcribed). auto: in the table if one is named or a metadata.csv, .tsv or .jsonl is there or in subfolders called
    train, dev, valid, test …; else beside, else none."""
    text_suffix: str = ".txt"
    """Of a text file: NAME + this beside NAME.wav."""
    table: Path | None = None
    """TSV, CSV (with a header line) or JSON lines; relative to SOURCE. A line for each utterance."""
    delimiter: str | None = None
    """Between the columns, where the suffix of the table does not say it."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a table without a header line."""
    audio_column: str | None = None
    """Column with the path of the sound, relative to the table. By default the one called audio_filepath, file_name,
    path, audio …"""
    text_column: str | None = None
    """Column with the transcript. By default the one called text, sentence, transcript or transcription."""
    audio_folder: Path | None = None
    """Folder that the paths of the table are relative to, itself relative to SOURCE."""
    audio_suffix: str = ""
    """Added to the paths of the table, where they lack it."""
    layout: Literal["auto", "one", "folders"] = "auto"
    """one manifest, or one for each of the subfolders. auto: folders, where all sound lies in subfolders that are
    called train, dev, valid, test …"""
    name: str = "all"
    """Of the manifest, where there is only one."""
    speaker: Literal["none", "folder"] = "none"
    """folder: the speaker is the name of the folder that a file lies in."""
    lang: str | None = None
    """Language of all utterances that have none of their own."""

    def __post_init__(self) -> None:
        if self.text == "table" and self.table is None:
            raise ConfigError("text: 'table' needs the option table, which names it.")
        if self.table is not None and self.text not in ("auto", "table"):
            raise ConfigError(f"table: is given, but text is {self.text!r}; leave one of them out.")
        if not self.name or "/" in self.name:
            raise ConfigError(f"name: must be the name of a manifest without its suffix, not {self.name!r}.")


def plan(source: str, options: FolderOptions, out: Path) -> Plan:
    """One split, or one for each subfolder. Raises ManifestError where there is no sound."""
    root = source_folder(source)
    if table := _table(root, options):
        column_names(table, options)
        only = Split(options.name, repeatable(partial(from_table, root, table, options)))
        return Plan((only,), sign_files([table]), {"transcripts": table.name})
    tables = _split_tables(root, options)
    for each in tables.values():
        column_names(each, options)
    beside = options.text == "beside"
    tops, seen = set(tables), bool(tables)
    for path in _sound(root):
        below = path.relative_to(root).parts
        tops.add(below[0] if len(below) > 1 else "")
        seen = True
        if options.text == "auto" and not beside and below[0] not in tables:
            beside = _text_file(path, options.text_suffix).exists()
    if not seen:
        raise ManifestError(f"{root}: there is no sound file; expected names in {', '.join(sorted(AUDIO))}.")
    by_folder = options.layout == "folders" or (options.layout == "auto" and {top.lower() for top in tops} <= _SPLITS)
    if by_folder and "" in tops:
        raise ManifestError(f"{root}: has sound outside of subfolders, which layout 'folders' has no manifest for.")

    def split(name: str, folder: Path, held: Mapping[str, Path]) -> Split:
        def entries() -> Iterator[Utterance | Skipped]:
            for each in held.values():
                yield from from_table(root, each, options)
            if folder == root or folder.name not in held:  # else its table names what is in it
                yield from _from_files(root, folder, beside, options, without=held)

        return Split(name, repeatable(entries), transcribed=beside or bool(held))

    if by_folder:
        splits = [split(top, root / top, {top: tables[top]} if top in tables else {}) for top in sorted(tops)]
    else:
        splits = [split(options.name, root, tables)]
    found = [each.relative_to(root).as_posix() for each in tables.values()]
    found += [f"NAME{options.text_suffix} beside each"] if beside else []
    signature = sign_files(chain(_signed(root, options.text_suffix if beside else None), tables.values()))
    remark = ""
    if options.text == "auto" and not found:
        remark = (
            f"{root}: no transcripts were found, so all texts are empty; looked for NAME{options.text_suffix} beside "
            "NAME.wav, and for metadata.csv, .tsv or .jsonl there and in folders called train, dev, test …"
        )
    return Plan(tuple(splits), signature, {"transcripts": ", ".join(found) or "none"}, remark)


def _sound(folder: Path) -> Iterator[Path]:
    """Sound files below a folder in a fixed order; hidden folders and files are not looked at."""
    return (path for path in files_below(folder, hidden=False) if path.suffix.lower() in AUDIO)


def _signed(root: Path, text_suffix: str | None) -> Iterator[Path]:
    for path in _sound(root):
        if path.exists():  # a dangling link is said when it is its turn
            yield path
        if text_suffix is not None and (text := _text_file(path, text_suffix)).exists():
            yield text


def _text_file(audio: Path, suffix: str) -> Path:
    return audio.with_name(audio.stem + suffix)


def _from_files(
    root: Path, folder: Path, beside: bool, options: FolderOptions, *, without: Container[str] = ()
) -> Iterator[Utterance | Skipped]:
    for path in _sound(folder):
        if path.relative_to(root).parts[0] in without:
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        text = ""
        if beside:
            source = _text_file(path, options.text_suffix)
            try:
                text = " ".join(source.read_text(encoding="utf-8-sig").split())
            except FileNotFoundError:
                yield Skipped(name, str(path), f"no transcript: expected {source.name} beside it")
                continue
            except (OSError, UnicodeDecodeError) as error:
                yield Skipped(name, str(path), f"the transcript cannot be read: {source} ({error})")
                continue
        yield Utterance(
            audio_filepath=path,
            duration=UNKNOWN,
            text=text,
            speaker=path.parent.name if options.speaker == "folder" else None,
            lang=options.lang,
            id=name,
        )


def _table(root: Path, options: FolderOptions) -> Path | None:
    if options.table is not None:
        return root / options.table
    return _metadata(root) if options.text == "auto" else None


def _split_tables(root: Path, options: FolderOptions) -> dict[str, Path]:
    """The tables in subfolders that are splits, by the folder's name, as audiofolder has them."""
    if options.text != "auto":
        return {}
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = (path for path in folders if options.layout == "folders" or path.name.lower() in _SPLITS)
    return {path.name: table for path in splits if (table := _metadata(path)) is not None}


def _metadata(folder: Path) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"metadata{suffix}").is_file()), None)


CORPUS = Corpus(
    name="folder",
    title="a folder of sound with text beside each file, in a table, or none",
    source="the folder",
    options=FolderOptions,
    plan=plan,
)
