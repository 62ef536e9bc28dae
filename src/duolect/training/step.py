"""One optimiser step over several micro-batches and processes, with losses divided by global counts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from duolect.nn.norms import commit_batch_norms
from duolect.nn.tensors import widest
from duolect.training.distributed import Ranks
from duolect.training.divided import forward_pass, whole


@dataclass(frozen=True)
class StepResult:
    """Sums of one step: this process's totals (nats, on the device), the global counts, the weights, by loss term.

    `norm` is the global gradient norm before clipping; when it is not finite the weights were left as they were.
    """

    totals: Mapping[str, Tensor]
    counts: Mapping[str, float]
    weights: Mapping[str, float]
    norm: float

    @property
    def skipped(self) -> bool:
        """Whether the optimiser was not run because the gradients were not finite."""
        return not math.isfinite(self.norm)


def optimiser_step(
    accelerator: Accelerator,
    ranks: Ranks,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Any],
    counts: Mapping[str, float],
    step: int,
    clip_norm: float | None,
) -> StepResult:
    """Run forward and backward over all micro-batches, clip, and update weights and batch-norm statistics once.

    `counts` are each loss term's labels over all micro-batches and processes: the loss Σ weight · total / count, and
    so its gradient, is the same however the batches are cut and spread, but for what batch norms do: in training they
    normalise by the statistics of the one micro-batch that they see. The model gets `model(batch, step)`.
    """
    totals: dict[str, Tensor] = {}
    weights: dict[str, float] = {}
    for index, batch in enumerate(batches):
        last = index == len(batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            with forward_pass(model, accelerator):
                terms = model(batch.to(accelerator.device), step)
            loss = torch.zeros((), device=accelerator.device)
            for name, term in terms.items():
                # DDP and FSDP2 average gradients over processes; the sum is wanted.
                share = term.weight * ranks.size / counts[name] if counts[name] else 0.0
                loss = loss + term.total * share
                totals[name] = totals.get(name, 0.0) + term.total.detach().to(widest(accelerator.device))
                weights[name] = term.weight
            accelerator.backward(loss)
    norm = accelerator.clip_grad_norm_(model.parameters(), clip_norm if clip_norm is not None else math.inf)
    result = StepResult(totals, dict(counts), weights, float(whole(norm)))
    if result.skipped:
        commit_batch_norms(model, Tensor.zero_)  # a count of 0 changes nothing: what was pending is forgotten
    else:
        optimiser.step()
        commit_batch_norms(model, ranks.reduce)
    optimiser.zero_grad(set_to_none=True)
    return result
