"""A training stage that was interrupted goes on, also where the store has been moved meanwhile."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console

from duolect.models import LanguageConfig, LLMConfig
from duolect.storage import load_tensors, write_json
from duolect.studies.stages import Stage, Store
from duolect.studies.stages.training import Training
from duolect.text import UnitsConfig
from duolect.training import FROM_UNITS, LanguageTask, LoopConfig, Recipe

WEIGHTS = "system/language/model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Text(Stage):
    kind: ClassVar[str] = "text"

    def uses(self) -> Mapping[str, Stage]:
        return {}

    def settings(self) -> Any:
        return {}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        lines = [f"{a} {b}" for a in ("so", "la", "mi") for b in ("do", "re")]
        (folder / "lm.txt").write_text("\n".join(lines) + "\n")


def recipe(inputs: Mapping[str, Path]) -> Recipe:
    text = str(inputs["text"] / "lm.txt")
    llm = LLMConfig(vocabulary=1, layers=1, width=16, heads=2)
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(llm=llm, **FROM_UNITS),
            units=UnitsConfig(kind="characters"),
            train=(text,),
            dev=text,
            max_tokens=20,
        ),
        loop=LoopConfig(steps=6, checkpoint_every=2, keep=3, log_every=1, tensorboard=False, threads=1),
    )


def test_it_goes_on_where_the_store_has_been_moved(tmp_path: Path) -> None:
    text = Text(name="text")
    stage = Training(name="language", build=recipe, inputs={"text": text})
    stores = {name: Store(tmp_path / name) for name in ("first", "second")}
    for each in (text, stage):
        stores["first"].make(each, Console(file=io.StringIO()))
    whole = stores["first"].folder(stage)
    folder = stores["second"].folder(stage)
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("system", "stage.json", "step-*6", "summary.json"))
    write_json(folder / "last.json", {"step": 4, "checkpoint": "checkpoints/step-00000004"})  # as if stopped there
    console = Console(file=io.StringIO())
    for each in (text, stage):
        stores["second"].make(each, console)
    assert "step 5/6" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "step 4/6" not in console.file.getvalue()  # type: ignore[attr-defined]
    expected, found = (load_tensors(path / WEIGHTS) for path in (whole, folder))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
