"""`duolect train`: recipes by name and by file, any field by its name, resuming, two processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import RECIPES, Call, process

from duolect.data.synthetic import Corpus
from duolect.errors import TrainingError
from duolect.recipes import RECIPES as BUILT_IN
from duolect.storage import load_tensors, read_json, write_json
from duolect.training import read_recipe
from duolect.training.attempt import first_attempt
from duolect.training.checkpoint import claim


def data(corpus: Corpus) -> tuple[object, ...]:
    return ("--train", corpus.train, "--dev", corpus.dev)


def test_the_list_has_every_built_in_recipe_with_a_line(call: Call) -> None:
    lines = call("train", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(BUILT_IN)
    assert all(line.endswith(".") and len(line.split()) > 5 for line in lines)


def test_a_recipes_help_has_its_arguments(call: Call) -> None:
    result = call("train", "small-language", "--help")
    assert result.status == 0
    for part in ("--replace-embeddings", "--text", "--out", "--show", "Optimiser steps"):
        assert part in result.out


def test_any_field_can_be_set_by_its_name(call: Call) -> None:
    given = "--loop.steps 7 --optimiser.betas 0.9 0.95 --task.batches.max-seconds=80 --task.wave-augment None --notes 3"
    result = call("train", "small-acoustic", "--train", "a", "b", "--dev", "c", *given.split(), "--show")
    assert result.status == 0
    expected = (
        'task.train = ["a", "b"]',
        "loop.steps = 7",
        "optimiser.betas = [0.9, 0.95]",
        "task.batches.max_seconds = 80.0",
        "task.wave_augment = null",
        'notes = "3"',
    )
    assert set(expected) <= set(result.out.splitlines())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--loop.stps 3", "--loop.stps: loop has no field 'stps'; did you mean 'steps'?"),
        ("--loop.steps many", "recipe: loop: steps must be int, not 'many'."),
        ("--loop.steps 0", "loop: steps must be 1 or more, not 0."),
        ("--loop.steps", "--loop.steps: a value is missing."),
        ("--loop.precision fp8", "precision must be one of 'auto', 'fp32', 'bf16', not 'fp8'."),
        ("--task.initialise-from.x 1", "task.initialise_from is null and has no fields"),
        ("--optimiser.lr -1", "optimiser: lr must be above 0, not -1.0."),
        ("--schedule.points 1", "schedule has no field 'points'"),
    ],
)
def test_a_field_that_does_not_fit_is_one_sentence(call: Call, given: str, sentence: str) -> None:
    result = call("train", "small-acoustic", "--train", "a", "--dev", "b", *given.split())
    assert sentence in result.sentence()


SPEECH_LLM = ["demo-speech-llm", "--train", "a", "--dev", "b", "--acoustic", "c", "--language", "d"]


def test_a_dry_run_is_of_the_device_that_is_asked_for(call: Call, tmp_path: Path) -> None:
    given = ("train", RECIPES, "--train", tmp_path / "t.jsonl", "--dev", tmp_path / "d.jsonl", "--device", "cpu")
    assert "for bfloat16" not in call(*given, "--dry-run").out
    assert "for bfloat16" in call(*given, "--dry-run", "--loop.precision", "bf16").out


def test_a_recipe_takes_its_interface_by_name(call: Call) -> None:
    assert 'task.model.interface.audio = "causal"' in call("train", *SPEECH_LLM, "--show").out
    assert 'task.model.interface.kind = "cross"' in call("train", *SPEECH_LLM, "--interface", "cross", "--show").out
    refused = call("train", *SPEECH_LLM, "--interface", "crossed", "--show")
    assert refused.status == 2
    assert "cross" in refused.err


def test_a_part_of_another_kind_has_its_defaults_and_its_fields(call: Call) -> None:
    given = "--task.model.interface.every 2 --task.model.interface.kind cross --task.model.encoder.kind huggingface"
    source = "--task.model.encoder.source openai/whisper-tiny"
    result = call("train", *SPEECH_LLM, *given.split(), *source.split(), "--show")
    assert result.status == 0
    lines = [line.split(" = ") for line in result.out.splitlines()]
    shown = {name: value for name, value in lines if name.startswith(("task.model.interface", "task.model.encoder"))}
    assert shown["task.model.interface.kind"] == '"cross"'
    assert shown["task.model.interface.every"] == "2"
    assert shown["task.model.interface.heads"] == "null"
    assert shown["task.model.encoder.source"] == '"openai/whisper-tiny"'
    assert not {name for name in shown if name.endswith((".audio", ".width"))}  # of prefix and Conformer


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--task.model.interface.kind crossed", "interface: kind must be one of 'prefix', "),
        ("--task.model.interface.kind cross --task.model.interface.audio causal", "interface has no field 'audio'"),
        ("--task.model.interface.every 2", "interface has no field 'every'; known are kind, audio"),
        ("--task.model.encoder.kind huggingface", "the field 'source' of HuggingFaceEncoderConfig is missing"),
    ],
)
def test_a_kind_that_does_not_fit_is_one_sentence(call: Call, given: str, sentence: str) -> None:
    assert sentence in call("train", *SPEECH_LLM, *given.split()).sentence()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("small-acustic", "did you mean 'small-acoustic'?"),
        ("nothing.py", "there is no such recipe file"),
        (f"{RECIPES}:nothing", "has no function 'nothing'"),
        ("--out", "the recipe comes before the options"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_sentence(call: Call, recipe: str, sentence: str) -> None:
    assert sentence in call("train", recipe).sentence()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def recipe(:\n", "mine.py:1: not valid Python"),
        ("import json\nx = 1 / 0\n", "mine.py:2: the recipe fails with ZeroDivisionError"),
        ("def recipe():\n    return 3\n", "must return a duolect.training.Recipe, not int"),
        ("def recipe():\n    return {}['a']\n", "mine.py:2: the recipe fails with KeyError"),
        ("def recipe(*rest):\n    return 3\n", "a recipe's arguments must have names"),
        ("def recipe(out: str):\n    return 3\n", "cannot be named 'out'"),
    ],
)
def test_a_recipe_file_that_fails_names_the_line(call: Call, tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    arguments = ("--out", tmp_path / "run") if "out" not in source else ()
    assert sentence in call("train", tmp_path / "mine.py", *arguments).sentence()
    assert not (tmp_path / "run").exists()


def test_a_killed_run_goes_on(corpus: Corpus, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    killed = process("train", RECIPES, *data(corpus), "--steps", 400, "--out", run, "--device", "cpu")
    end = time.monotonic() + 60
    while len(list((run / "checkpoints").glob("step-*"))) < 2 and killed.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (run / "system").exists()
    unfinished = call("recognize", run, corpus.test, "--out", tmp_path / "h.jsonl").sentence()
    assert f"go on with `duolect train {run}`" in unfinished
    # The same steps, but fewer of them: the recipe in the folder says how many there are to be.
    recipe = json.loads((run / "recipe.json").read_text())
    reached = max(int(path.name[5:]) for path in (run / "checkpoints").glob("step-*"))
    assert "loop.steps was 400 and is now 9" in call("train", run, "--loop.steps", 9, "--device", "cpu").sentence()
    recipe["recipe"]["loop"]["steps"] = reached + 2
    (run / "recipe.json").write_text(json.dumps(recipe))
    result = call("train", run, "--loop.log-every", 2, "--device", "cpu")
    assert result.status == 0, result.err
    assert f"goes on after step {reached}" in result.err
    assert result.out == f"system: {run}/system\n"
    assert read_recipe(run).loop.log_every == 2
    assert not list(run.rglob("*.part"))


def test_a_run_that_fails_is_kept_from_its_first_step_on(corpus: Corpus, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    given = ("train", RECIPES, *data(corpus), "--out", run, "--device", "cpu", "--steps", 60)
    assert "best_by is 'wer'" in call(*given, "--loop.best-by", "wer").err.splitlines()[-1]
    assert not run.exists()
    failed = call(*given, "--optimiser.lr", "1e30", "--loop.checkpoint-every", 60)
    assert failed.status == 2
    assert "not finite 20 times in a row" in failed.err.splitlines()[-1]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert "not finite 20 times in a row" in lines[-1]["error"]
    assert sum("ids" in line for line in lines) == 20


def test_a_first_attempt_that_fails_leaves_its_folder_as_it_was(corpus: Corpus, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    run.mkdir()
    given = ("train", RECIPES, "--dev", corpus.dev, "--out", run, "--device", "cpu", "--steps", 2)
    for mine in ([], ["mine.txt"]):
        for name in mine:
            (run / name).write_text("kept")
        assert "nothing.jsonl" in call(*given, "--train", tmp_path / "nothing.jsonl").err.splitlines()[-1]
        assert [path.name for path in run.iterdir()] == mine
        best_by = ("--train", corpus.train, "--loop.best-by", "wer")  # refused when the units are made
        assert "best_by is 'wer'" in call(*given, *best_by).err.splitlines()[-1]
        assert [path.name for path in run.iterdir()] == mine
    assert call(*given, "--train", corpus.train).status == 0
    before = sorted(path.name for path in run.iterdir())
    assert "another config" in call(*given, "--train", corpus.dev).err
    assert sorted(path.name for path in run.iterdir()) == before


def test_an_attempt_that_comes_second_takes_nothing_away_from_the_first(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def attempted(*, first: bool) -> None:
        with first_attempt(run) as attempt:
            fresh = claim(run, {})
            attempt.first = fresh and first  # else another process has claimed it meanwhile, and goes on
            raise TrainingError("bad data")

    with pytest.raises(TrainingError, match="bad data"):
        attempted(first=False)
    assert (run / "recipe.json").exists()
    with pytest.raises(TrainingError, match="bad data"):
        attempted(first=True)
    assert (run / "recipe.json").exists()  # it was there before
    shutil.rmtree(run)
    with pytest.raises(TrainingError, match="bad data"):
        attempted(first=True)
    assert not run.exists()


def test_a_finished_run_is_left_as_it_is(runs: Path, call: Call) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.glob("am/**/*.safetensors")}
    result = call("train", runs / "am", "--device", "cpu")
    assert result.status == 0
    assert {path: path.stat().st_mtime_ns for path in runs.glob("am/**/*.safetensors")} == before


def test_a_finished_run_may_lie_where_nothing_can_be_written(
    runs: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is that tried: no probe, no lock. Also where a version before the last one has made it."""
    run = tmp_path / "am"
    shutil.copytree(runs / "am", run)

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))}

    before = times()
    result = call("train", run, "--device", "cpu")
    assert (result.status, result.out) == (0, f"system: {run / 'system'}\n")
    assert times() == before
    stored = read_json(run / "recipe.json")
    del stored["recipe"]["loop"]["tensorboard"]
    write_json(run / "recipe.json", stored)
    before = times()
    monkeypatch.setattr(os, "access", lambda *_: False)
    result = call("train", run, "--device", "cpu")
    assert (result.status, result.out) == (0, f"system: {run / 'system'}\n")
    assert times() == before


def test_a_run_folder_keeps_to_its_config(runs: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    run = runs / "am"
    changed = call("train", run, "--optimiser.lr", 0.5)
    assert "another config: optimiser.lr was 0.01 and is now 0.5" in changed.sentence()
    again = call("train", RECIPES, *data(corpus), "--steps", 9, "--out", run)
    assert "another config: loop.steps was 4 and is now 9" in again.sentence()
    assert "--out belongs to a new run" in call("train", run, "--out", tmp_path / "x").sentence()
    assert "is not a run folder" in call("train", tmp_path).sentence()


def test_two_processes_under_torchrun(corpus: Corpus, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}", "-m"]
    command += ["duolect", "train", str(RECIPES), *map(str, data(corpus)), "--steps", "2", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"system: {tmp_path}/run/system\n"
    assert len(re.findall(r"^step 2/2", done.stderr, re.MULTILINE)) == 1
    checkpoint = read_json(tmp_path / "run" / "last.json")
    assert checkpoint["step"] == 2
    assert load_tensors(tmp_path / "run" / checkpoint["checkpoint"] / "model.safetensors")
