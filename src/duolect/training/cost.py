"""What one training step costs: the model's own forward and backward pass, run on shapes instead of numbers.

The model stands on the meta device; lengths and masks, which decide on shapes, are real. B utterances · N samples or
labels · T frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from duolect.nn.ledger import Ledger
from duolect.training.shapes import CountedShapes, pretend, storage_of

REST = "output and losses"
"""What belongs to none of a model's parts."""


@dataclass(frozen=True)
class StepCost:
    """Floating-point operations (a multiplication and an addition are two), and bytes that the forward pass keeps for
    the backward pass. `forward`: of the parts of the model; `backward`: of all together."""

    forward: Mapping[str, float]
    backward: float
    activations: float

    @property
    def flops(self) -> float:
        """Of both passes."""
        return sum(self.forward.values()) + self.backward


def step_cost(model: nn.Module, batch: Any, parts: Mapping[str, nn.Module]) -> StepCost:
    """The cost of a step with `batch` for a `model` on the meta device, which is of no other use afterwards.

    Of the batch only the lengths, labels and seeds are looked at; the sound may be on the meta device too. `parts`:
    modules within the model by name; what belongs to none of them is "output and losses". Raises TrainingError where
    shapes depend on the values of states, which are not known here.
    """
    batch = dataclasses.replace(batch, samples_BN=pretend(batch.samples_BN))
    with CountedShapes() as shapes, _kept(model.train()._apply(pretend)) as bytes_kept:
        with _spent(shapes, parts) as forward:
            loss = torch.stack([term.total * term.weight for term in model(batch).values()]).sum()
        before = shapes.operations
        loss.backward()
    spent = {part: float(count) for part, count in forward.items() if count}
    return StepCost(spent, float(shapes.operations - before), float(sum(bytes_kept.values())))


@contextmanager
def _spent(shapes: CountedShapes, parts: Mapping[str, nn.Module]) -> Generator[dict[str, float]]:
    """Operations of each part, and of the rest; where one is called within another (a CTC head that decides on merging
    inside the encoder, cross-attention between an LLM's layers) they are those of the inner one."""
    ledger = Ledger(lambda: shapes.operations)
    hooks = []
    for part, module in parts.items():
        for inner in module.modules():
            hooks.append(inner.register_forward_pre_hook(lambda *_, part=part: ledger.enter(part)))
            hooks.append(inner.register_forward_hook(lambda *_: ledger.leave()))
    ledger.enter(REST)
    try:
        yield ledger.spent
    finally:
        ledger.leave()
        for hook in hooks:
            hook.remove()


@contextmanager
def _kept(model: nn.Module) -> Generator[dict[int, int]]:
    """Bytes of each storage that is kept for the backward pass; weights do not count."""
    weights = {storage_of(tensor)._cdata for tensor in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no storage's place is given to another

    def note(tensor: Tensor) -> Tensor:
        storage = storage_of(tensor)
        key = storage._cdata
        if key not in weights and key not in found:
            alive.append(tensor)
            found[key] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield found
