"""Sharded training: parameters, gradients and optimiser states are divided over the processes (PyTorch's FSDP2).

Each process keeps 1/N of every tensor and gathers the whole weights of one block (a layer of an encoder, a decoder or
an LLM) only while it computes with them (Rajbhandari et al. 2020, "ZeRO" stage 3; Zhao et al., arXiv 2304.11277).
What is learnt is what DDP learns, but for the order of summation; in bf16 embeddings and norms, too, are rounded for
the forward pass, which DDP leaves in float32. Gradients are summed over the processes after each micro-batch, so that
they too are never whole on one device for longer than a block's backward pass.

Loaded only where a model is divided: FSDP2 takes half a second to import.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard

from duolect.errors import TrainingError


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """What is gathered together: the outermost elements of `nn.ModuleList`s that are made of modules themselves.

    A block that shares a parameter with another part of the model (tied weights) is none: its parameters belong to
    both, and stay with the root.
    """
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    for block in _elements(model):
        inside: dict[int, int] = {}
        for module in block.modules():
            for parameter in module.parameters(recurse=False):
                inside[id(parameter)] = inside.get(id(parameter), 0) + 1
        if inside and all(owners[key] == number for key, number in inside.items()):
            yield block


def _elements(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        composite = isinstance(module, nn.ModuleList) and any(True for _ in child.children())
        if composite and not isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _elements(child)


def shard(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """A copy of `model` that is divided over all processes, on their devices; the model itself stays as it is.

    In bf16, blocks are gathered and computed in bfloat16; the weights that are trained, and the sums of their
    gradients, stay in float32. Every process must call it, with the same weights. Raises TrainingError where a
    parameter cannot be divided.
    """
    _check(model)
    sharded = copy.deepcopy(model)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    # The inputs of a block are autocast's business, as they are without sharding.
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    if accelerator.mixed_precision == "bf16":
        policy = replace(policy, param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for module in [*blocks(sharded), sharded]:
        fully_shard(module, mesh=mesh, mp_policy=policy)
    return sharded


def trained_anew(sharded: nn.Module) -> None:
    """Tell FSDP2 that other parameters are trained than before: it chooses the types of their gradients once, by those
    that are trained when a block is first gathered. Every process must call it."""
    for module in sharded.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
            module.reshard()


def _check(model: nn.Module) -> None:
    kinds: dict[torch.dtype, str] = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 0:
            raise TrainingError(f"loop: sharding 'fsdp2' cannot divide the parameter {name}, which is a single number.")
        if parameter.requires_grad:
            kinds.setdefault(parameter.dtype, name)
    if len(kinds) > 1:
        listed = ", ".join(f"{name} is {str(kind).removeprefix('torch.')}" for kind, name in kinds.items())
        raise TrainingError(f"loop: sharding 'fsdp2' needs one type for all trained parameters, but {listed}.")


def matrix_by_matrix(matrices: DTensor, make: Callable[[Tensor], Tensor]) -> DTensor:
    """`make` of (N, rows, columns), each process doing some of the N whole; the result is divided as they are."""
    mesh, shape, stride = matrices.device_mesh, matrices.shape, matrices.stride()
    own = make(matrices.redistribute(placements=[Shard(0)]).to_local())
    done = DTensor.from_local(own, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
    return done.redistribute(placements=matrices.placements)
