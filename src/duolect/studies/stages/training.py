"""Stages that give systems: a recipe trained, trained parts combined, scales tuned. Their folder holds `system`."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from rich.console import Console

from duolect.configs import to_json
from duolect.data import load_manifest
from duolect.errors import DuolectError
from duolect.reports.progress import StageBar
from duolect.storage import write_json
from duolect.studies.stages.base import Needs, Stage
from duolect.studies.stages.corpora import TEXTS
from duolect.studies.stages.devices import device_of
from duolect.studies.stages.llms import LLM, GivenLLM
from duolect.systems import (
    NBEST,
    ROUNDS,
    SearchConfig,
    add_counted_priors,
    combine,
    load,
    pretrained_language,
    tune,
)
from duolect.training import Recipe, train_recipe
from duolect.training.checkpoint import RECIPE, write_recipe

SYSTEM = "system"
_NOWHERE = Path(os.sep, "nowhere")

Inputs = Mapping[str, Path]
Build = Callable[[Inputs], Recipe]
"""From the folders of the stages that are used to a recipe."""


@dataclass(frozen=True, kw_only=True)
class Training(Stage):
    """A recipe, trained. `build` makes it from the folders of `inputs`; all its fields are part of the key."""

    kind: ClassVar[str] = "training"
    rooms: ClassVar[tuple[str, ...]] = (
        *("audio", "text", "data", "nn", "models", "training"),
        *("systems/prior.py", "search/priors.py"),  # a trained system has the prior of its CTC head
    )

    build: Build
    inputs: Mapping[str, Stage]
    resources: Needs = field(default_factory=Needs)

    @property
    def needs(self) -> Needs:
        return self.resources

    def uses(self) -> Mapping[str, Stage]:
        """The `inputs`."""
        return self.inputs

    def settings(self) -> Any:
        """The recipe, with names for the folders of its inputs."""
        if not any(isinstance(used, Training) for used in self.inputs.values()):
            return self._settings(_NOWHERE)
        with TemporaryDirectory() as root:
            return self._settings(Path(root))

    def _settings(self, root: Path) -> Any:
        # Where the inputs lie does not matter, only what they are, and that is in their keys.
        said: Any = _replaced(to_json(self.recipe(outlines(self, root))), f"{root}{os.sep}", "")
        if self.needs.gpus and said["loop"].get("precision", "auto") == "auto":
            said["device"] = "gpu"  # by which the precision is chosen
        return said

    def recipe(self, inputs: Inputs) -> Recipe:
        """The recipe for inputs in these folders."""
        return self.build(inputs)

    def make(self, folder: Path, inputs: Inputs, console: Console) -> None:
        """Train, or go on with the training."""
        recipe = self.recipe(inputs)
        write_recipe(folder, to_json(recipe))  # over that of a store that lay elsewhere: same inputs, new places
        device = device_of(self)
        if self.needs.processes == 1:
            train_recipe(recipe, folder, device="cpu" if device == "cpu" else "auto", console=console)
            return
        count = self.needs.processes
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        with subprocess.Popen([*launch, "-m", "duolect", "train", str(folder)]) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # they keep a checkpoint; left alone they would train on
                process.wait()
                raise
        if status:
            raise DuolectError(f"{self.name}: training on {count} processes ended with status {status}.")


def outlines(stage: Training, root: Path) -> dict[str, Path]:
    """Folders below `root` for the inputs of a training, none of which need be made: that of a training has its recipe.

    A recipe that takes over the sizes of a model it starts from finds them there (`training.stored_config`).
    """
    found = {}
    for name, used in stage.inputs.items():
        found[name] = folder = root / f"<{name}>"
        if isinstance(used, Training):
            recipe = to_json(used.recipe(outlines(used, folder)))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / RECIPE).write_text(json.dumps({"recipe": recipe}), encoding="utf-8")
    return found


def _replaced(value: Any, old: str, new: str) -> Any:
    """JSON with `old` replaced in every text."""
    if isinstance(value, dict):
        return {name: _replaced(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Combined(Stage):
    """A system of the components that trained systems bring: acoustic, language, speech_llm.

    As "language" a pre-trained LLM (`stages.llms.GivenLLM`) is taken as it is, in its own units. With `prior_text`, a
    corpus, the labels of all components are counted in its training transcripts, for the priors "counts" and "tokens".
    """

    kind: ClassVar[str] = "combined"
    rooms: ClassVar[tuple[str, ...]] = ("systems",)

    parts: Mapping[str, Stage]
    prior_text: Stage | None = None

    def uses(self) -> Mapping[str, Stage]:
        """The `parts`, and the corpus that labels are counted in."""
        text = {} if self.prior_text is None else {_PRIOR_TEXT: self.prior_text.part("train")}
        return {**self.parts, **text}

    def settings(self) -> Any:
        """None: the parts decide."""
        return {}

    def make(self, folder: Path, inputs: Inputs, console: Console) -> None:
        """Put the parts together; their weights are linked."""
        parts: dict[str, Any] = {name: inputs[name] / SYSTEM for name in self.parts}
        if isinstance(self.parts.get("language"), GivenLLM):
            parts["language"] = pretrained_language(inputs["language"] / LLM)
        system = combine(**parts)
        if self.prior_text is not None:
            counted, left_out = add_counted_priors(system.parts, [_transcripts(inputs[_PRIOR_TEXT])])
            system = dataclasses.replace(system, **counted)
            for name, count in left_out.items():
                if count:
                    console.print(f"  prior of {name}: {count} sentences cannot be spelled", highlight=False)
        system.save(folder / SYSTEM)


_PRIOR_TEXT = "prior text"


def _transcripts(corpus: Path) -> Path:
    """The training transcripts of a corpus: of its manifest, or, where it trains on shards, the text beside them."""
    manifest = corpus / "train.jsonl"
    return manifest if manifest.is_file() else corpus / TEXTS


@dataclass(frozen=True, kw_only=True)
class Tuned(Stage):
    """A system with the scales of a method chosen on the dev set of a corpus."""

    kind: ClassVar[str] = "tuned"
    rooms: ClassVar[tuple[str, ...]] = (*("audio", "text", "data", "nn", "models", "search", "evaluation", "systems"),)

    system: Stage
    corpus: Stage
    method: str
    search: SearchConfig | None = None
    without: tuple[str, ...] = ()
    rounds: int = ROUNDS
    nbest: int = NBEST
    gpus: int = 0

    @property
    def needs(self) -> Needs:
        return Needs(gpus=self.gpus)

    def uses(self) -> Mapping[str, Stage]:
        """System and dev set."""
        return {"system": self.system, "corpus": self.corpus.part("dev")}

    def settings(self) -> Any:
        """Method, search and effort of the tuning."""
        search = None if self.search is None else to_json(self.search)
        return {
            "method": self.method,
            "search": search,
            "without": list(self.without),
            "rounds": self.rounds,
            "nbest": self.nbest,
        }

    def make(self, folder: Path, inputs: Inputs, console: Console) -> None:
        """Tune, and keep the system with its scales."""
        dev = inputs["corpus"] / "dev.jsonl"
        system = load(inputs["system"] / SYSTEM, device_of(self))
        with StageBar(console, f"tuning {self.method}") as advance:
            found = tune(
                system,
                load_manifest(dev),
                self.method,
                search=self.search,
                without=self.without,
                rounds=self.rounds,
                nbest=self.nbest,
                set_name="dev",
                progress=advance,
            )
        write_json(folder / "tuning.json", to_json(found.record))
        system.with_tuning(found.record).save(folder / SYSTEM)
