"""Lengths and masks. B utterances · T frames · D width."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Frames = tuple[Tensor, Tensor]
"""States x_BTD, zero outside their utterances, and lengths_B."""

Shorten = Callable[[Tensor, Tensor], Frames]
"""What is done to `Frames` between two layers of an encoder: the layers after it see what it returns, which has fewer
frames, or as many.
"""


def length_mask(lengths_B: Tensor, frames: int) -> Tensor:
    """mask_BT, True where a position is inside its utterance; `frames` is T."""
    return torch.arange(frames, device=lengths_B.device)[None, :] < lengths_B[:, None]


def key_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask of the shape of `mask` (True: attend): 0, or half the smallest finite number of `dtype`.

    Finite rather than minus infinity, so that a row which may attend to nothing stays free of NaN; half, so that it
    remains finite when scores are added to it or when float32 becomes bfloat16.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min / 2)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal encodings (Vaswani et al. 2017) of positions of any shape and sign: (..., width), sines first."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=positions.device, dtype=torch.float32) * (-9.210340371976184 / half))
    angles = positions.to(torch.float32).unsqueeze(-1) * rates
    return torch.cat((angles.sin(), angles.cos()), dim=-1)
