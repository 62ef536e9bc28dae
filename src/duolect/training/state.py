"""What a checkpoint holds of a model and its optimiser: named whole tensors on the CPU, nothing else.

Of a model that is sharded over processes they are gathered, one at a time: a checkpoint does not tell how many
processes wrote it. Every process must then call what reads or writes the tensors.
Only the parameters named in `trained`, those of the whole run (`training.freezing`), and buffers are in it: whoever
resumes builds the model from the same recipe, which brings the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from duolect.errors import TrainingError
from duolect.training.divided import divided_as, whole


def _kept(model: nn.Module, trained: Collection[str]) -> dict[str, Tensor]:
    """Trained parameters and persistent buffers by name; a tied one once, under its first name."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if name in trained or not isinstance(tensor, nn.Parameter):
            kept[name] = tensor
    return kept


def _trained(model: nn.Module, trained: Collection[str]) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if name in trained}


def _copies(tensors: Iterable[tuple[str, Tensor]], keep: bool) -> dict[str, Tensor]:
    """Whole copies on the CPU; without `keep` this process only takes part in the gathering."""
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors:
        full = whole(tensor.detach())
        if keep:
            copies[name] = full.to("cpu", copy=True)
    return copies


def model_tensors(model: nn.Module, trained: Collection[str], *, keep: bool = True) -> dict[str, Tensor]:
    """Copies of the trained weights and the buffers of `model` on the CPU; nothing without `keep`."""
    return _copies(_kept(model, trained).items(), keep)


@torch.no_grad()
def load_model_tensors(
    model: nn.Module, trained: Collection[str], tensors: Mapping[str, Tensor], where: object
) -> None:
    """Put back what `model_tensors` gave. Raises TrainingError naming the first tensor that is not as expected."""
    kept = _kept(model, trained)
    _compare({k: v.shape for k, v in kept.items()}, {k: v.shape for k, v in tensors.items()}, where)
    for name, target in kept.items():
        target.copy_(divided_as(tensors[name], target))


@torch.no_grad()
def copy_trained(source: nn.Module, target: nn.Module, trained: Collection[str]) -> None:
    """Copy what training changes from `source`, which may be sharded, into the same model `target`, which is whole."""
    kept = _kept(target, trained)
    for name, tensor in _kept(source, trained).items():
        kept[name].copy_(whole(tensor))


def optimiser_tensors(
    model: nn.Module, trained: Collection[str], optimiser: torch.optim.Optimizer, *, keep: bool = True
) -> dict[str, Tensor]:
    """The optimiser's tensors as "<parameter name>/<what>" (AdamW: exp_avg, exp_avg_sq, step); none without `keep`."""
    named = (
        (f"{name}/{key}", value)
        for name, parameter in _trained(model, trained).items()
        for key, value in optimiser.state.get(parameter, {}).items()
    )
    return _copies(named, keep)


@torch.no_grad()
def load_optimiser_tensors(
    model: nn.Module,
    trained: Collection[str],
    optimiser: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    where: object,
) -> None:
    """Put back what `optimiser_tensors` gave. Raises TrainingError when it belongs to other parameters."""
    parameters = _trained(model, trained)
    for key, value in tensors.items():
        name, _, what = key.rpartition("/")
        if name not in parameters:
            raise TrainingError(f"{where}: {name!r} is no trainable parameter of this model.")
        parameter = parameters[name]
        if what == "step":  # a fused kernel reads it on the device, the others on the CPU
            fused = any(group.get("fused") for group in optimiser.param_groups)
            state = value.clone().to(parameter.device if fused else "cpu")
        else:
            state = torch.empty_like(parameter).copy_(divided_as(value, parameter))
        optimiser.state[parameter][what] = state


def average_tensors(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several models' tensors, summed in float64; integers are taken from the last one.

    Batch-norm statistics are averaged like weights (Polyak & Juditsky 1992 for the weights; the statistics of the
    mean model are close to the mean of the statistics when the models are close). Holds one sum and one state at a
    time. Raises TrainingError without any state.
    """
    total: dict[str, Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    number = 0
    for state in states:
        number += 1
        for name, tensor in state.items():
            kinds[name] = tensor.dtype
            if number == 1 or not tensor.is_floating_point():
                total[name] = tensor.double() if tensor.is_floating_point() else tensor.clone()
            else:
                total[name] += tensor
    if not number:
        raise TrainingError("There are no checkpoints to average.")
    return {n: (t / number).to(kinds[n]) if kinds[n].is_floating_point else t for n, t in total.items()}


def _compare(model: Mapping[str, torch.Size], file: Mapping[str, torch.Size], where: object) -> None:
    for name in sorted(set(model) | set(file)):
        if name not in file:
            raise TrainingError(f"{where}: the tensor {name!r} of the model is missing.")
        if name not in model:
            raise TrainingError(f"{where}: the tensor {name!r} is none of this model.")
        if model[name] != file[name]:
            raise TrainingError(f"{where}: {name!r} has shape {list(file[name])}, the model's has {list(model[name])}.")
