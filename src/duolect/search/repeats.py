"""Labels that would repeat what a hypothesis already has. R rows (hypotheses) · N labels · W windows · P pairs."""

from __future__ import annotations

import torch
from torch import Tensor


def repeats(labels_RN: Tensor, ngram: int | None) -> tuple[Tensor, Tensor]:
    """Rows and labels (P,) each: after this row's labels that label would make an n-gram of them occur twice.

    None: there are none. A hypothesis of no repeated n-gram has N − n + 1 windows at most to be compared with.
    """
    count = labels_RN.shape[1]
    if ngram is None or count < ngram:
        none = torch.zeros(0, dtype=torch.long, device=labels_RN.device)
        return none, none
    windows_RWN = labels_RN.unfold(1, ngram, 1)
    same_RW = (windows_RWN[..., :-1] == labels_RN[:, None, count - ngram + 1 :]).all(-1)
    row_P, window_P = same_RW.nonzero(as_tuple=True)
    return row_P, windows_RWN[row_P, window_P, -1]
