"""Runs that are killed, interrupted or continued end with the same bits as runs that were not."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from training_toy import ToyBatch, ToyBatches, make_trainer, stop_after

from duolect.errors import AudioError, TrainingError
from duolect.storage import load_tensors, read_json
from duolect.training import TrainingInterrupted
from duolect.training.checkpoint import Checkpoints, RunLog, run_lock


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / read_json(folder / "last.json")["checkpoint"] / "model.safetensors")


def _assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def _losses(folder: Path) -> list[tuple]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line.get("loss"), line.get("dev_loss")) for line in lines]


def _sums(folder: Path) -> list[dict]:
    """The lines of the log but for what the clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds" and "per_second" not in k} for line in lines]


def _dev(model: torch.nn.Module) -> dict[str, float]:
    torch.rand(3)  # an evaluation that draws random numbers must not shift the training's
    return {"loss": float(sum(p.double().square().sum() for p in model.parameters()))}


def _run(folder: Path, slow: float) -> None:
    make_trainer(folder, 60, evaluate=_dev, slow=slow, log_every=1).run()


def _start(folder: Path, slow: float = 0.005) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_run, args=(folder, slow))
    process.start()
    return process


def _wait_for_lines(folder: Path, lines: int) -> None:
    log = folder / "log.jsonl"
    end = time.monotonic() + 20
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        assert time.monotonic() < end, "the training process does not log"
        time.sleep(0.002)


def test_killed_anywhere_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    make_trainer(tmp_path / "whole", 60, evaluate=_dev, log_every=1).run()
    killed, moments = tmp_path / "killed", random.Random()
    for _ in range(4):
        process = _start(killed)
        before = len((killed / "log.jsonl").read_text().splitlines()) if (killed / "log.jsonl").exists() else 0
        _wait_for_lines(killed, min(before + 3, 12))
        time.sleep(moments.uniform(0, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    make_trainer(killed, 60, evaluate=_dev, log_every=1).run()
    _assert_same(_weights(tmp_path / "whole"), _weights(killed))
    assert _losses(tmp_path / "whole") == _losses(killed)
    for name in ("optimiser.safetensors", "random.safetensors"):
        last = "checkpoints/step-00000060"
        _assert_same(load_tensors(tmp_path / "whole" / last / name), load_tensors(killed / last / name))
    assert not [p for p in killed.rglob(".*") if p.name != ".lock"]


def test_interrupted_by_a_signal_writes_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    make_trainer(tmp_path / "whole", 60, evaluate=_dev, log_every=1).run()
    stopped = tmp_path / "stopped"
    trainer = make_trainer(stopped, 60, evaluate=_dev, log_every=1)
    stop_after(trainer, 13)
    with pytest.raises(TrainingInterrupted, match=r"step 13 of 60.*duolect train"):
        trainer.run()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert read_json(stopped / "last.json")["step"] == 13
    make_trainer(stopped, 60, evaluate=_dev, log_every=1).run()
    _assert_same(_weights(tmp_path / "whole"), _weights(stopped))
    assert _losses(tmp_path / "whole") == _losses(stopped)


def test_an_interruption_leaves_neither_its_checkpoint_nor_a_gap_in_the_log(tmp_path: Path) -> None:
    settings: dict = {"average_last": 2, "keep": 2, "log_every": 10}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    first = make_trainer(whole, 40, **settings)
    summary = first.run()
    for at in (7, 25, 33, 36):
        trainer = make_trainer(stopped, 40, **settings)
        stop_after(trainer, at)
        with pytest.raises(TrainingInterrupted, match=f"step {at} of 40"):
            trainer.run()
        due = [step for step in (10, 20, 30) if step <= at][-2:]
        assert Checkpoints(stopped).steps() == [*due, at]
        assert Checkpoints(stopped).due() == due
    last = make_trainer(stopped, 40, **settings)
    assert last.run().weights == summary.weights == "mean of steps 30, 40"
    for a, b in zip(first.model.parameters(), last.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert _sums(stopped) == _sums(whole)
    assert Checkpoints(stopped).steps() == Checkpoints(whole).steps()


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    process = _start(tmp_path, slow=0.05)
    try:
        _wait_for_lines(tmp_path, 1)
        with pytest.raises(TrainingError, match="another process"):
            make_trainer(tmp_path, 60).run()
    finally:
        process.kill()
        process.join()
    with run_lock(tmp_path), pytest.raises(TrainingError, match="another process"), run_lock(tmp_path):
        pass


def test_a_finished_run_returns_at_once_with_its_weights(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, 20, average_last=2)
    summary = first.run()
    again = make_trainer(tmp_path, 20, average_last=2)
    again._train = None  # type: ignore[assignment]
    assert again.run() == summary
    assert summary.weights == "mean of steps 10, 20"
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_config_is_refused_by_the_first_field_that_differs(tmp_path: Path) -> None:
    make_trainer(tmp_path, 10).run()
    with pytest.raises(TrainingError, match=r"another config: model\.dropout was 0\.1 and is now 0\.2"):
        make_trainer(tmp_path, 10, dropout=0.2).run()


def test_notes_may_change(tmp_path: Path) -> None:
    make_trainer(tmp_path, 10).run()
    trainer = make_trainer(tmp_path, 10)
    trainer.recipe = {**trainer.recipe, "notes": "with another note"}
    trainer.run()
    assert read_json(tmp_path / "recipe.json")["recipe"]["notes"] == "with another note"


def test_a_torn_log_line_is_dropped(tmp_path: Path) -> None:
    make_trainer(tmp_path, 20).run()
    (tmp_path / "summary.json").unlink()
    whole = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(whole + '{"step": 21, "loss": 1}\n{"step": 2')
    make_trainer(tmp_path, 20).run()
    assert (tmp_path / "log.jsonl").read_text() == whole


def test_why_a_run_ended_stands_in_its_log_until_it_goes_on(tmp_path: Path) -> None:
    whole, failed = tmp_path / "whole", tmp_path / "failed"
    make_trainer(whole, 30).run()

    class Failing(ToyBatches):
        def batch(self, number: int) -> ToyBatch:
            if number == 13:
                raise AudioError("13.wav: is gone.")
            return super().batch(number)

    with pytest.raises(AudioError):
        make_trainer(failed, 30, batches=Failing()).run()
    last = (failed / "log.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == {"step": 13, "error": "13.wav: is gone."}
    make_trainer(failed, 30).run()
    assert _losses(failed) == _losses(whole)


@pytest.mark.parametrize("at", [20, 30])
def test_a_due_checkpoint_is_there_when_dev_cannot_be_measured(tmp_path: Path, at: int) -> None:
    whole, failed = tmp_path / "whole", tmp_path / "failed"
    best = {10: 3.0, 20: 1.0, 30: 2.0}
    trainer = make_trainer(whole, 30, keep=1)
    trainer.evaluate = lambda model: {"loss": best[trainer.state.step]}
    trainer.run()
    stopped = make_trainer(failed, 30, keep=1)

    def measure(model: torch.nn.Module) -> dict[str, float]:
        if stopped.state.step == at:
            raise AudioError("dev/1.wav: cannot be read.")
        return {"loss": best[stopped.state.step]}

    stopped.evaluate = measure
    with pytest.raises(AudioError):
        stopped.run()
    assert read_json(failed / "last.json")["step"] == at
    again = make_trainer(failed, 30, keep=1)
    again.evaluate = lambda model: {"loss": best[again.state.step]}
    again.run()
    assert _losses(failed) == _losses(whole)
    _assert_same(_weights(whole), _weights(failed))
    for name in ("best.json", "last.json"):
        assert read_json(failed / name) == read_json(whole / name)
    assert Checkpoints(failed).steps() == Checkpoints(whole).steps() == [20, 30]


def test_dev_that_was_measured_just_before_a_kill_stands_in_the_log_once(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        make_trainer(folder, 20, evaluate=_dev, keep=2, average_last=2).run()
    (killed / "summary.json").unlink()
    Checkpoints(killed).update(20, {"dev_due": True})
    make_trainer(killed, 20, evaluate=_dev, keep=2, average_last=2).run()
    assert _losses(killed) == _losses(whole)


def test_half_written_checkpoints_are_not_seen_and_are_removed(tmp_path: Path) -> None:
    make_trainer(tmp_path, 20).run()
    (tmp_path / "summary.json").unlink()
    half = tmp_path / "checkpoints" / ".step-00000030.0123abcd.part"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert Checkpoints(tmp_path).steps() == [10, 20]
    make_trainer(tmp_path, 20).run()
    assert not half.exists()


def test_a_log_keeps_its_lines_whatever_stands_in_them(tmp_path: Path) -> None:
    """U+2028 ends a line to Python's splitlines, not to JSON."""
    path = tmp_path / "log.jsonl"
    before = RunLog(path, 0)
    for step in (1, 2, 3):
        before.write({"step": step, "ids": [f"a\u2028b\u0085{step}"]})
    before.close()
    RunLog(path, 2)
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert [json.loads(line)["ids"] for line in lines] == [["a\u2028b\u00851"], ["a\u2028b\u00852"]]
