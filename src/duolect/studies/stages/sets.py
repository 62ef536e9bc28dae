"""The stage that makes one corpus of several test sets that the user has, as the Open ASR leaderboard has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.data import Utterance, read_manifest, write_manifest
from duolect.errors import DuolectError
from duolect.studies.stages.base import Stage, place_of
from duolect.studies.stages.identity import manifest_identity

SET = "test_set"
"""The field of a row that names its test set: the manifest it is from."""


@dataclass(frozen=True, kw_only=True)
class GivenSets(Stage):
    """The manifests of a folder, known by their contents, as one test.jsonl; there is no train and no dev.

    `planned`: the folder may be missing, as the stage is part of a plan and will not be made.
    """

    kind: ClassVar[str] = "sets"
    rooms: ClassVar[tuple[str, ...]] = ("data",)

    folder: Path
    regime: str | None = None
    """Of the leaderboard: whose test sets they are to be, where they say so."""
    hint: str = ""
    planned: bool = False

    @property
    def places(self) -> Mapping[str, Any]:
        """That of the folder."""
        return {"sets": place_of(self.folder)}

    def settings(self) -> Any:
        """Hashes of the manifests, and of the sound they name.

        Raises DuolectError where there is none, or where one is of another regime.
        """
        files = self.manifests()
        if not files and not self.planned:
            raise DuolectError(f"{self.folder}: holds no manifests of test sets. {self.hint}".rstrip())
        if not files:
            return {"missing": str(self.folder)}
        for path in files:
            said = next((utterance.fields.get("regime") for utterance in read_manifest(path)), None)
            if None not in (said, self.regime) and said != self.regime:
                raise DuolectError(
                    f"{path}: is of the leaderboard's regime {said}, not {self.regime}; --set regime={said} scores it."
                )
        return {path.stem: manifest_identity(path) for path in files}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Write the manifest; ids begin with the name of the set."""
        write_manifest(folder / "test.jsonl", self._rows())

    def _rows(self) -> Iterator[Utterance]:
        for path in self.manifests():
            for utterance in read_manifest(path):
                fields = {**utterance.fields, SET: path.stem}
                yield dataclasses.replace(utterance, id=f"{path.stem}/{utterance.id}", fields=fields)

    def manifests(self) -> list[Path]:
        """Those of the folder."""
        return [path for path in sorted(self.folder.glob("*.jsonl")) if not path.name.endswith(".skipped.jsonl")]
