"""Where a model is while it is trained: on the device, divided over processes or whole, wrapped for its precision."""

from __future__ import annotations

import warnings

import torch
from accelerate import Accelerator
from torch import nn

from duolect.training.config import OptimiserConfig, Sharding
from duolect.training.distributed import Ranks
from duolect.training.freezing import Stages, rest_frozen
from duolect.training.optimiser import build_optimiser
from duolect.training.state import copy_trained


class Placement:
    """`model` as it came, `trained` (the module that holds what is trained) and `wrapped` (the one that is called)."""

    def __init__(self, model: nn.Module, stages: Stages, accelerator: Accelerator, ranks: Ranks) -> None:
        self.model, self.stages, self.accelerator, self.ranks = model, stages, accelerator, ranks
        self.trained = self.wrapped = model

    def optimiser(self, config: OptimiserConfig, sharding: Sharding) -> torch.optim.Optimizer:
        """Put the model where it is trained, divided over the processes if asked for; its optimiser."""
        if sharding == "fsdp2" and self.ranks.size > 1:
            from duolect.training.sharding import shard

            self.trained = self.wrapped = shard(self.model, self.accelerator)
        else:
            self.model.to(self.accelerator.device)
        return build_optimiser(self.trained, config, self.ranks)

    def enter(self, step: int) -> bool:
        """Train what step `step` trains, and leave the rest in evaluation mode; whether anything changes by that."""
        changed = self.stages.enter(self.trained, step)
        if self.trained is self.model and (changed or self.wrapped is self.model):
            self._wrap()
        if changed and self.trained is not self.model:
            from duolect.training.sharding import trained_anew

            trained_anew(self.trained)
        if changed:
            self.training_mode()
        return changed

    def _wrap(self) -> None:
        """Wrap the whole model for the processes (DDP knows only what was trained when it was made) and precision."""
        self.give_back()
        self.accelerator.free_memory()  # of a wrapper before it, whose hooks go with it
        with warnings.catch_warnings():  # torch renames an option of DDP that accelerate passes on
            warnings.simplefilter("ignore", FutureWarning)
            self.wrapped = self.accelerator.prepare(self.model)

    def training_mode(self) -> None:
        """All that is trained in training mode, all else in evaluation mode."""
        self.wrapped.train()
        rest_frozen(self.trained)

    def gather(self) -> None:
        """Bring into the whole model what the processes have trained of it."""
        if self.trained is not self.model:
            copy_trained(self.trained, self.model, self.stages.trained)

    def give_back(self) -> None:
        """Leave the model as it came, without the wrapper that casts to the run's precision."""
        self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
        vars(self.model).pop("forward", None)
        self.trained = self.wrapped = self.model
