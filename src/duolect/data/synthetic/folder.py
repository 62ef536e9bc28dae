"""The folder of a corpus made on the spot: complete with its mark, else unfinished; never mixed with anything else.

FOLDER/config.json          the mark, written last: with it the corpus is complete
FOLDER/unfinished.json      stands there until then
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from duolect.configs import config_hash, to_json
from duolect.errors import ConfigError, DuolectError
from duolect.storage import read_json, write_json

Progress = Callable[[int, int], None]
AUDIO, BABBLE = "audio", "babble"
_MARK, _STARTED = "config.json", "unfinished.json"


class CorpusFolder:
    """A folder that holds, or is to hold, the corpus of one config: the files `parts` and a folder of audio."""

    def __init__(self, path: str | os.PathLike[str], config: Any, parts: Iterable[str]) -> None:
        self.path, self.config, self.parts = Path(path), config, tuple(parts)

    def hours(self) -> dict[str, float] | None:
        """Hours of each split, where a complete corpus of this config stands here; else None."""
        try:
            mark = read_json(self.path / _MARK)
            if mark["hash"] == config_hash(self.config) and all((self.path / name).is_file() for name in self.parts):
                return {split: float(hours) for split, hours in mark["hours"].items()}
        except (ConfigError, OSError, KeyError, TypeError, AttributeError):
            pass  # not there, not ours or damaged: `clear` tells which
        return None

    def clear(self) -> None:
        """Make it an empty folder that is marked as unfinished; only what a corpus consists of is ever removed.

        Raises DuolectError where it holds something else or cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            ours = (self.path / _STARTED).exists() or _is_mark(self.path / _MARK)
            if not ours and any(self.path.iterdir()):
                raise DuolectError(
                    f"{self.path}: holds something that is no synthetic corpus; name a new or empty folder."
                )
            write_json(self.path / _STARTED, {"hash": config_hash(self.config)})
            for name in (_MARK, *self.parts):  # the mark first: from here on the old corpus is not complete
                (self.path / name).unlink(missing_ok=True)
            for name in (AUDIO, BABBLE):
                shutil.rmtree(self.path / name, ignore_errors=True)
        except OSError as error:
            raise DuolectError(f"{self.path}: the corpus could not be written ({error.strerror or error}).") from error

    def finish(self, hours: Mapping[str, float]) -> None:
        """Mark the corpus as complete."""
        os.sync()  # one flush for some thousand audio files; the mark says that they are there
        mark = {"hash": config_hash(self.config), "config": to_json(self.config), "hours": dict(hours)}
        write_json(self.path / _MARK, mark)
        (self.path / _STARTED).unlink()


def _is_mark(path: Path) -> bool:
    try:
        mark = read_json(path)
    except (ConfigError, OSError):
        return False
    return isinstance(mark, dict) and {"hash", "config", "hours"} <= mark.keys()
