"""What a model measures of itself in training, beside its losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from duolect.nn.tensors import widest


class Meter(nn.Module):
    """A ratio that is shown in the log under `name`: Σ numerator / Σ denominator over all that was met in training.

    It holds no weights, and nothing of it is saved; nothing is added in evaluation.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.sums: Tensor | None = None  # numerator and denominator; no buffer: they belong to this process alone

    @torch.no_grad()
    def add(self, numerator: Tensor, denominator: Tensor) -> None:
        """Add two scalars, which stay on their device until they are read."""
        if self.training:
            wide = widest(numerator.device)
            pair = torch.stack((numerator.to(wide), denominator.to(wide)))
            self.sums = pair if self.sums is None else self.sums + pair


def read_meters(model: nn.Module) -> dict[str, tuple[float, float]]:
    """{name: (numerator, denominator)} of all meters of `model` that met something, which then start anew.

    Meters of one name are one.
    """
    found: dict[str, tuple[float, float]] = {}
    for meter in model.modules():
        if isinstance(meter, Meter) and meter.sums is not None:
            before = found.get(meter.name, (0.0, 0.0))
            numerator, denominator = meter.sums.tolist()
            found[meter.name] = before[0] + numerator, before[1] + denominator
            meter.sums = None
    return found
