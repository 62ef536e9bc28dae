"""What a corpus tells the importer: its splits, each a stream of utterances that can be taken up where it was left.

A corpus is a module of this folder that ends in `CORPUS = Corpus(...)`, and a line in `CORPORA` of `__init__.py`. Its
`plan(source, options, out)` looks at the source (cheaply: nothing is converted yet) and returns a `Plan`:

    def plan(source: str, options: MyOptions, out: Path) -> Plan:
        return Plan(splits=(Split("train", repeatable(lambda: utterances(source))),), signature=sign_files([index]))

`Split.read(state)` yields, in an order that is the same each time,

* `Utterance`s, with the duration `UNKNOWN` where the corpus does not tell it: the header of the file is read then;
  `WholeFile`s, where it tells the length of the file rather than a stretch of it;
* `Skipped` entries: what cannot be an utterance, and why; the reason up to its first ":" is what is counted;
* `Checkpoint(state)`: all that was yielded before it, and every file written for it, is on disk for good. `state` is
  JSON; an interrupted import calls `read` with the state of the last checkpoint that was noted, a new one with None.

A source that is listed rather than converted is `repeatable(make)`: read from the start, passing over what was done. An
importer that writes files of its own (shards of audio below `out`) yields a checkpoint when a file is complete, gives
its files the same names each time, and so writes them again where an interruption came before the checkpoint.

Everything else is `run.import_corpus`'s: reading headers, unique ids, the list of what was skipped, the manifest,
resuming, and saying what was done.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import DuolectError, ManifestError

UNKNOWN = math.nan
"""The duration of an utterance that goes to the end of a file whose header is still to be read."""

_OFFERED_EVERY = 200  # utterances
_FAR_OFF_SECONDS, _FAR_OFF_SHARE = 0.5, 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeFile(Utterance):
    """An utterance that is all of its file, which lasts `told` seconds, as the corpus says: often rounded.

    Its duration is the file's own length wherever that is looked at (until then `UNKNOWN`), so that nothing is cut off.
    """

    told: float

    @property
    def far_off(self) -> bool:
        """Whether the corpus is wrong about the file's length by more than 0.5 s or 5 %."""
        return abs(self.told - self.duration) > min(_FAR_OFF_SECONDS, _FAR_OFF_SHARE * self.duration)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that came before is on disk for good; `state` (JSON) is what `Split.read` needs to go on from here."""

    state: Any


Entry = Utterance | Skipped | Checkpoint


@dataclass(frozen=True)
class Split:
    """One manifest to be: `name`.jsonl, what it is read from, and how many utterances that is where it is known.

    `trusted`: the sound was written or read by the importer itself, so that no header needs to be looked at.
    `transcribed`: an utterance with a blank text is skipped. `tally` names what import.json is to count an utterance
    as, beside its being one. `repeats`: an id that was used already is numbered (NAME#2), where the rows of a table are
    utterances whatever their ids; else such an utterance is skipped.
    """

    name: str
    read: Callable[[Any], Iterator[Entry]]
    total: int | None = None
    trusted: bool = False
    transcribed: bool = True
    tally: Callable[[Utterance], str | None] = lambda _: None
    repeats: bool = False


@dataclass(frozen=True)
class Plan:
    """What an import will do.

    `signature` (JSON) changes when the source does. `notes` go into import.json: the release, the licence, what of the
    corpus is left out and why. `remark`: a sentence for the user that the import should not go without.
    """

    splits: tuple[Split, ...]
    signature: Any
    notes: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Corpus:
    """A kind of source: its name, what it is, what SOURCE stands for, the class of its options, and how it is read.

    `options` is a frozen dataclass with a default for each field, whose docstrings are the help on the command line.
    `pins`: the source may change under its name, and is read on as it was when the import was begun; `plan` then gets
    one argument more, the signature that the import in `out` has (None: there is none, or it is begun anew).
    """

    name: str
    title: str
    source: str
    options: type
    plan: Callable[..., Plan]
    pins: bool = False


def repeatable(make: Callable[[], Iterable[Utterance | Skipped]]) -> Callable[[Any], Iterator[Entry]]:
    """`Split.read` of a source that can be listed again from the start at little cost; its state is a count."""

    def read(state: Any) -> Iterator[Entry]:
        done = 0 if state is None else int(state)
        for number, entry in enumerate(islice(make(), done, None), start=done + 1):
            yield entry
            if number % _OFFERED_EVERY == 0:
                yield Checkpoint(number)

    return read


def sign_files(paths: Iterable[Path]) -> str:
    """A signature of files by name, size and time of change; their contents are not read.

    In memory are their names, which come in the order of paths: part by part.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(str(path).replace(os.sep, "\0") for path in paths):  # a `Path` takes three times as much
        path = name.replace("\0", os.sep)
        try:
            seen = os.stat(path)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read ({error.strerror}).") from error
        digest.update(json.dumps([path, seen.st_size, seen.st_mtime_ns]).encode())
    return digest.hexdigest()


def source_folder(source: str) -> Path:
    """The folder that `source` names. Raises ManifestError where there is none."""
    path = Path(source).expanduser()
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise ManifestError(f"{source}: {found}; expected the folder of the corpus.")
    return Path(os.path.abspath(path))


def choose_splits(plan: Plan, wanted: Iterable[str]) -> tuple[Split, ...]:
    """The splits of a plan that are wanted (none named: all). Raises DuolectError for a name it does not have."""
    by_name = {split.name: split for split in plan.splits}
    chosen = tuple(dict.fromkeys(wanted)) or tuple(by_name)
    for name in chosen:
        if name not in by_name:
            raise DuolectError(f"there is no split {name!r} here; it has {', '.join(by_name) or 'none'}.")
    return tuple(by_name[name] for name in chosen)
