"""What is divided over processes (`training.sharding`), for those who meet it and what is whole alike.

The classes are looked up where they are loaded, and not loaded to be looked up: FSDP2 takes half a second to import.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING, TypeGuard

from accelerate import Accelerator
from torch import Tensor, nn

from duolect.errors import TrainingError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

_MIXED = "mixed torch.Tensor and DTensor"


def _if_loaded(module: str, name: str) -> type | tuple[()]:
    """The class, or none: where its module is not loaded, nothing is of it."""
    return getattr(sys.modules.get(module), name, ())


def is_divided(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether each process has but a part of it."""
    return isinstance(tensor, _if_loaded("torch.distributed.tensor", "DTensor"))


@contextlib.contextmanager
def forward_pass(model: nn.Module, accelerator: Accelerator) -> Generator[None]:
    """Around a forward pass in training: a sharded model computes in the accelerator's precision, others see to it.

    Raises TrainingError where a sharded model uses the weights of a block outside the block's forward.
    """
    if not isinstance(model, _if_loaded("torch.distributed.fsdp", "FSDPModule")):
        yield
        return
    try:
        with accelerator.autocast(), warnings.catch_warnings():
            # Keys and values that a layer returns are views, which nobody changes in place.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
            yield
    except RuntimeError as error:
        if _MIXED not in str(error):
            raise
        raise TrainingError(
            "loop: sharding 'fsdp2' does not fit this model, which uses the weights of a layer outside the layer's "
            "forward; sharding 'none' would be right."
        ) from error


def whole(tensor: Tensor) -> Tensor:
    """`tensor`, gathered from all processes if it is divided over them: then every process must call it."""
    return tensor.full_tensor() if is_divided(tensor) else tensor


def divided_as(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of the whole `tensor` if `like` is divided over processes, else `tensor`.

    Every process has the whole; nothing is communicated.
    """
    if not is_divided(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
