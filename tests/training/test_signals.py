"""A run that is asked to stop keeps a checkpoint, however often it is asked and whoever of its processes hears it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from training_corpus import acoustic_recipe, make_corpus

from duolect.storage import read_json
from duolect.training import Recipe, TrainingInterrupted, train_recipe
from duolect.training.signals import SAME_SECONDS, StopRequest


@pytest.mark.parametrize("first", [[signal.SIGTERM] * 3, [signal.SIGINT] * 2], ids=["SIGTERM", "SIGINT"])
def test_what_is_repeated_at_once_changes_nothing_and_a_later_ctrl_c_stops_at_once(first: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        for number in first:
            os.kill(os.getpid(), number)
        assert stop.asked
        time.sleep(SAME_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def _train(recipe: Recipe, run: Path) -> None:
    os.setsid()
    try:
        train_recipe(recipe, run, device="cpu")
    except TrainingInterrupted:
        os._exit(130)


def test_a_run_with_workers_keeps_a_checkpoint_when_all_its_processes_are_told_to_end_twice(tmp_path: Path) -> None:
    """As by scancel, whose SIGTERM a launcher passes on."""
    corpus, run = make_corpus(tmp_path / "corpus"), tmp_path / "run"
    recipe = acoustic_recipe(corpus, steps=100_000, workers=2, checkpoint_every=100_000, evaluate_every=100_000)
    process = multiprocessing.get_context("fork").Process(target=_train, args=(recipe, run))
    process.start()
    log, deadline = run / "log.jsonl", time.monotonic() + 60
    while not (log.exists() and len(log.read_text().splitlines()) > 3) and process.is_alive():
        assert time.monotonic() < deadline, "the run does not log"
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid or 0, signal.SIGTERM)
        time.sleep(0.002)
    process.join(60)
    assert process.exitcode == 130
    steps = [entry["step"] for entry in map(json.loads, log.read_text().splitlines()) if "step" in entry]
    assert read_json(run / "last.json")["step"] == steps[-1] > 3
