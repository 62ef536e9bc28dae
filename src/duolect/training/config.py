"""How a run is trained: the loop and the optimiser, as frozen settings that are checked when they are made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from duolect.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16"]
Sharding = Literal["none", "fsdp2"]


def require(condition: bool, what: str) -> None:
    """Raise ConfigError with the sentence `what` unless `condition` holds."""
    if not condition:
        raise ConfigError(what)


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, or Muon for the weight matrices with AdamW for the rest (`training.muon`).

    The paper: AdamW, lr 5e-4 at the peak, eps 1e-16, weight decay 1e-2 (not on embeddings), norm clipped at 5.

    `lr` is the learning rate at the schedule's peak; the schedule gives a factor for each step.
    Biases, norm weights and embeddings are never decayed; the Conformer's biases of queries, which have a row for each
    head, are. Parameters are chosen by regular expressions, searched for in their names: `learning_rate_scales` maps
    them to factors of the learning rate (one parameter, one factor), `freeze` leaves parameters as they are, and
    `freeze_until` does so up to a step (the latest of those that fit): that many steps are taken without them. What is
    frozen as a whole is in evaluation mode: it has no dropout, and its batch norms keep their statistics.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    lr: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    momentum: float = 0.95  # Muon's
    learning_rate_scales: dict[str, float] = field(default_factory=dict)
    freeze: tuple[str, ...] = ()
    freeze_until: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optimiser: lr must be above 0, not {self.lr}.")
        require(
            all(0 <= beta < 1 for beta in self.betas), f"optimiser: betas must lie in [0, 1), not {list(self.betas)}."
        )
        require(0 <= self.momentum < 1, f"optimiser: momentum must lie in [0, 1), not {self.momentum}.")
        require(self.eps > 0, f"optimiser: eps must be above 0, not {self.eps}.")
        require(self.weight_decay >= 0, f"optimiser: weight_decay must be 0 or more, not {self.weight_decay}.")
        for pattern, scale in self.learning_rate_scales.items():
            where = _pattern("learning_rate_scales", pattern)
            require(scale >= 0, f"{where} must be 0 or more, not {scale}.")
        for pattern in self.freeze:
            _pattern("freeze", pattern)
        for pattern, step in self.freeze_until.items():
            where = _pattern("freeze_until", pattern)
            require(step >= 1, f"{where} must be a step from 1 on, not {step}.")


def _pattern(field: str, pattern: str) -> str:
    """Where the pattern stands. Raises ConfigError unless it is a regular expression."""
    where = f"optimiser: {field}.{pattern}"
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where} is not a regular expression ({error}).") from error
    return where


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The loop around the optimiser.

    steps: optimiser steps of the whole run · accumulate: micro-batches per step and process, whose gradients are those
    of one batch of them all, but that batch norms normalise by each micro-batch alone · clip_norm: global gradient
    norm, None for no clipping · precision: "auto" is bf16 on a GPU that has it, else fp32; a CPU
    with the instructions for it (AVX512-BF16, AMX) trains larger models faster in bf16 ·
    evaluate_every / checkpoint_every / log_every: in steps; the last step always does all three ·
    keep: checkpoints kept besides the best one · average_last: at the end, average the weights of this many last
    checkpoints (0 or 1: none; one that is there only because it was the best on dev is none of them) · best_by: the
    dev value, lower is better, that names the best checkpoint · workers: processes that prepare batches · threads:
    torch threads per process, None leaves torch's choice ·
    sharding: with several processes, "none" keeps the whole model on each (DDP), "fsdp2" divides parameters, gradients
    and optimiser states over them (`training.sharding`; each device still takes the whole weights while dev is
    measured, each host once for each of its processes); with one process it has no effect.
    """

    steps: int
    accumulate: int = 1
    clip_norm: float | None = 5.0
    precision: Precision = "auto"
    sharding: Sharding = "none"
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    keep: int = 2
    average_last: int = 0
    best_by: str = "loss"
    seed: int = 1
    log_every: int = 50
    workers: int = 0
    threads: int | None = None
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "evaluate_every", "checkpoint_every", "keep", "log_every"):
            require(getattr(self, name) >= 1, f"loop: {name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("average_last", "workers", "seed"):
            require(getattr(self, name) >= 0, f"loop: {name} must be 0 or more, not {getattr(self, name)}.")
        require(self.clip_norm is None or self.clip_norm > 0, f"loop: clip_norm must be above 0, not {self.clip_norm}.")
        require(self.threads is None or self.threads >= 1, f"loop: threads must be 1 or more, not {self.threads}.")
        require(
            self.average_last <= self.keep,
            f"loop: average_last ({self.average_last}) must not exceed keep ({self.keep}), "
            "for only kept checkpoints can be averaged.",
        )


FREE_FIELDS = (
    "loop.workers",
    "loop.threads",
    "loop.sharding",
    "loop.accumulate",
    "loop.log_every",
    "loop.keep",
    "loop.tensorboard",
    "notes",
)
"""Recipe fields that may change when a run is resumed: they do not change what is computed.

`loop.accumulate` does, unless it makes up for another number of processes: their product is in each checkpoint.
"""
