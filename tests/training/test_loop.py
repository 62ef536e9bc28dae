"""The loop itself: it learns, keeps what it should, skips steps that are not finite, and fails in sentences."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from training_toy import ToyBatch, ToyBatches, make_trainer

from duolect.errors import DuolectError, TrainingError
from duolect.nn.norms import MaskedBatchNorm
from duolect.nn.tensors import widest
from duolect.storage import load_tensors, read_json
from duolect.training import LoopConfig
from duolect.training.distributed import Ranks, build_accelerator, mixed_precision
from duolect.training.progress import shared_sums
from duolect.training.state import average_tensors, load_model_tensors, model_tensors
from duolect.training.step import optimiser_step


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_overfits_one_batch(tmp_path: Path) -> None:
    source = ToyBatches(distinct=1)
    make_trainer(tmp_path, 300, batches=source, dropout=0.0, lr=0.03, checkpoint_every=300).run()
    losses = [line["labels"] for line in _lines(tmp_path)]
    assert losses[-1] < 0.1 * losses[0]


def test_accumulating_equals_the_same_batches_with_global_counts(tmp_path: Path) -> None:
    """Two micro-batches of a step give the gradient of Σ over both / count of both."""
    trainer = make_trainer(tmp_path, 1, accumulate=2, dropout=0.0, clip_norm=None, lr=1e-30)
    model, batches = trainer.model, [ToyBatches().batch(i) for i in range(2)]
    seen: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen.__setitem__(name, p.grad.clone()))
    trainer.run()
    found = dict(seen)
    model.zero_grad()
    model.train()
    terms = [model(batch) for batch in batches]
    counts = {k: sum(t[k].count for t in terms if k in t) for k in ("labels", "first")}
    sum(t[k].weight * t[k].total / counts[k] for t in terms for k in t).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_how_a_batch_is_cut_matters_to_batch_norms_alone(tmp_path: Path) -> None:
    whole = ToyBatches().batch(3)
    whole.label_lengths_B = torch.tensor([4, 2, 4])  # even: each part has both loss terms
    trainer = make_trainer(tmp_path, 1, dropout=0.0)
    norms = [module for module in trainer.model.modules() if isinstance(module, MaskedBatchNorm)]
    still = torch.optim.SGD(trainer.model.parameters(), lr=0.0)

    def gradient_norm(*cuts: slice, training: bool) -> float:
        trainer.model.train()
        for norm in norms:
            norm.train(training)
        parts = [ToyBatch(**{name: value[cut] for name, value in vars(whole).items()}) for cut in cuts]
        counts = trainer.loss_counts(whole)
        step = optimiser_step(trainer.accelerator, trainer.ranks, trainer.model, still, parts, counts, 0, None)
        return step.norm

    for training in (False, True):
        one, two = (gradient_norm(*cuts, training=training) for cuts in ([slice(3)], [slice(2), slice(2, 3)]))
        assert (two == pytest.approx(one, rel=1e-4)) is not training


def test_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    dev = iter([3.0, 1.0, float("nan"), 2.0, 2.5])
    summary = make_trainer(tmp_path, 50, evaluate=lambda model: {"loss": next(dev)}, keep=1).run()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000020", "step-00000050"]
    assert read_json(tmp_path / "best.json")["checkpoint"] == "checkpoints/step-00000020"
    assert read_json(tmp_path / "last.json")["step"] == 50
    assert summary.best is not None
    assert (summary.best.step, summary.best.value) == (20, 1.0)
    assert summary.checkpoint == "checkpoints/step-00000020"
    assert [line["dev_loss"] for line in _lines(tmp_path) if "dev_loss" in line] == [3.0, 1.0, None, 2.0, 2.5]


def test_a_better_model_between_checkpoints_is_kept(tmp_path: Path) -> None:
    dev = iter([5.0, 1.0, 2.0, 3.0])
    make_trainer(tmp_path, 20, evaluate=lambda model: {"loss": next(dev)}, evaluate_every=5, keep=1).run()
    assert read_json(tmp_path / "best.json")["step"] == 10
    assert (tmp_path / "checkpoints" / "step-00000010").is_dir()


def test_an_infinite_dev_value_is_never_the_best(tmp_path: Path) -> None:
    dev = iter([float("inf"), 3.0, float("inf")])
    summary = make_trainer(tmp_path, 30, evaluate=lambda model: {"loss": next(dev)}).run()
    assert summary.best is not None
    assert (summary.best.step, summary.best.value) == (20, 3.0)
    never = make_trainer(tmp_path / "never", 10, evaluate=lambda model: {"loss": float("inf")}).run()
    assert (never.best, never.checkpoint) == (None, "checkpoints/step-00000010")


def test_the_mean_of_the_last_checkpoints(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 40, keep=3, average_last=3)
    trainer.run()
    states = [load_tensors(tmp_path / f"checkpoints/step-000000{n}/model.safetensors") for n in (20, 30, 40)]
    assert "norm.running_mean" in states[0]
    for name, tensor in model_tensors(trainer.model, trainer.stages.trained).items():
        torch.testing.assert_close(tensor, torch.stack([state[name] for state in states]).mean(0))


def test_the_best_between_checkpoints_is_no_part_of_the_mean(tmp_path: Path) -> None:
    dev = iter([9.0, 8.0, 7.0, 6.0, 5.0])  # after steps 3, 6, 9 and 12, and of the mean
    settings: dict = {"checkpoint_every": 5, "evaluate_every": 3, "average_last": 3, "keep": 3}
    trainer = make_trainer(tmp_path, 12, evaluate=lambda model: {"loss": next(dev)}, **settings)
    assert trainer.run().weights == "mean of steps 5, 10, 12"
    assert trainer.checkpoints.steps() == [5, 10, 12]


def test_the_best_between_checkpoints_takes_no_place_of_theirs(tmp_path: Path) -> None:
    dev = iter([9.0, 1.0, 7.0, 6.0])
    settings: dict = {"checkpoint_every": 5, "evaluate_every": 3, "keep": 2}
    trainer = make_trainer(tmp_path, 12, evaluate=lambda model: {"loss": next(dev)}, **settings)
    assert trainer.run().checkpoint == "checkpoints/step-00000006"
    assert trainer.checkpoints.steps() == [6, 10, 12]
    assert trainer.checkpoints.due() == [10, 12]


def test_a_checkpoint_that_does_not_say_so_was_due_unless_it_has_a_window(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 20)
    trainer.run()
    states = [tmp_path / f"checkpoints/step-000000{step}/state.json" for step in (10, 20)]
    for path in states:
        state = read_json(path)
        assert state.pop("due") is True
        path.write_text(json.dumps(state))
    assert trainer.checkpoints.due() == [10, 20]
    assert trainer.checkpoints.read(20).due
    (states[1].parent / "window.safetensors").touch()
    assert trainer.checkpoints.due() == [10]


def test_averaging_takes_integers_from_the_last_and_needs_a_state() -> None:
    states = [{"a": torch.tensor([float(i)]), "n": torch.tensor(i)} for i in (1, 4)]
    mean = average_tensors(states)
    assert (mean["a"].item(), mean["n"].item(), mean["a"].dtype) == (2.5, 4, torch.float32)
    with pytest.raises(TrainingError):
        average_tensors([])


def test_a_checkpoint_holds_only_what_was_trained(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 10)
    trainer.run()
    names = set(load_tensors(tmp_path / "checkpoints/step-00000010/model.safetensors"))
    assert {n for n in names if "frozen" in n} == set()
    assert {"embedding.weight", "norm.running_var"} <= names
    assert "head.weight" not in names
    trained = trainer.stages.trained
    tensors = {k: v for k, v in model_tensors(trainer.model, trained).items() if k != "hidden.bias"}
    with pytest.raises(TrainingError, match=r"'hidden\.bias' of the model is missing"):
        load_model_tensors(trainer.model, trained, tensors, "x")


def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 3, batches=ToyBatches(nan_at=range(3)))
    before = model_tensors(trainer.model, trainer.stages.trained)
    summary = trainer.run()
    assert summary.skipped_steps == 3
    for name, tensor in model_tensors(trainer.model, trainer.stages.trained).items():
        assert torch.equal(tensor, before[name])
    assert all(norm.pending is None for norm in trainer.model.modules() if isinstance(norm, MaskedBatchNorm))
    assert _lines(tmp_path)[0]["ids"] == ["utterance-0-0", "utterance-0-1", "utterance-0-2"]


def test_twenty_steps_in_a_row_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 60, batches=ToyBatches(nan_at=range(5, 60)))
    with pytest.raises(TrainingError, match=r"20 times in a row.*utterance-24-0"):
        trainer.run()
    assert trainer.state.step == 25


def test_an_unknown_dev_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="best_by is 'wer', but the dev evaluation gives loss, perplexity"):
        make_trainer(tmp_path, 10, evaluate=lambda m: {"loss": 1.0, "perplexity": 2.0}, best_by="wer").run()


def test_an_ending_source_is_an_error(tmp_path: Path) -> None:
    class Short(ToyBatches):
        def __iter__(self):
            return (self.batch(i) for i in range(3))

    with pytest.raises(TrainingError, match="ended after 3 of 10 steps"):
        make_trainer(tmp_path, 10, batches=Short()).run()


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    make_trainer(tmp_path, 20)
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DuolectError, match="No space left on device"):
        make_trainer(tmp_path, 50).run()
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    monkeypatch.undo()
    assert make_trainer(tmp_path, 50).run().steps == 50


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError, match="run folder cannot be written"):
        make_trainer(tmp_path / "file" / "run", 10).run()


def test_plain_lines_live_line_and_tensorboard(tmp_path: Path) -> None:
    for terminal in (False, True):
        out = io.StringIO()
        trainer = make_trainer(tmp_path / str(terminal), 10, evaluate=lambda m: {"loss": 1.0}, tensorboard=True)
        trainer.console = Console(file=out, force_terminal=terminal, width=200)
        trainer.run()
        assert "dev loss 1" in out.getvalue()
        assert "left" in out.getvalue()
    assert "step 5/10" not in out.getvalue()
    assert list((tmp_path / "True" / "tensorboard").glob("events.*"))


def test_precision_follows_the_device() -> None:
    assert mixed_precision("auto", torch.device("cpu")) == "no"
    assert mixed_precision("bf16", torch.device("cpu")) == "bf16"
    with pytest.raises(TrainingError, match="bf16"):
        mixed_precision("bf16", torch.device("mps"))


def test_bf16_trains_and_leaves_the_model_in_fp32(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, 10, precision="bf16")
    trainer.run()
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    output = trainer.model(ToyBatches().batch(0))["labels"].total
    assert "forward" not in vars(trainer.model)
    assert torch.isfinite(output)
    assert LoopConfig(steps=1).precision == "auto"
    assert isinstance(trainer.model, nn.Module)


def test_sums_are_kept_in_what_the_device_has() -> None:
    assert widest(torch.device("mps")) == torch.float32  # which has no float64
    assert widest(torch.device("cpu")) == widest(torch.device("cuda")) == torch.float64


def _ranks(rank: int, size: int) -> Ranks:
    ranks = Ranks(build_accelerator(LoopConfig(steps=1), cpu=True))
    ranks.rank, ranks.size = rank, size
    return ranks


def test_open_sums_are_shared_among_another_number_of_processes() -> None:
    both = {"count/a": 7.0, "weight/a": 0.5, "norm": 3.0, "steps": 2.0, "seconds": 1.0}
    parts = [{**both, "total/a": 1.0, "size/frames": 10.0}, {**both, "total/a": 2.0, "total/b": 4.0, "weight/b": 0.3}]
    assert shared_sums([], _ranks(0, 1)) == {}
    assert [shared_sums(parts, _ranks(rank, 2)) for rank in range(2)] == parts
    assert shared_sums(parts, _ranks(0, 1)) == {
        **both,
        "total/a": 3.0,
        "total/b": 4.0,
        "weight/b": 0.3,
        "size/frames": 10.0,
    }
    assert shared_sums(parts, _ranks(2, 3)) == {k: v for k, v in both.items() if k != "weight/a"}
