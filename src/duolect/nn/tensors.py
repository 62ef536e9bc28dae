"""What devices and modes of torch ask of a tensor."""

from __future__ import annotations

import torch
from torch import Tensor


def widest(device: torch.device) -> torch.dtype:
    """The type that sums are kept in: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def bars_gradients(x: Tensor) -> bool:
    """Whether a tensor was made in inference mode and gradients are now asked for, which needs a copy of it."""
    return torch.is_grad_enabled() and x.is_inference()
