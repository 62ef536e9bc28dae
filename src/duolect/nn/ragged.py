"""Sequences of different length, one after the other without gaps. B rows · S positions · E width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def join(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded parts (x_BSE, lengths_B) joined row by row: (joined_BSE, starts_PB of each part, lengths_B in all).

    Positions beyond a row's end hold what is finite, but has no meaning.
    """
    lengths_PB = torch.stack([lengths_B for _, lengths_B in parts])
    ends_PB = lengths_PB.cumsum(0)
    starts_PB, total_B = ends_PB - lengths_PB, ends_PB[-1]
    width = int(total_B.max()) if len(total_B) else 0
    source_BS = torch.zeros(len(total_B), width + 1, dtype=torch.long, device=total_B.device)
    offset = 0
    for (x_BSE, lengths_B), starts_B in zip(parts, starts_PB, strict=True):
        index_S = torch.arange(x_BSE.shape[1], device=total_B.device)
        # The last place takes what is padding.
        place_BS = torch.where(index_S < lengths_B[:, None], starts_B[:, None] + index_S, width)
        source_BS.scatter_(1, place_BS, (index_S + offset).expand_as(place_BS))
        offset += x_BSE.shape[1]
    everything = torch.cat([x_BSE for x_BSE, _ in parts], dim=1)
    index_BSE = source_BS[:, :width, None].expand(-1, -1, everything.shape[2])
    return everything.gather(1, index_BSE), starts_PB, total_B
