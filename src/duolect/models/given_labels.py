"""Log-probabilities of given labels, without a distribution held for each of them.

P pieces of a tree · N labels of each, padding included · G labels that count · S states · X given labels · W ends ·
E width · V labels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from duolect.nn.label_tree import LabelTree
from duolect.nn.slots import Growth

_NUMBERS = 1 << 27  # held at once in distributions of which one value each is wanted (512 MB)

LogProbs = Callable[[Tensor], Tensor]
"""(S, V) in float32 of states (S, E)."""


def given_log_probs(
    log_probs: LogProbs, vocabulary: int, states_SE: Tensor, source_X: Tensor, labels_X: Tensor
) -> Tensor:
    """log p (X,) of the label labels_X[x] after the state source_X[x]."""
    given_X = torch.zeros(len(labels_X), dtype=torch.float32, device=labels_X.device)
    part = max(_NUMBERS // vocabulary, 1)
    for first in range(0, len(states_SE), part):
        here_Y = ((source_X >= first) & (source_X < first + part)).nonzero()[:, 0]
        log_probs_SV = log_probs(states_SE[first : first + part])
        given_X[here_Y] = log_probs_SV[source_X[here_Y] - first, labels_X[here_Y]]
    return given_X


def tree_log_probs(
    log_probs: LogProbs, vocabulary: int, states_GE: Tensor, growth: Growth, tree: LabelTree, ends_W: Tensor
) -> tuple[Tensor, Tensor]:
    """Given the states after the labels of a tree: (log p of each label that follows another of it, (P, N), 0
    elsewhere; log p (W, V) after the pieces ends_W)."""
    last_P = tree.counts_P.cumsum(0) - 1
    source_G = torch.arange(-1, len(states_GE) - 1, device=last_P.device)
    source_G[last_P - tree.counts_P + 1] = torch.where(tree.parents_P < 0, -1, last_P[tree.parents_P.clamp(min=0)])
    follows_G = source_G >= 0
    sources_S, source_X = source_G[follows_G].unique(return_inverse=True)
    place_X = growth.place_G[follows_G]
    labels_X = tree.labels_PN.flatten()[place_X]
    scores_PN = torch.zeros(tree.labels_PN.shape, dtype=torch.float32, device=last_P.device)
    scores_PN.view(-1)[place_X] = given_log_probs(log_probs, vocabulary, states_GE[sources_S], source_X, labels_X)
    return scores_PN, log_probs(states_GE[last_P[ends_W]])
