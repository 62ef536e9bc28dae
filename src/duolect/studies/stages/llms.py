"""Stages of a pre-trained LLM that the user has: the LLM itself, sentences sampled from it, and those sentences spoken.

The folder of the last is a corpus: train.jsonl, dev.jsonl and test.jsonl, and their texts as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console

from duolect.configs import to_json
from duolect.data import load_manifest
from duolect.data.synthetic import SpeakingConfig, Split, speak_sentences
from duolect.errors import ConfigError, DuolectError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig, TextLogProb, label_log_probs
from duolect.reports.progress import StageBar
from duolect.storage import file_hash, read_json, write_json
from duolect.studies.sampled_text import SentenceBounds, sampled_sentences
from duolect.studies.stages.base import Stage, link, place_of
from duolect.studies.study import FACTS
from duolect.systems import pretrained_language
from duolect.text import Units, words

SENTENCES = "sentences.json"
LLM = "llm"
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True, kw_only=True)
class GivenLLM(Stage):
    """A causal LLM in a folder, known by the contents of its files, or of the Hugging Face hub, known by its name.

    `planned`: the folder may be missing, as the stage is part of a plan and will not be made.
    """

    kind: ClassVar[str] = "llm"

    source: Path
    planned: bool = False

    @property
    def places(self) -> Mapping[str, Any]:
        """That of the folder."""
        return {"llm": place_of(self.source)} if self.source.is_dir() else {}

    def settings(self) -> Any:
        """Hashes of its files, or its name. Raises DuolectError for a folder that is missing."""
        if not self.source.is_dir():
            local = self.source.is_absolute() or len(self.source.parts) > 2
            if local and not self.planned:
                raise DuolectError(f"{self.source}: there is no such folder with a causal language model.")
            return str(self.source)
        return {path.name: _hash(path, path.stat().st_size, path.stat().st_mtime_ns) for path in _files(self.source)}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Link its files, those of the hub fetched before. Raises DuolectError where there is no such LLM."""
        source = self.source if self.source.is_dir() else _fetched(str(self.source))
        place = folder / LLM
        place.mkdir(parents=True, exist_ok=True)
        for path in _files(source):
            link(place / path.name, path)
        if not (place / "config.json").exists():
            raise DuolectError(f"{self.source}: holds no causal language model, for it has no config.json.")


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in _FILES for path in folder.glob(pattern)})


@cache
def _hash(path: Path, size: int, changed: int) -> str:
    return file_hash(path)


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:
        raise DuolectError(
            f"{name}: is neither a folder nor the name of a language model on the Hugging Face hub that can be reached "
            f"({type(error).__name__})."
        ) from error


@dataclass(frozen=True, kw_only=True)
class SampledText(Stage):
    """Sentences sampled from an LLM, parted into train, dev and test: its own domain, as it writes it.

    `train`, `dev`, `test`: sentences of each; `bounds`: words of a sentence.
    """

    kind: ClassVar[str] = "sampled"
    rooms: ClassVar[tuple[str, ...]] = ("text", "nn", "models", "studies/sampled_text.py", "systems/combination.py")

    llm: Stage
    train: int
    dev: int
    test: int
    bounds: SentenceBounds = field(default_factory=SentenceBounds)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sampled text: {name} must be at least 1, not {getattr(self, name)}.")

    def uses(self) -> Mapping[str, Stage]:
        """The LLM."""
        return {"llm": self.llm}

    def settings(self) -> Any:
        """Numbers, bounds and seed."""
        return {name: to_json(getattr(self, name)) for name in ("train", "dev", "test", "bounds", "seed")}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Sample. Raises DuolectError where the LLM cannot be loaded or says too few sentences."""
        language = pretrained_language(inputs["llm"] / LLM)
        with StageBar(console, "sampling sentences") as advance:
            said = sampled_sentences(
                language.model,
                language.units,
                self.train + self.dev + self.test,
                seed=self.seed,
                bounds=self.bounds,
                progress=advance,
            )
        # Test first: with more training sentences it stays the same. Parts follow each other, so that (but for the
        # texts at the seams) no text is cut up among them.
        test, dev, train = said[: self.test], said[self.test :][: self.dev], said[self.test + self.dev :]
        write_json(folder / SENTENCES, {"train": train, "dev": dev, "test": test})


@dataclass(frozen=True, kw_only=True)
class SpokenText(Stage):
    """Sentences spoken by the synthetic voices, none of which is in two parts."""

    kind: ClassVar[str] = "spoken"
    rooms: ClassVar[tuple[str, ...]] = ("data", "audio", "text")

    text: Stage
    speaking: SpeakingConfig = field(default_factory=SpeakingConfig)

    def uses(self) -> Mapping[str, Stage]:
        """The sentences."""
        return {"text": self.text}

    def settings(self) -> Any:
        """How they are spoken."""
        return to_json(self.speaking)

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Speak them, or find them spoken."""
        sentences: Mapping[Split, Sequence[str]] = read_json(inputs["text"] / SENTENCES)
        with StageBar(console, "speaking the corpus") as advance:
            speak_sentences(folder, sentences, self.speaking, progress=advance)


@dataclass(frozen=True, kw_only=True)
class Foreknowledge(Stage):
    """How well an LLM foretells the test sentences of a corpus before it is trained on any: perplexities as FACTS.

    `pretrained`: with its weights, else with random ones. Sentence ends are left out, since an LLM may never have been
    asked for them.
    """

    kind: ClassVar[str] = "foreknowledge"
    rooms: ClassVar[tuple[str, ...]] = ("text", "nn", "models", "studies/stages/llms.py", "systems/combination.py")

    llm: Stage
    corpus: Stage
    pretrained: bool = True
    seed: int = 1

    def uses(self) -> Mapping[str, Stage]:
        """LLM and test set."""
        return {"llm": self.llm, "corpus": self.corpus.part("test")}

    def settings(self) -> Any:
        """Whose weights."""
        return {"pretrained": self.pretrained, "seed": None if self.pretrained else self.seed}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Measure them."""
        source = inputs["llm"] / LLM
        language = pretrained_language(source)
        model, units = language.model, language.units
        if not self.pretrained:
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                llm = LLMConfig(vocabulary=units.size, source=str(source), pretrained=False)
                model = LanguageModel(LanguageConfig(llm=llm, bos_id=units.bos_id, eos_id=units.eos_id)).eval()
        sentences = [utterance.text for utterance in load_manifest(inputs["corpus"] / "test.jsonl")]
        found = words_log_prob(model, units, sentences)
        write_json(
            folder / FACTS,
            {"PPL/label before": f"{found.per_token:.1f}", "PPL/word before": f"{found.per_word:.0f}"},
        )


@torch.inference_mode()
def words_log_prob(model: LanguageModel, units: Units, sentences: Sequence[str]) -> TextLogProb:
    """The log-probability of sentences without their ends."""
    total = TextLogProb()
    for sentence in sentences:
        labels_1N = torch.tensor([units.encode(sentence)])
        length = labels_1N.shape[1]
        scores_1M, _ = label_log_probs(model, None, labels_1N, torch.tensor([length]))
        total += TextLogProb(float(scores_1M[0, :length].double().sum()), length, len(words(sentence)), 0)
    return total
