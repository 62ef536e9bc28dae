"""What of a model is trained, and from which step on; and that what is not is the same when a run goes on.

A checkpoint holds only what is trained at some step of the run. The rest is built again from where it came, a folder or
the hub, and its fingerprints tell whether that still holds the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import nn

from duolect.errors import TrainingError
from duolect.storage import read_json, write_json
from duolect.training.config import OptimiserConfig

FROZEN = "frozen.json"


class Stages:
    """The first step (0-based) that trains each parameter, by `freeze` and `freeze_until` of an `OptimiserConfig`.

    What `freeze` names is taken out of training for good when this is made; what asks for no gradient already stays
    out. Raises TrainingError for a pattern that fits nothing, where nothing would be trained in some step, or where
    something would be in less than float32.
    """

    def __init__(self, model: nn.Module, config: OptimiserConfig, steps: int) -> None:
        aliases: dict[nn.Parameter, list[str]] = {}  # a tied parameter goes by any of its names
        for name, parameter in model.named_parameters(remove_duplicate=False):
            aliases.setdefault(parameter, []).append(name)
        for pattern in config.freeze:
            found = [p for p, names in aliases.items() if _fits(pattern, names)]
            if not found:
                raise TrainingError(f"optimiser: freeze: the pattern {pattern!r} fits no parameter's name.")
            for parameter in found:
                parameter.requires_grad_(False)
        for parameter, names in aliases.items():
            if parameter.requires_grad and parameter.dtype.itemsize < 4:
                kind = str(parameter.dtype).removeprefix("torch.")
                raise TrainingError(
                    f"The weight {names[0]} is {kind}, where most steps of training would round to none; dtype must be "
                    "'float32' for what is trained (loop.precision 'bf16' computes in bfloat16 all the same)."
                )
        self.first = {names[0]: 0 for parameter, names in aliases.items() if parameter.requires_grad}
        for pattern, step in config.freeze_until.items():
            where = f"optimiser: freeze_until: the pattern {pattern!r}"
            found = [names[0] for p, names in aliases.items() if p.requires_grad and _fits(pattern, names)]
            if not found:
                raise TrainingError(f"{where} fits no trainable parameter's name.")
            if step >= steps:
                raise TrainingError(f"{where} waits for step {step}, but the run has only {steps}; use freeze instead.")
            self.first |= {name: max(step, self.first[name]) for name in found}
        if not self.first:
            raise TrainingError("The model has no trainable parameter, so there is nothing to train.")
        if min(self.first.values()) > 0:
            raise TrainingError("optimiser: freeze_until leaves nothing to be trained in the first step.")

    @property
    def trained(self) -> Collection[str]:
        """The names of all parameters that are trained at some step, a tied one's first name."""
        return self.first.keys()

    @property
    def switches(self) -> frozenset[int]:
        """The steps from which on more is trained than before."""
        return frozenset(self.first.values()) - {0}

    def enter(self, model: nn.Module, step: int) -> bool:
        """Let the parameters of `model` ask for gradients if step `step` trains them; whether any has changed."""
        changed = False
        for name, parameter in model.named_parameters():
            if name in self.first and parameter.requires_grad != (self.first[name] <= step):
                parameter.requires_grad_(not parameter.requires_grad)
                changed = True
        return changed

    def summary(self, model: nn.Module, step: int) -> str:
        """How many parameters step `step` trains, in words."""
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        number = sum(sizes[name] for name, first in self.first.items() if first <= step)
        later = sorted({first for first in self.first.values() if first > step})
        return f"{number / 1e6:.2f} M parameters are trained" + (
            f" up to step {later[0]}." if later else " from now on."
        )


def _fits(pattern: str, names: Collection[str]) -> bool:
    return any(re.search(pattern, name) for name in names)


def rest_frozen(model: nn.Module) -> None:
    """Put the parts of a model in training that are frozen as a whole into evaluation mode.

    They have no dropout then, and their batch norms keep and use their statistics. A module with a true attribute
    `augments` stays in training mode itself: it changes its input there.
    """
    parameters = list(model.parameters())
    frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
    if frozen and not getattr(model, "augments", False):
        model.eval()
        return
    for child in model.children():
        rest_frozen(child)


def fingerprints(model: nn.Module, trained: Collection[str]) -> dict[str, str]:
    """16 hex digits over type, shape and values of each parameter that is not `trained`, by name."""
    return {name: _fingerprint(p.detach()) for name, p in model.named_parameters() if name not in trained}


def _fingerprint(tensor: torch.Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    if tensor.numel():
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def bind_frozen(folder: Path, prints: Mapping[str, str]) -> None:
    """Keep the fingerprints of what is frozen in a run folder that has none yet."""
    if prints and not (folder / FROZEN).exists():
        write_json(folder / FROZEN, dict(prints))


def check_frozen(folder: Path, prints: Mapping[str, str]) -> None:
    """Raise TrainingError, naming the first weight, unless `prints` are those that the run began with."""
    if not (folder / FROZEN).exists():
        return
    before = read_json(folder / FROZEN)
    for name in sorted(set(before) | set(prints)):
        if before.get(name) != prints.get(name):
            raise TrainingError(
                f"{folder}: the frozen weight {name} is not what this run began with, so what it was taken from has "
                "changed; put that back, or begin a new run."
            )
