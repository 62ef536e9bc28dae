"""What one training step costs: the model's own forward and backward pass, run on shapes instead of numbers.

The model stands on the meta device; lengths and masks, which decide on shapes, are real. B utterances · N samples or
labels · T frames.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from duolect.errors import TrainingError
from duolect.nn.flops import flop_counter
from duolect.nn.ledger import Ledger

_ATEN = torch.ops.aten
REST = "output and losses"
"""What belongs to none of a model's parts."""

_LARGE = 1 << 16  # elements: more than lengths, masks and labels have


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
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def pretend(tensor: Tensor) -> Tensor:
        return FakeTensor(mode, tensor, torch.device("cpu")) if tensor.is_meta else tensor

    model._apply(pretend)
    batch = dataclasses.replace(batch, samples_BN=pretend(batch.samples_BN))
    counter, backward = flop_counter(), flop_counter()
    try:
        with _Shapes(mode), _kept(model.train()) as bytes_kept:
            with counter, _spent(counter, parts) as forward:
                loss = torch.stack([term.total * term.weight for term in model(batch).values()]).sum()
            with backward:
                loss.backward()
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise TrainingError("The cost of a step depends on what is heard, and cannot be told without data.") from error
    spent = {part: float(count) for part, count in forward.items() if count}
    return StepCost(spent, float(backward.get_total_flops()), float(sum(bytes_kept.values())))


@contextmanager
def _spent(counter: FlopCounterMode, parts: Mapping[str, nn.Module]) -> Generator[dict[str, float]]:
    """Operations of each part, and of the rest; where one is called within another (a CTC head that decides on merging
    inside the encoder, cross-attention between an LLM's layers) they are those of the inner one."""
    ledger = Ledger(counter.get_total_flops)
    hooks = []
    for part, module in parts.items():
        for inner in module.modules():
            hooks.append(inner.register_forward_pre_hook(lambda *_, part=part: ledger.enter(part)))
            # Also where an interface leaves a layer by an exception.
            hooks.append(inner.register_forward_hook(lambda *_: ledger.leave(), always_call=True))
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
    weights = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no storage's place is given to another

    def note(tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if key not in weights and key not in found:
            alive.append(tensor)
            found[key] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield found


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Shapes(TorchDispatchMode):
    """Operations with a tensor that has only a shape give such tensors; those on real tensors alone are carried out,
    but for large new ones (noise for dropout), which get a shape only."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self.mode = mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(isinstance(value, FakeTensor) for value in tree_leaves((args, kwargs))):
            if func is _ATEN.index.Tensor:
                return func(args[0], [index for given in args[1] for index in _indices(given)])
            if func in (_ATEN._ctc_loss.default, _ATEN._ctc_loss.Tensor):
                frames, utterances, _ = args[0].shape
                alpha = args[0].new_empty(utterances, frames, 2 * args[1].shape[-1] + 1)
                return args[0].new_empty(utterances), alpha
            if func in (_ATEN._ctc_loss_backward.default, _ATEN._ctc_loss_backward.Tensor):
                return torch.empty_like(args[1])
        elif func is _ATEN.empty.memory_format and math.prod(args[0]) > _LARGE:
            with self.mode:
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _indices(index: Any) -> list[Any]:
    """A real mask decides how many elements are taken: it becomes their places along each of its axes."""
    if isinstance(index, Tensor) and index.dtype == torch.bool and not isinstance(index, FakeTensor):
        return list(index.nonzero(as_tuple=True))
    return [index]
