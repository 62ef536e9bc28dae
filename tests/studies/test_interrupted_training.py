"""A training stage that was interrupted goes on, also where the store has been moved meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from rich.console import Console

from duolect.models import LanguageConfig, LLMConfig
from duolect.storage import load_tensors, read_json, write_json
from duolect.studies.stages import Needs, Stage, Store
from duolect.studies.stages.launchers import Call, Local
from duolect.studies.stages.training import Training
from duolect.text import UnitsConfig
from duolect.training import FROM_UNITS, LanguageTask, LoopConfig, Recipe

ROOT = Path(__file__).resolve().parents[2]
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


def of_two_processes() -> list[Stage]:
    """A training on two processes that takes a while; worker processes import it by name."""
    needs = Needs(processes=2)
    return [Training(name="language of two", build=long_recipe, inputs={"text": Text(name="text")}, resources=needs)]


def long_recipe(inputs: Mapping[str, Path]) -> Recipe:
    made = recipe(inputs)
    return dataclasses.replace(
        made, loop=dataclasses.replace(made.loop, steps=100_000, checkpoint_every=50_000, workers=2)
    )


def test_a_training_of_several_processes_ends_with_its_stage_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage,) = of_two_processes()
    store = Store(tmp_path)
    for used in stage.uses().values():
        store.make(used, Console(file=io.StringIO()))
    folder = store.folder(stage)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    job = Local().start(Call(tmp_path, "tests.studies.test_interrupted_training:of_two_processes", "{}"), stage)
    try:
        deadline = time.monotonic() + 240
        while len(steps_of(folder)) < 3 and job.failed() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        job.stop()
        job.join()
    assert job.failed(), job.log.read_text()
    assert not processes_that_name(folder)
    assert read_json(folder / "last.json")["step"] == steps_of(folder)[-1]


def steps_of(folder: Path) -> list[int]:
    log = folder / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return [entry["step"] for entry in map(json.loads, lines) if "step" in entry]


def processes_that_name(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
    return [command for command in found if str(folder) in command]
