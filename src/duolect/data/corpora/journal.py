"""A manifest in the making: lines that are added, and the place up to which they count.

`FOLDER/.import/SPLIT/` holds the lines so far (manifest.jsonl, skipped.jsonl) and place.json, which says how many bytes
of each are valid, how many utterances and seconds they are, and where in the source to go on. What an interruption left
behind those bytes is cut off; so a line is there once, and none is lost.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from duolect.data.corpora.base import Checkpoint
from duolect.data.manifest import Utterance, manifest_line
from duolect.data.skips import Skipped
from duolect.data.stream import stable_seed
from duolect.errors import DuolectError, ManifestError
from duolect.storage import read_json, write_json

MANIFEST, SKIPPED, PLACE = "manifest.jsonl", "skipped.jsonl", "place.json"


@dataclass
class Place:
    """How far a split has come. `reasons` counts what was skipped, `tallies` what the split says of its utterances;
    `state` is the last checkpoint's."""

    utterances: int = 0
    seconds: float = 0.0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    tallies: dict[str, int] = field(default_factory=dict)
    manifest_bytes: int = 0
    skipped_bytes: int = 0
    state: Any = None
    complete: bool = False


class IdSet:
    """Ids that were used, 16 bytes each however long they are (a hash of 64 bits, at most half full)."""

    def __init__(self) -> None:
        self._table = np.zeros(1 << 12, dtype=np.uint64)
        self._used = 0

    def add(self, name: str) -> bool:
        """Note an id; whether it is new."""
        if 2 * (self._used + 1) > len(self._table):
            old = self._table[self._table != 0]
            self._table = np.zeros(2 * len(self._table), dtype=np.uint64)
            for value in old.tolist():
                self._put(value)
        new = self._put(stable_seed(name) | 1 << 63)
        self._used += new
        return new

    def _put(self, value: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        slot = value & mask
        while found := table.item(slot):
            if found == value:
                return False
            slot = (slot + 1) & mask
        table[slot] = value
        return True


class Journal:
    """The manifest of one split as it grows. Use it as a context; `close` leaves what is needed to go on."""

    def __init__(self, folder: Path, base: Path) -> None:
        """Take up what stands in `folder`, or begin. Audio paths are relative to `base`, the manifest's folder to be.

        OSError goes to the caller, who knows what the user was doing.
        """
        self.folder, self.base = folder, os.path.abspath(base)
        folder.mkdir(parents=True, exist_ok=True)
        self.place = Place(**read_json(folder / PLACE)) if (folder / PLACE).exists() else Place()
        self.ids = IdSet()
        self.manifest = self._take_up(MANIFEST, self.place.manifest_bytes)
        self.skips = self._take_up(SKIPPED, self.place.skipped_bytes)
        if self.place.utterances:
            with open(folder / MANIFEST, "rb") as handle:
                for line in handle:
                    self.ids.add(str(json.loads(line)["id"]))

    def _take_up(self, name: str, size: int) -> IO[bytes]:
        handle = open(self.folder / name, "ab")  # noqa: SIM115 (closed by `close`)
        if handle.tell() < size:
            handle.close()
            raise ManifestError(
                f"{self.folder / name}: is shorter than it was when the import was interrupted; begin anew (--restart)."
            )
        handle.truncate(size)
        handle.seek(size)
        return handle

    def add(self, utterance: Utterance, *tallies: str | None, repeats: bool = False) -> None:
        """One more utterance, or the reason why it cannot be one; `tallies` are what it is counted as, too.

        An id that was used is skipped, or numbered where ids may be `repeats`.
        """
        try:
            line = manifest_line(utterance, self.base)
        except ManifestError as error:
            return self.skip(Skipped(utterance.id, str(utterance.audio_filepath), f"not a valid utterance: {error}"))
        if not self.ids.add(utterance.id):
            if not repeats:
                return self.skip(
                    Skipped(utterance.id, str(utterance.audio_filepath), "duplicate id: an earlier utterance has it")
                )
            fresh = next(name for n in itertools.count(2) if self.ids.add(name := f"{utterance.id}#{n}"))
            line = manifest_line(dataclasses.replace(utterance, id=fresh), self.base)
            tallies = (*tallies, "ids that were repeated")
        self.manifest.write(line.encode() + b"\n")
        self.place.utterances += 1
        self.place.seconds += utterance.duration
        for tally in filter(None, tallies):
            self.place.tallies[tally] = self.place.tallies.get(tally, 0) + 1

    def skip(self, entry: Skipped) -> None:
        """One more entry that is left out."""
        record = dataclasses.asdict(entry)
        self.skips.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        kind = entry.reason.split(":")[0]
        self.place.skipped += 1
        self.place.reasons[kind] = self.place.reasons.get(kind, 0) + 1

    def note(self, checkpoint: Checkpoint) -> None:
        """Make all so far last, and go on from here after an interruption."""
        for handle in (self.manifest, self.skips):
            handle.flush()
            os.fsync(handle.fileno())
        self.place.manifest_bytes = self.manifest.tell()
        self.place.skipped_bytes = self.skips.tell()
        self.place.state = checkpoint.state
        try:
            write_json(self.folder / PLACE, dataclasses.asdict(self.place))
        except DuolectError as error:
            raise (error.__cause__ if isinstance(error.__cause__, OSError) else error) from None

    def finish(self) -> None:
        """Note that all is there."""
        self.place.complete = True
        self.note(Checkpoint(None))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for handle in (self.manifest, self.skips):
            try:
                handle.close()
            except OSError:  # a full disk, which is what the block ended with
                if kind is None:
                    raise


def finished(folder: Path) -> Place | None:
    """The place of a journal that is complete, if there is one: only `publish` is left to do."""
    place = Place(**read_json(folder / PLACE)) if (folder / PLACE).exists() else Place()
    return place if place.complete else None


def publish(folder: Path, manifest: Path, skipped: Path) -> None:
    """Move a complete journal's files to where they belong; done again after an interruption, it ends the same."""
    for name, target in ((SKIPPED, skipped), (MANIFEST, manifest)):
        if (folder / name).exists():
            if name == SKIPPED and not (folder / name).stat().st_size:
                (folder / name).unlink()
                target.unlink(missing_ok=True)
            else:
                os.replace(folder / name, target)


def forget(folder: Path) -> None:
    """Drop a journal."""
    shutil.rmtree(folder, ignore_errors=True)
