"""The optimiser over the trainable parameters, grouped by weight decay and learning-rate scale."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from duolect.errors import TrainingError
from duolect.training.config import OptimiserConfig
from duolect.training.distributed import Ranks
from duolect.training.muon import MuonWithAdamW, is_hidden_matrix


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and parameter of all that is trained; tied parameters once, under their first name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters without weight decay: biases, norms (whatever has at most one axis) and embeddings."""
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    return {name for name, p in model.named_parameters() if p.ndim <= 1 or id(p) in embeddings}


def parameter_groups(model: nn.Module, config: OptimiserConfig) -> list[dict]:
    """Parameter groups with `muon`, `weight_decay` and `scale` (of the learning rate), in a fixed order.

    Raises TrainingError when nothing is trainable, or a pattern of `learning_rate_scales` fits no trainable parameter,
    or two of different factors fit the same one.
    """
    free = undecayed(model)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    unused = set(config.learning_rate_scales)
    for name, parameter in trainable(model):
        fits = [pattern for pattern in config.learning_rate_scales if re.search(pattern, name)]
        unused.difference_update(fits)
        scale = _learning_rate_scale(name, {pattern: config.learning_rate_scales[pattern] for pattern in fits})
        muon = config.kind == "muon" and is_hidden_matrix(name, parameter, embeddings)
        found.setdefault((muon, 0.0 if name in free else config.weight_decay, scale), []).append(parameter)
    if not found:
        raise TrainingError("The model has no trainable parameter, so there is nothing to train.")
    if unused:
        raise TrainingError(
            f"optimiser: learning_rate_scales: the pattern {sorted(unused)[0]!r} fits no trainable parameter's name."
        )
    return [{"params": found[key], "muon": key[0], "weight_decay": key[1], "scale": key[2]} for key in sorted(found)]


def _learning_rate_scale(name: str, fits: Mapping[str, float]) -> float:
    # Were the first to count, the order of a dictionary would decide, which no identity of a run sees.
    if len(set(fits.values())) > 1:
        factors = ", ".join(f"{pattern!r} ({factor:g})" for pattern, factor in fits.items())
        raise TrainingError(
            f"optimiser: learning_rate_scales: {name} fits patterns of different factors, {factors}; make them exclude "
            "each other, as '^llm(?!.*lora)' excludes 'lora'."
        )
    return next(iter(fits.values()), 1.0)


def build_optimiser(model: nn.Module, config: OptimiserConfig, ranks: Ranks | None = None) -> torch.optim.Optimizer:
    """The optimiser `config` asks for, over `parameter_groups`; `ranks`: the processes that train the model."""
    groups = parameter_groups(model, config)
    if config.kind == "muon":
        settings: dict[str, Any] = {"lr": config.lr, "betas": config.betas, "eps": config.eps}
        return MuonWithAdamW(groups, momentum=config.momentum, ranks=ranks, **settings)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give each group `rate` times its scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]
