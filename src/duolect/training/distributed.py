"""One process or many: where a run computes, in which precision, and what the processes tell each other.

Started by `torchrun` or `accelerate launch` the same code trains on all processes, each with a whole copy of the model
(DDP) or a part of it (`training.sharding`); accelerate reads their number and the devices from the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor

from duolect.errors import TrainingError
from duolect.training.config import LoopConfig, Precision

PATIENCE = timedelta(days=1)
"""That processes wait for one another. Some work is the first one's alone (units, the label prior, the export), and may
take hours, where torch's 10 (NCCL) or 30 minutes would end the run. That a process has died is for its launcher to see,
which then ends the others at once."""


def mixed_precision(precision: Precision, device: torch.device) -> Literal["no", "bf16"]:
    """What accelerate calls the precision: "bf16" only where the device computes it, "no" for fp32.

    Raises TrainingError when bf16 is asked of a GPU without it.
    """
    able = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False))
    if precision == "bf16" and not able:
        raise TrainingError(
            f"loop: precision is 'bf16', which {device} cannot compute; 'fp32' or 'auto' would be right."
        )
    return "bf16" if precision == "bf16" or (precision == "auto" and able and device.type == "cuda") else "no"


def compute_device(*, cpu: bool = False) -> torch.device:
    """Where a run computes: on a GPU where there is one, unless `cpu`."""
    found = None if cpu or not torch.accelerator.is_available() else torch.accelerator.current_accelerator()
    return torch.device("cpu") if found is None else found


def build_accelerator(loop: LoopConfig, folder: Any = None, *, cpu: bool = False) -> Accelerator:
    """The accelerator of one run: device, precision, processes, and TensorBoard logs below `folder` if given.

    `cpu` forces the CPU. Sets the number of torch threads. Batches are never given to accelerate: the sampler shards
    and knows its place itself. Batch-norm statistics are reduced by the trainer, so DDP broadcasts no buffers.
    Raises TrainingError where the environment asks accelerate for another way of training together than DDP.
    """
    if loop.threads is not None:
        torch.set_num_threads(loop.threads)
    # Without a GPU accelerate overlooks torchrun's processes unless it is told that the CPU is meant.
    cpu = compute_device(cpu=cpu).type == "cpu"
    # A process may train several models in turn, each in its own precision; accelerate's state outlives a run.
    AcceleratorState._reset_state()
    # It is this which makes the process group, so that the Accelerator below needs no InitProcessGroupKwargs.
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    assert state.device is not None
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=mixed_precision(loop.precision, state.device),
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)],
        log_with="tensorboard" if folder is not None and loop.tensorboard else None,
        project_dir=folder,
    )
    if accelerator.distributed_type not in (
        DistributedType.NO,
        DistributedType.MULTI_CPU,
        DistributedType.MULTI_GPU,
    ):
        raise TrainingError(
            f"The environment asks accelerate for {accelerator.distributed_type.value}; how processes train together "
            "is for loop.sharding to say: 'none' (DDP) or 'fsdp2'."
        )
    return accelerator


class Ranks:
    """What all processes of a run decide or sum together. With one process nothing is communicated."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.size = accelerator.num_processes
        self.rank = accelerator.process_index
        self.device = accelerator.device
        self._names: list[str] | None = None

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """The small picklable `value` of every process, by rank (through memory; nothing is written)."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def sum_counts(self, counts: Mapping[str, float], stop: bool = False) -> tuple[dict[str, float], bool]:
        """Counts summed by name over all processes, and whether any process wants to stop.

        One small all-reduce over the sorted union of names. The union is agreed on at the first call; a process that
        meets a new name says so in the same reduction, and all agree anew.
        """
        if self.size == 1:
            return dict(counts), stop
        if self._names is None:
            self._agree(counts)
        sums = self._sum_named(counts, stop)
        if sums[1] > 0:
            self._agree(counts)
            sums = self._sum_named(counts, stop)
        return dict(zip(self._names or (), sums[2:], strict=True)), sums[0] > 0

    def sum_values(self, values: Mapping[str, float]) -> dict[str, float]:
        """Values summed by name over all processes, whatever names each of them has."""
        total: dict[str, float] = {}
        for part in self.gather(dict(values)):
            for name, value in part.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def _agree(self, names: Iterable[str]) -> None:
        known = set(self._names or ()).union(*self.gather(sorted(names)))
        self._names = sorted(known)

    def _sum_named(self, counts: Mapping[str, float], stop: bool) -> list[float]:
        names = self._names or []
        new = any(name not in names for name in counts)
        values = [float(stop), float(new), *(counts.get(name, 0.0) for name in names)]
        return self.sum_(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()

    @property
    def reduce(self) -> Callable[[Tensor], Tensor] | None:
        """`sum_` where there is something to reduce, else None."""
        return self.sum_ if self.size > 1 else None
