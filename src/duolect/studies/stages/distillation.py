"""Sequence-level distillation as stages: a translation model, trained or given, and a corpus with what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.configs import to_json
from duolect.data import read_manifest, write_manifest
from duolect.errors import DuolectError
from duolect.reports.progress import StageBar
from duolect.storage import file_hash, write_json
from duolect.studies.stages.base import Needs, Stage, link, place_of
from duolect.studies.stages.devices import device_of
from duolect.training.distillation import SUFFIX, distill
from duolect.training.teacher import TeacherConfig, train_teacher
from duolect.training.translator import TranslatorConfig

MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Teacher(Stage):
    """A small translation model from English to German, trained on the sentence pairs of the synthetic corpus."""

    kind: ClassVar[str] = "teacher"
    rooms: ClassVar[tuple[str, ...]] = ("training",)

    corpus: Stage
    config: TeacherConfig = field(default_factory=TeacherConfig)

    def uses(self) -> Mapping[str, Stage]:
        """The corpus."""
        return {"corpus": self.corpus}

    def settings(self) -> Any:
        """Its sizes and training."""
        return to_json(self.config)

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Train it, and note how well it translates dev."""
        with StageBar(console, "training a translation model") as advance:
            score = train_teacher(inputs["corpus"], folder / MODEL, self.config, advance)
        write_json(folder / "dev.json", {"score": score})


@dataclass(frozen=True, kw_only=True)
class GivenTeacher(Stage):
    """A translation model of transformers that the user has in a folder, known by the contents of its files, or one of
    the Hugging Face hub, known by its name. `planned`: it may be missing, as nothing will be made."""

    kind: ClassVar[str] = "translator"

    source: Path
    planned: bool = False

    @property
    def places(self) -> Mapping[str, Any]:
        """That of the folder."""
        return {"model": place_of(self.source)} if self.source.is_dir() else {}

    def settings(self) -> Any:
        """Hashes of its files, or its name. Raises DuolectError for a folder that is missing."""
        if self.source.is_dir():
            files = sorted(path for path in self.source.iterdir() if path.is_file())
            return {path.name: _hash(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files}
        if self.is_local and not self.planned:
            raise DuolectError(f"{self.source}: there is no such folder with a translation model.")
        return str(self.source)

    @property
    def is_local(self) -> bool:
        """Whether the source can be no name of the hub."""
        return self.source.is_absolute() or len(self.source.parts) > 2

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Link to it; that of the hub is fetched before. Raises DuolectError where there is no such model."""
        source = self.source if self.source.is_dir() else _fetched(str(self.source))
        link(folder / MODEL, source)


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    return file_hash(path)


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))
    except (OSError, ValueError) as error:
        raise DuolectError(
            f"{name}: is neither a folder nor the name of a translation model on the Hugging Face hub that can be "
            f"reached ({type(error).__name__})."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Distilled(Stage):
    """A corpus whose training set has the targets that a translation model writes: beside the original ones, or `only`
    those. What there is of dev and test is as it was.

    `source` and `target` are languages; of other target languages nothing is distilled.
    """

    kind: ClassVar[str] = "distilled"
    rooms: ClassVar[tuple[str, ...]] = ("data", "training")

    teacher: Stage
    corpus: Stage
    only: bool = False
    source: str = "en"
    target: str = "de"
    beam: int = 4
    gpus: int = 0

    @property
    def needs(self) -> Needs:
        return Needs(gpus=self.gpus)

    def uses(self) -> Mapping[str, Stage]:
        """The translation model, and of the corpus what trainings hear."""
        return {"teacher": self.teacher, "corpus": self.corpus.part("train", "dev")}

    def settings(self) -> Any:
        """Languages, beam, and whether the original targets stay."""
        return {name: getattr(self, name) for name in ("only", "source", "target", "beam")}

    @property
    def places(self) -> Mapping[str, Any]:
        """Those of the corpus, whose sound it names."""
        return self.uses()["corpus"].places

    def relocate(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Name the sound where it is now; nothing is translated again."""
        self._copy(folder, inputs)
        sound = {row.id: row.audio_filepath for row in read_manifest(inputs["corpus"] / "train.jsonl")}
        rows = list(read_manifest(folder / "train.jsonl"))
        where = ((row, sound.get(row.id) or sound[row.id.removesuffix(SUFFIX)]) for row in rows)
        write_manifest(folder / "train.jsonl", (replace(row, audio_filepath=path) for row, path in where))

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Translate, or go on with it."""
        config = TranslatorConfig(
            model=str(inputs["teacher"] / MODEL), source=self.source, target=self.target, beam=self.beam
        )
        self._copy(folder, inputs)
        with StageBar(console, "translating the training set") as advance:
            distill(
                inputs["corpus"] / "train.jsonl",
                folder / "train.jsonl",
                config,
                only_distilled=self.only,
                device=device_of(self),
                progress=advance,
            )

    def _copy(self, folder: Path, inputs: Mapping[str, Path]) -> None:
        for split in ("dev", "test"):
            manifest = inputs["corpus"] / f"{split}.jsonl"
            if manifest.exists():
                write_manifest(folder / manifest.name, read_manifest(manifest))
