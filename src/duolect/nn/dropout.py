"""Dropout that is fast on a CPU, where drawing the random numbers is the cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Zeroes elements with probability p in training and scales the others up, as `nn.Dropout`.

    On a CPU the decisions are 16-bit numbers cut out of 64-bit random ones, four times fewer draws than PyTorch makes;
    p is thereby rounded to a multiple of 2⁻¹⁶. On other devices this is PyTorch's own dropout.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x with some elements zero; x itself in evaluation."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p, training=True)
        dropped = round(self.p * _LEVELS)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        uniform = words.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (uniform >= dropped - _LEVELS // 2).to(x.dtype)
        return x * keep.mul_(_LEVELS / (_LEVELS - dropped))
