"""Stages that give data: the synthetic corpus, and manifests that the user has.

The folder of either holds train.jsonl, dev.jsonl and test.jsonl, and where there is text for language models lm.txt and
dev.txt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.configs import to_json
from duolect.data import load_manifest, read_manifest, write_manifest
from duolect.data.synthetic import SyntheticConfig, make_corpus
from duolect.errors import DuolectError
from duolect.reports.progress import StageBar
from duolect.storage import atomic_file, file_hash
from duolect.studies.stages.base import Stage

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class SyntheticCorpus(Stage):
    """The synthetic corpus of a config."""

    kind: ClassVar[str] = "corpus"
    rooms: ClassVar[tuple[str, ...]] = ("data", "audio", "text")

    config: SyntheticConfig

    def settings(self) -> Any:
        """The corpus's config."""
        return to_json(self.config)

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Speak the corpus, or find it complete."""
        with StageBar(console, "speaking the corpus") as advance:
            corpus = make_corpus(folder, config=self.config, progress=advance)
        with atomic_file(folder / "dev.txt") as handle:
            handle.writelines(f"{utterance.text}\n" for utterance in load_manifest(corpus.dev))


@dataclass(frozen=True, kw_only=True)
class GivenCorpus(Stage):
    """Manifests of the user's, known by their contents: `parts` has the file of each of SPLITS, and text as "lm".

    `train` may be a folder of parquet shards. `hint`: the import that makes what is missing, for the error's text.
    `planned`: files may be missing, as the stage is part of a plan and will not be made.
    """

    kind: ClassVar[str] = "given"

    parts: Mapping[str, Path]
    hint: str = ""
    planned: bool = False

    def settings(self) -> Any:
        """Hashes of the files; raises DuolectError for one that is missing."""
        return {part: self._identity(part, path) for part, path in sorted(self.parts.items())}

    def _identity(self, part: str, path: Path) -> Any:
        return None if self.planned and not path.exists() else _identity(part, path, self.hint)

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Write manifests with absolute paths, and links to all else."""
        for part, path in self.parts.items():
            target = folder / (f"{part}.jsonl" if part in SPLITS and path.is_file() else f"{part}.txt")
            if part in SPLITS and path.is_file():
                # Written anew, since its audio paths may be relative to where it is.
                write_manifest(target, read_manifest(path))
                continue
            link = folder / part if path.is_dir() else target
            link.unlink(missing_ok=True)
            os.symlink(path.resolve(), link)


def _identity(part: str, path: Path, hint: str) -> Any:
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if files:
            return [[str(file.relative_to(path)), file.stat().st_size] for file in files]
    elif path.is_file():
        return file_hash(path)
    raise DuolectError(f"{path}: there is no such {part} data.{f' {hint}' if hint else ''}")
