"""A tiny model and data source that obey the trainer's protocol; also a script, for tests that need real processes.

python training_toy.py '[{"folder": ..., "steps": ..., ...}, ...]'     runs, one after the other: `run_toy`'s keywords
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from duolect.errors import TrainingError
from duolect.nn.losses import LossTerm
from duolect.nn.meters import Meter
from duolect.nn.norms import MaskedBatchNorm
from duolect.training import (
    LoopConfig,
    OptimiserConfig,
    PiecewiseLinear,
    Ranks,
    Trainer,
    TrainingInterrupted,
    build_accelerator,
)


@dataclass
class ToyBatch:
    ids: list[str]
    inputs_BTD: Tensor
    label_lengths_B: Tensor
    labels_BT: Tensor

    def to(self, device: torch.device) -> ToyBatch:
        return ToyBatch(
            self.ids, self.inputs_BTD.to(device), self.label_lengths_B.to(device), self.labels_BT.to(device)
        )


class ToyBatches:
    """Global batch g depends on g alone; rank r of n gets batches n·i + r. `given` counts those of all ranks.

    Those `lost` are passed over, so that the rank is ahead of the others from then on.
    """

    def __init__(
        self,
        rank: int = 0,
        world: int = 1,
        distinct: int | None = None,
        nan_at: range = range(0),
        lost: Sequence[int] = (),
    ) -> None:
        self.rank, self.world, self.distinct, self.nan_at, self.lost = rank, world, distinct, nan_at, lost
        self.given = 0

    def __iter__(self) -> Iterator[ToyBatch]:
        while True:
            number = self.given + self.rank
            self.given += self.world
            if number not in self.lost:
                yield self.batch(number)

    def batch(self, number: int) -> ToyBatch:
        torch.rand(1)  # a careless source: draws from the model's generator
        made = torch.Generator().manual_seed(number % self.distinct if self.distinct else number)
        lengths_B = torch.randint(2, 7, (3,), generator=made)
        longest = int(lengths_B.max())
        inputs_BTD = torch.randn(3, longest, 4, generator=made)
        labels_BT = torch.randint(0, 5, (3, longest), generator=made)
        if number in self.nan_at:
            inputs_BTD[0, 0, 0] = float("nan")
        return ToyBatch([f"utterance-{number}-{i}" for i in range(3)], inputs_BTD, lengths_B, labels_BT)

    def state_dict(self) -> dict:
        return {"epoch": 0, "consumed": self.given}

    def load_state_dict(self, state: dict) -> None:
        self.given = state["consumed"]


class ToyLayer(nn.Module):
    """A block with batch norm, a meter, frozen and trained matrices, and a number of rows that two does not divide."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.meter = MaskedBatchNorm(8), Meter("padded")
        self.frozen = nn.Linear(8, 7).requires_grad_(False)
        self.trained = nn.Linear(8, 7, bias=False)
        self.contract = nn.Linear(7, 8)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        self.meter.add((~mask_BT).sum(), mask_BT.sum())
        x = self.norm(x_BTD, mask_BT)
        return x_BTD + self.contract(torch.tanh(self.frozen(x) + self.trained(x)))


class ToyModel(nn.Module):
    """Embedding tied to the output, batch norm, dropout, layers, one of them frozen, and two terms of other counts."""

    def __init__(self, dropout: float = 0.1, slow: float = 0.0, outside: bool = False) -> None:
        super().__init__()
        self.slow, self.outside = slow, outside
        self.frozen = nn.Linear(4, 8).requires_grad_(False)
        self.norm = MaskedBatchNorm(8)
        self.hidden = nn.Linear(8, 8)
        self.layers = nn.ModuleList([ToyLayer(), ToyLayer()])
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(5, 8)
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.embedding.weight

    def loss_counts(self, batch: ToyBatch) -> dict[str, float]:
        counts = {"labels": float(batch.label_lengths_B.sum())}
        if self._has_first(batch):
            counts["first"] = float(len(batch.label_lengths_B))
        return counts

    def _has_first(self, batch: ToyBatch) -> bool:
        return int(batch.label_lengths_B[0]) % 2 == 0

    def forward(self, batch: ToyBatch, step: int = 0) -> dict[str, LossTerm]:
        time.sleep(self.slow)
        mask_BT = torch.arange(batch.labels_BT.shape[1]) < batch.label_lengths_B[:, None]
        states_BTD = self.norm(self.frozen(batch.inputs_BTD), mask_BT)
        states_BTD = states_BTD + self.dropout(self.hidden(states_BTD).relu())
        if self.outside:  # of the layer's forward
            states_BTD = states_BTD + self.layers[0].contract.bias
        for layer in self.layers:
            states_BTD = layer(states_BTD, mask_BT)
        states_BTD = states_BTD + 0.1 * self.embedding(batch.labels_BT.roll(1, 1))
        losses_BT = nn.functional.cross_entropy(self.head(states_BTD).mT, batch.labels_BT, reduction="none")
        counts = self.loss_counts(batch)
        terms = {"labels": LossTerm((losses_BT * mask_BT).sum(), counts["labels"], 1.0)}
        if self._has_first(batch):
            terms["first"] = LossTerm(losses_BT[:, 0].sum(), counts["first"], 0.3)
        return terms


def make_trainer(
    folder: Path,
    steps: int,
    *,
    accumulate: int = 1,
    dropout: float = 0.1,
    slow: float = 0.0,
    batches: ToyBatches | None = None,
    evaluate=None,
    lr: float = 0.01,
    kind: str = "adamw",
    outside: bool = False,
    lost: Sequence[int] = (),
    freeze: Sequence[str] = (),
    freeze_until: Mapping[str, int] | None = None,
    **loop,
) -> Trainer:
    defaults = {
        "checkpoint_every": 10,
        "evaluate_every": 10,
        "log_every": 5,
        "precision": "fp32",
        "threads": 1,
        "tensorboard": False,
    }
    settings = LoopConfig(steps=steps, accumulate=accumulate, **(defaults | loop))
    accelerator = build_accelerator(settings, folder, cpu=True)
    torch.manual_seed(7)
    model = ToyModel(dropout, slow, outside)
    ranks = Ranks(accelerator)
    return Trainer(
        model,
        batches or ToyBatches(ranks.rank, ranks.size, lost=lost),
        evaluate=evaluate,
        optimiser=OptimiserConfig(lr=lr, kind=kind, freeze=tuple(freeze), freeze_until=dict(freeze_until or {})),
        schedule=PiecewiseLinear(),
        loop=settings,
        folder=folder,
        recipe={"steps": steps, "model": {"dropout": dropout}, "notes": "toy"},
        accelerator=accelerator,
    )


def dev_loss(ranks: Ranks):
    """An evaluation of three batches, so that two processes have different numbers of them."""

    def evaluate(model: nn.Module) -> dict[str, float]:
        sums = {"total": 0.0, "count": 0.0}
        for number in range(3)[ranks.rank :: ranks.size]:
            term = model(ToyBatches().batch(1000 + number))["labels"]
            sums = {"total": sums["total"] + float(term.total), "count": sums["count"] + term.count}
        sums = ranks.sum_values(sums)
        return {"loss": sums["total"] / sums["count"]}

    return evaluate


def stop_after(trainer: Trainer, step: int | None) -> None:
    """Let the process ask itself to stop once that step is finished."""
    account = trainer._account

    def then_stop(result, batches) -> None:
        account(result, batches)
        if trainer.state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer._account = then_stop  # type: ignore[method-assign]


def run_toy(folder: str | Path, steps: int, *, stop: int | None = None, **settings) -> Trainer:
    """Train, with `dev_loss`; after step `stop` the run is asked to stop, which it does with a checkpoint.

    Why it ends otherwise is written to error.txt.
    """
    trainer = make_trainer(Path(folder), steps, **{"log_every": 1, "evaluate_every": 4, **settings})
    trainer.evaluate = dev_loss(trainer.ranks)
    stop_after(trainer, stop)
    try:
        trainer.run()
    except TrainingInterrupted:
        assert stop is not None
    except TrainingError as error:
        (Path(folder) / "error.txt").write_text(str(error))
    return trainer


def collective_seconds() -> float:
    """How long the processes of this run wait for one another, by what torch was told."""
    group: Any = dist.distributed_c10d._get_default_group()
    return group._get_backend(torch.device("cpu")).options._timeout.total_seconds()


if __name__ == "__main__":
    for run in json.loads(sys.argv[1]):
        run_toy(**run)
    sys.stdout.write(f"{collective_seconds():.0f} s\n")  # at once: the other process writes as well
