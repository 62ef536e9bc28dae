"""What was left out of the data, and why: nothing is lost silently."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from duolect.data.manifest import Utterance
from duolect.errors import ManifestError
from duolect.storage import atomic_file


@dataclass(frozen=True, slots=True)
class Skipped:
    """An utterance (or sentence) that was left out: its id, its file, the reason."""

    id: str
    file: str
    reason: str


class SkipLog:
    """The utterances that were left out, each once however often it came up; `len()` is their number."""

    def __init__(self, entries: Iterable[Skipped] = ()) -> None:
        self._entries: dict[tuple[str, str], Skipped] = {}
        self.extend(entries)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SkipLog:
        """What `write` wrote. Raises ManifestError naming file and line of what is no such entry."""
        log = cls()
        with open(path, encoding="utf-8") as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    log.extend([Skipped(**json.loads(line))])
                except (ValueError, TypeError) as error:
                    raise ManifestError(f"{path}:{number}: is no entry with id, file and reason ({error}).") from error
        return log

    def extend(self, entries: Iterable[Skipped]) -> None:
        """Note utterances that were left out."""
        for entry in entries:
            self._entries.setdefault((entry.id, entry.file), entry)

    def add_misfits(self, misfits: Iterable[tuple[Utterance, str]]) -> None:
        """Note what `SpeechBatches` left out (its `left_out`)."""
        self.extend(Skipped(u.id, str(u.audio_filepath), reason) for u, reason in misfits)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Skipped]:
        return iter(self._entries.values())

    def summary(self, most: int = 3) -> str:
        """One line: how many utterances were skipped, and the first `most` of them with the reason."""
        if not self:
            return "no utterance was skipped"
        shown = "; ".join(f"{entry.id}: {entry.reason}" for entry in list(self)[:most])
        more = f"; and {len(self) - most} more" if len(self) > most else ""
        return f"{len(self)} utterance{'s were' if len(self) > 1 else ' was'} skipped: {shown}{more}"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON lines {"id", "file", "reason"}, whole or not at all; an empty file when nothing was skipped."""
        with atomic_file(path) as handle:
            for entry in self:
                record = {"id": entry.id, "file": entry.file, "reason": entry.reason}
                handle.write(json.dumps(record, ensure_ascii=False) + "\n")
