"""The scale paper with its own structure, losses, batches and precision, but narrow models that train for two steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from duolect.nn import GatedFrontEndConfig
from duolect.studies.scales import paper, published_aed
from duolect.studies.stages import distillation, recognition, training
from duolect.studies.stages.training import Training
from duolect.training import Recipe

CHANNELS = 12
WIDTHS = {"width": 16, "heads": 2}


def narrow(made: Recipe) -> Recipe:
    """The recipe with such a model."""
    model: Any = made.task.model
    changes: dict[str, Any] = {}
    if hasattr(model, "encoder"):
        further: dict[str, Any] = {"kernel": 3} if hasattr(model.encoder, "kernel") else {}
        if isinstance(model.encoder.front_end, GatedFrontEndConfig):
            further["front_end"] = dataclasses.replace(model.encoder.front_end, channels=CHANNELS)
        changes["encoder"] = dataclasses.replace(model.encoder, **WIDTHS, **further)
    if getattr(model, "decoder", None) is not None:
        changes["decoder"] = dataclasses.replace(model.decoder, **WIDTHS)
    if getattr(model, "llm", None) is not None and model.llm.source is None:
        changes["llm"] = dataclasses.replace(model.llm, **WIDTHS, layers=2, intermediate=32)
    task: Any = dataclasses.replace(made.task, model=dataclasses.replace(model, **changes))
    loop = dataclasses.replace(made.loop, steps=2, evaluate_every=2, checkpoint_every=2, workers=0)
    return dataclasses.replace(made, task=task, loop=loop)


def narrow_paper(patch: pytest.MonkeyPatch) -> None:
    """All trainings of the scale narrow; what asks for a GPU is given the CPU."""
    for module in (paper, published_aed):
        patch.setattr(module, "training", _narrowed(module.training))
    for module in (recognition, training, distillation):
        patch.setattr(module, "device_of", lambda stage: "cpu")


def _narrowed(made: Callable[..., Training]) -> Callable[..., Training]:
    def narrowed(name: str, seed: int, said: Mapping[str, Any], build: Any, *rest: Any) -> Training:
        def narrow_build(folders: Mapping[str, Path]) -> Recipe:
            return narrow(build(folders))

        return made(name, seed, said, narrow_build, *rest)

    return narrowed
