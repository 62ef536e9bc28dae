"""What all scales build stages with: the files of a corpus, and trainings with names that say what is unusual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duolect.studies.scales.base import Change
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.corpora import TRANSCRIPTS, GivenCorpus
from duolect.studies.stages.training import Build, Training
from duolect.training import Recipe


def heard_of(corpus: Stage) -> Stage:
    """What trainings hear of a corpus."""
    return corpus.part("train", "dev")


def read_of(corpus: Stage) -> Stage:
    """What language models read of a corpus."""
    return corpus.part("lm", "dev")


def corpus_file(corpus: Stage, folder: Path, part: str) -> Path:
    """A part ("train", "dev", "test", or "lm" for text) of the corpus that stands in `folder`, or its TRANSCRIPTS."""
    if isinstance(corpus, GivenCorpus):
        return folder / corpus.file(part)
    if part == TRANSCRIPTS:
        part = "train"
    return folder / ("lm.txt" if part == "lm" else f"{part}.jsonl")


def changed(change: Change | None, recipe: Recipe) -> Recipe:
    """The recipe with a change, where there is one."""
    return recipe if change is None else change(recipe)


def training(
    what: str,
    seed: int,
    arguments: Mapping[str, Any],
    build: Build,
    inputs: Mapping[str, Stage],
    resources: Needs | None = None,
) -> Training:
    """A training, named after what it trains and those of its `arguments` that are not None."""
    said = "".join(f", {name} {_spoken(value)}" for name, value in arguments.items() if value is not None)
    name = f"{what}{said}, seed {seed}"
    return Training(name=name, build=build, inputs=inputs, resources=resources or Needs())


def _spoken(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
