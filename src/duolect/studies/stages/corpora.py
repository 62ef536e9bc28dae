"""Stages that give data: the synthetic corpus, and manifests that the user has.

The folder of either holds train.jsonl, dev.jsonl and test.jsonl, and where there is text for language models lm.txt and
dev.txt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_args

from rich.console import Console

from duolect.configs import to_json
from duolect.data import Utterance, load_manifest, read_manifest, read_text, write_manifest
from duolect.data.shards import Shards, ShardsConfig, is_shards, list_shards
from duolect.data.synthetic import SpeakingConfig, Split, SyntheticConfig, make_corpus, speak_sentences
from duolect.errors import ConfigError, DuolectError, ManifestError
from duolect.reports.progress import StageBar
from duolect.storage import atomic_file
from duolect.studies.stages.base import Stage, link, place_of
from duolect.studies.stages.identity import content, manifest_identity, shards_identity
from duolect.text import normalise

TRANSCRIPTS = "transcripts"
TEXTS = "transcripts.txt"
"""Of a training set that is read from shards."""
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFESTS = (".jsonl", ".json")
"""Suffixes of manifests; a compressed one has to be unpacked, as everywhere."""
_NO_MANIFESTS = (".gz", ".txt", ".csv", ".tsv", ".parquet")


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
    """Data of the user's, known by their contents: `parts` has a manifest for each of SPLITS, and text (or a manifest)
    as "lm", without which language models learn the transcripts of the training set.

    `train` may be a folder of parquet shards. `of`: the name of the corpus that has further parts. `hint`: the import
    that makes what is missing, for the error's text.
    `planned`: files may be missing, as the stage is part of a plan and will not be made; `hours`: how much each of them
    is known to hold, for plans.
    """

    kind: ClassVar[str] = "given"
    rooms: ClassVar[tuple[str, ...]] = ("data",)

    parts: Mapping[str, Path]
    of: str = ""
    hint: str = ""
    planned: bool = False
    hours: Mapping[str, float] = field(default_factory=dict)

    @property
    def whole(self) -> str:
        """The name of the corpus."""
        return self.of or self.name

    def _part(self, names: tuple[str, ...]) -> Stage:
        """For "lm", where there is none, the training set with its transcripts."""
        wanted = {"train" if name == "lm" and "lm" not in self.parts else name for name in names}
        parts = {name: path for name, path in self.parts.items() if name in wanted}
        if len(parts) == len(self.parts):
            return self
        return dataclasses.replace(self, name=f"{self.whole}: {', '.join(parts)}", of=self.whole, parts=parts)

    @property
    def places(self) -> Mapping[str, Any]:
        """Those of the parts."""
        return {part: place_of(path) for part, path in self.parts.items()}

    def settings(self) -> Any:
        """Hashes of the files, and of the sound they name; raises DuolectError for one that is missing."""
        return {part: self._identity(part, path) for part, path in sorted(self.parts.items())}

    def _identity(self, part: str, path: Path) -> Any:
        # What is missing in a plan is told apart by where it would be, lest it all be one stage.
        missing = self.planned and not path.exists()
        _check_form(part, path, self.hint)
        return {"missing": str(path)} if missing else _identity(part, path, self.hint)

    def file(self, part: str) -> str:
        """The name of a part in the folder, or of what holds the TRANSCRIPTS of the training set."""
        path = self.parts.get(part, Path("lm.txt"))
        if part in SPLITS and is_manifest(path):
            return f"{part}.jsonl"
        if part == TRANSCRIPTS:
            return "train.jsonl" if is_manifest(self.parts["train"]) else TEXTS
        if part in SPLITS:
            return f"{part}.parquet" if path.suffix == ".parquet" and not path.is_dir() else part
        return f"{part}.txt.gz" if path.suffix == ".gz" else f"{part}{path.suffix or '.txt'}"

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Write manifests with absolute paths, texts, and links to all else."""
        for part, path in self.parts.items():
            target = folder / self.file(part)
            if part in SPLITS and target.suffix == ".jsonl":
                # Written anew, since its audio paths may be relative to where it is.
                write_manifest(target, read_manifest(path))
                continue
            link(target, path)
        if "train" in self.parts and self.file(TRANSCRIPTS) == TEXTS:
            _write_texts(folder / TEXTS, self.parts["train"])
        if "train" in self.parts and "lm" not in self.parts:
            _write_texts(folder / self.file("lm"), folder / self.file(TRANSCRIPTS))
        if "dev" in self.parts:
            _write_texts(folder / "dev.txt", self.parts["dev"])


@dataclass(frozen=True, kw_only=True)
class Joined(Stage):
    """The manifests of several corpora as one, ids beginning with the corpus's name in `corpora`.

    `splits`: those that it has; `of`: the name of what has the others.
    """

    kind: ClassVar[str] = "joined"
    rooms: ClassVar[tuple[str, ...]] = ("data",)

    corpora: Mapping[str, Stage]
    splits: tuple[str, ...] = SPLITS
    of: str = ""

    @property
    def whole(self) -> str:
        """The name of all its splits."""
        return self.of or self.name

    def _part(self, names: tuple[str, ...]) -> Stage:
        """The same of these parts of the corpora, where these can be had."""
        corpora = {name: corpus.part(*names) for name, corpus in self.corpora.items()}
        if any(corpora[name] is corpus for name, corpus in self.corpora.items()):
            return self
        splits = tuple(split for split in SPLITS if split in names)
        name = f"{self.whole}: {', '.join(splits)}"
        return dataclasses.replace(self, name=name, of=self.whole, corpora=corpora, splits=splits)

    def uses(self) -> Mapping[str, Stage]:
        """The corpora."""
        return self.corpora

    @property
    def places(self) -> Mapping[str, Any]:
        """Those of the corpora."""
        return {name: places for name, corpus in self.corpora.items() if (places := corpus.places)}

    def settings(self) -> Any:
        """None: the corpora and their names decide, for these say what splits there are."""
        return {}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Write the manifests."""
        for split in self.splits:
            write_manifest(folder / f"{split}.jsonl", self._rows(inputs, split))

    def _rows(self, inputs: Mapping[str, Path], split: str) -> Iterator[Utterance]:
        for name in self.corpora:
            for utterance in read_manifest(inputs[name] / f"{split}.jsonl"):
                yield dataclasses.replace(utterance, id=f"{name}/{utterance.id}")


@dataclass(frozen=True, kw_only=True)
class SpokenTranslations(Stage):
    """The German of the synthetic corpus, spoken by German voices: speech to transcribe, or to translate into English.

    Transcripts are in small letters without punctuation, as the English ones are; no sentence is in two splits.
    """

    kind: ClassVar[str] = "spoken-translations"
    rooms: ClassVar[tuple[str, ...]] = ("data", "audio", "text")

    corpus: Stage
    speaking: SpeakingConfig

    def uses(self) -> Mapping[str, Stage]:
        """The synthetic corpus."""
        return {"corpus": self.corpus}

    def settings(self) -> Any:
        """How they are spoken."""
        return to_json(self.speaking)

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Speak them, or find them spoken, and write down what they mean."""
        english: dict[Split, list[Utterance]] = {
            split: load_manifest(inputs["corpus"] / f"{split}.jsonl") for split in SPLITS
        }
        sentences = {split: [normalise(u.translation or "") for u in found] for split, found in english.items()}
        with StageBar(console, "speaking the corpus in German") as advance:
            speak_sentences(folder, sentences, self.speaking, progress=advance, language="de")
        for split, meant in english.items():
            spoken = load_manifest(folder / f"{split}.jsonl")
            write_manifest(folder / f"{split}.jsonl", map(_meaning, spoken, meant))


def _meaning(spoken: Utterance, english: Utterance) -> Utterance:
    """A German utterance with its English translation, and the domain and template of that."""
    fields = {**english.fields, **spoken.fields}  # the recording is its own
    return dataclasses.replace(spoken, translation=english.text, target_lang=english.lang, fields=fields)


def _write_texts(file: Path, source: Path) -> None:
    if file.exists():  # of the same contents, which may have lain elsewhere
        return
    texts: Iterable[str] = (
        read_text([source])
        if not is_shards(source)
        else (utterance.text for utterance in Shards(list_shards([source]), ShardsConfig()).utterances(timed=False))
    )
    with atomic_file(file) as handle:
        handle.writelines(f"{' '.join(text.split())}\n" for text in texts)


def is_manifest(path: Path) -> bool:
    """Whether a path, which need not exist, is that of a manifest."""
    return path.suffix in MANIFESTS and not path.is_dir()


def _check_form(part: str, path: Path, hint: str) -> None:
    """Raises ConfigError for a part of a form that what reads it does not take, also where that is missing and only its
    name tells."""
    if is_manifest(path) or not (path.exists() or path.suffix in _NO_MANIFESTS):
        return
    packed = path.suffix == ".gz" and Path(path.stem).suffix in MANIFESTS
    if part == "lm":
        wrong, wanted = packed or is_shards(path), "text, one sentence a line (.gz too), or a manifest (.jsonl)"
    elif part == "train":
        wrong, wanted = not is_shards(path), "a manifest (.jsonl), or parquet shards"
    else:
        wrong, wanted = True, "a manifest (.jsonl)"
    if wrong:
        raise ConfigError(f"{path}: the {part} data must be {wanted}.{f' {hint}' if hint else ''}")


def _identity(part: str, path: Path, hint: str) -> Any:
    if path.is_dir():
        with suppress(ManifestError):  # no shards
            return shards_identity(path)
    elif path.is_file():
        return manifest_identity(path) if part in SPLITS and is_manifest(path) else content(path)
    raise DuolectError(f"{path}: there is no such {part} data.{f' {hint}' if hint else ''}")
