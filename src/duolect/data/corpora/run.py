"""An import: one manifest for each split of a corpus, which goes on where it was interrupted.

DIR/train.jsonl            a manifest for each split; it appears when it is whole
DIR/train.skipped.jsonl    what was left out of it and why, where there is anything
DIR/import.json            corpus, source, options, counts, hours, date, reasons
DIR/.import/               what an unfinished import needs to go on; gone when it is done
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolect.data.corpora.base import Checkpoint, Corpus, Plan, Split, WholeFile, choose_splits
from duolect.data.corpora.guard import WORK, alone, reading, writing
from duolect.data.corpora.journal import SKIPPED, Journal, Place, finished, forget, publish
from duolect.data.corpora.probe import with_durations
from duolect.data.skips import SkipLog, Skipped
from duolect.errors import DuolectError, ManifestError
from duolect.storage import read_json, write_json

RECORD = "import.json"
_ASKED = "asked.json"
_FORMAT = 1
_TRUST = "trust_durations"
_IDENTITY = ("corpus", "source", "options", "signature")
FAR_OFF = "durations far from the sound's"
"""What is counted in import.json where a corpus is wrong about the length of a file."""
NOTE_SECONDS = 1.0
"""Between two checkpoints that are noted: as much work as an interruption can cost."""
_SHOW_SECONDS = 0.1


@dataclass(frozen=True)
class Progress:
    """How far the import of a split is; `total` utterances where the corpus tells."""

    split: str
    utterances: int
    seconds: float
    skipped: int
    total: int | None


@dataclass(frozen=True)
class SplitResult:
    """What came of one split. `reasons` counts the skipped ones; `resumed` says how many stood there already;
    `far_off` counts utterances whose file is not as long as the corpus says, by more than 0.5 s or 5 %."""

    name: str
    manifest: Path
    utterances: int
    hours: float
    skipped: int
    skipped_file: Path | None
    reasons: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    far_off: int = 0


@dataclass(frozen=True)
class Imported:
    """What an import made: its folder, the splits in the order of the corpus, and what the user should be told of the
    source beside it ("": nothing)."""

    out: Path
    splits: tuple[SplitResult, ...]
    remark: str = ""


def import_corpus(
    corpus: Corpus,
    source: str,
    out: Path,
    *,
    options: Any = None,
    splits: Sequence[str] = (),
    workers: int = 8,
    trust_durations: bool = False,
    restart: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    command: str = "",
) -> Imported:
    """Write a manifest of each wanted split (none named: all) into `out`; give the same call again to go on.

    `options` is an instance of `corpus.options` (None: its defaults), `workers` the threads that read headers.
    `trust_durations`: files are not looked at where the corpus tells a duration, so that missing ones are not found. A
    split that stands there already is not made again. `restart` throws away what an earlier import of the same corpus
    left in `out`. Memory does not grow with the corpus, but for 16 to 32 bytes for each id, and
    the names of the files that a corpus is signed by.

    Raises DuolectError where `out` holds another import, the source or the options have changed since it was begun,
    another process is at work there, or it cannot be written (a full disk: what was done is kept); ManifestError where
    the source is not what the corpus looks like, or a split has no utterance that can be used.
    """
    options = corpus.options() if options is None else options
    out = Path(out)
    begun = (None if restart else _held_signature(out),) if corpus.pins else ()
    plan = corpus.plan(source, options, out, *begun)
    chosen = choose_splits(plan, splits)
    asked = _plain(
        {
            "corpus": corpus.name,
            "source": os.path.abspath(os.path.expanduser(source))
            if os.path.exists(os.path.expanduser(source))
            else source,
            "options": dataclasses.asdict(options),
            "signature": plan.signature,
            _TRUST: trust_durations,
        }
    )
    with alone(out):
        record = _earlier(out, asked, restart)
        for name in [name for name in record["splits"] if not (out / f"{name}.jsonl").exists()]:
            del record["splits"][name]  # its manifest was thrown away
        for split in chosen:
            manifest = out / f"{split.name}.jsonl"
            if split.name not in record["splits"] and manifest.exists() and not _journal(out, split).exists():
                raise DuolectError(f"{manifest}: is there already, and no import wrote it; choose another folder.")
        with writing(out):
            write_json(out / WORK / _ASKED, asked)
        resumed: dict[str, int] = {}
        for split in chosen:
            if split.name in record["splits"]:
                resumed[split.name] = record["splits"][split.name]["utterances"]
            else:
                place, resumed[split.name] = _import_split(split, out, workers, trust_durations, progress)
                _enter(record, split, place, out, plan, command, trust_durations)
        forget(out / WORK)
    return Imported(out, tuple(_result(out, split.name, record, resumed[split.name]) for split in chosen), plan.remark)


def _import_split(
    split: Split, out: Path, workers: int, trust: bool, progress: Callable[[Progress], None]
) -> tuple[Place, int]:
    """Make or finish one split; its place at the end, and how many utterances stood there at the start."""
    folder = _journal(out, split)
    if (place := finished(folder)) is None:
        with writing(out), Journal(folder, out) as journal:
            place, before = journal.place, journal.place.utterances
            _fill(journal, split, workers, trust, progress)
    else:  # interrupted between the last line and the manifest's appearance
        before = place.utterances
    if not place.utterances:
        first = next(iter(SkipLog.read(folder / SKIPPED)), None)
        forget(folder)
        if first is None:
            raise ManifestError(f"split {split.name}: the corpus has no utterance for it.")
        counted = ", ".join(f"{count:,} × {reason}" for reason, count in place.reasons.items())
        raise ManifestError(
            f"split {split.name}: none of its utterances can be used ({counted}); the first, in {first.file}: "
            f"{first.reason.rstrip('.')}."
        )
    with writing(out):
        publish(folder, out / f"{split.name}.jsonl", out / f"{split.name}.skipped.jsonl")
    return place, before


def _fill(journal: Journal, split: Split, workers: int, trust: bool, progress: Callable[[Progress], None]) -> None:
    """Read a split from where its journal stands to its end."""
    place = journal.place

    def show() -> None:
        progress(Progress(split.name, place.utterances, place.seconds, place.skipped, split.total))

    show()
    noted = shown = time.monotonic()
    read = reading(split, place.state)
    entries = with_durations(read, workers=workers, trusted=trust or split.trusted, believed=trust)
    with contextlib.closing(entries):
        for entry in entries:
            if isinstance(entry, Checkpoint):
                if time.monotonic() - noted >= NOTE_SECONDS:
                    journal.note(entry)
                    noted = time.monotonic()
            elif isinstance(entry, Skipped):
                journal.skip(entry)
            elif split.transcribed and not entry.text.strip():
                journal.skip(Skipped(entry.id, str(entry.audio_filepath), "no transcript"))
            else:
                far_off = FAR_OFF if isinstance(entry, WholeFile) and entry.far_off else None
                journal.add(entry, split.tally(entry), far_off, repeats=split.repeats)
            if time.monotonic() - shown >= _SHOW_SECONDS:
                show()
                shown = time.monotonic()
    journal.finish()
    show()


def _held_signature(out: Path) -> Any:
    """The signature of the import that stands in `out` or was begun there; None where there is none."""
    found = [path for path in (out / WORK / _ASKED, out / RECORD) if path.is_file()]
    held = read_json(found[0]) if found else None
    return held.get("signature") if isinstance(held, dict) else None


def _earlier(out: Path, asked: dict[str, Any], restart: bool) -> dict[str, Any]:
    """The record of what stands in `out`, which must be of the same import; {"splits": {}} where nothing does."""
    record: dict[str, Any] = {"splits": {}}
    found = [path for path in (out / RECORD, out / WORK / _ASKED) if path.exists()]
    for path in found:
        held = read_json(path)
        if not isinstance(held, dict) or not isinstance(held.get("splits", {}), dict):
            raise DuolectError(f"{path}: is not the record of an import; choose another folder.")
        if held.get("corpus") != asked["corpus"]:
            raise DuolectError(
                f"{out}: holds an import of {held.get('corpus')!r} from {held.get('source')}; choose another folder."
            )
        begun = path.name == _ASKED and any(each.is_dir() for each in (out / WORK).iterdir())
        # What stands already may differ in trust; what goes on may not.
        changed = [key for key in (*_IDENTITY, *([_TRUST] if begun else [])) if held.get(key, asked[key]) != asked[key]]
        if changed and not restart:
            raise DuolectError(
                f"{out}: holds an import that was begun otherwise ({_difference(held, asked, changed)}); "
                "ask for the same again, choose another folder, or begin anew (--restart)."
            )
        if path.name == RECORD:
            record = held
    if restart:
        for name in record["splits"]:
            (out / f"{name}.skipped.jsonl").unlink(missing_ok=True)
            (out / f"{name}.jsonl").unlink(missing_ok=True)
        (out / RECORD).unlink(missing_ok=True)
        for path in (out / WORK).iterdir():
            if path.is_dir():
                forget(path)
        record = {"splits": {}}
    return {**record, **asked}


def _difference(held: dict[str, Any], asked: dict[str, Any], changed: list[str]) -> str:
    said = []
    for key in changed:
        before, now = held.get(key), asked[key]
        if key == "options" and isinstance(before, dict):
            said += [f"{k}: {before.get(k)!r}, now {now.get(k)!r}" for k in now if before.get(k) != now.get(k)]
        elif key == "signature":
            said.append("the source has changed since")
        else:
            said.append(f"{key}: {before}, now {now}")
    return "; ".join(said) or "options that this version does not know"


def _enter(
    record: dict[str, Any], split: Split, place: Place, out: Path, plan: Plan, command: str, trust: bool
) -> None:
    """Note a finished split in import.json."""
    from duolect import __version__

    record["splits"][split.name] = {
        "manifest": f"{split.name}.jsonl",
        "utterances": place.utterances,
        "hours": round(place.seconds / 3600, 4),
        "skipped": place.skipped,
        "reasons": place.reasons,
        _TRUST: trust,
        **({"tallies": place.tallies} if place.tallies else {}),
    }
    written = {
        "format": _FORMAT,
        **{key: record[key] for key in _IDENTITY},
        "notes": _plain(plan.notes),
        "splits": {other.name: record["splits"][other.name] for other in plan.splits if other.name in record["splits"]},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "duolect": __version__,
    }
    with writing(out):
        write_json(out / RECORD, written)
    forget(_journal(out, split))


def _result(out: Path, name: str, record: dict[str, Any], resumed: int) -> SplitResult:
    held = record["splits"][name]
    skipped = out / f"{name}.skipped.jsonl"
    return SplitResult(
        name=name,
        manifest=out / held["manifest"],
        utterances=held["utterances"],
        hours=held["hours"],
        skipped=held["skipped"],
        skipped_file=skipped if held["skipped"] else None,
        reasons=held["reasons"],
        resumed=resumed,
        far_off=held.get("tallies", {}).get(FAR_OFF, 0),
    )


def _journal(out: Path, split: Split) -> Path:
    return out / WORK / split.name


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
