"""Label sequences of different length as one tensor. R sequences · N labels of the longest."""

from collections.abc import Sequence

import torch
from torch import Tensor


def padded_labels(sequences: Sequence[Sequence[int]], device: torch.device | str | None) -> tuple[Tensor, Tensor]:
    """labels_RN (int64), right-padded with 0, and counts_R."""
    longest = max(map(len, sequences), default=0)
    rows = [[*labels, *[0] * (longest - len(labels))] for labels in sequences]
    labels_RN = torch.tensor(rows, dtype=torch.long, device=device).view(len(rows), longest)
    return labels_RN, torch.tensor([len(labels) for labels in sequences], dtype=torch.long, device=device)
