"""Models in bfloat16, for recognition: half the size, and for large ones about twice the speed where the device is made
for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from duolect.nn import MaskedBatchNorm

WeightPrecision = Literal["stored", "bf16"]
"""Of a model's weights: as they lie in its file, or bfloat16."""


@torch.no_grad()
def round_to_bfloat16(model: nn.Module) -> None:
    """Round the weights of `model` to bfloat16, in place.

    Batch norms stay as they are, for they compute in float32, and so do buffers: of the frequencies of rotary positions
    and of running statistics three digits are not enough.
    """
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm | _BatchNorm):
            continue
        for parameter in module.parameters(recurse=False):
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(torch.bfloat16)
