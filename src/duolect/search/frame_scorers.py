"""Scorers that have their say label by label inside a search over frames: their states follow the beam.

Legend: n live utterances · K beam · C candidate labels of a frame · R rows of the scorers · M scorers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_scores
from duolect.search.frame_beam import ROW, Beam
from duolect.search.scorer import Weighted, check_vocabularies


class LabelwiseScorers:
    """The scorers' states, a row for each entry of the beam that is alive; `names`: utterances as errors name them.

    The rows start in the order in which the utterances were given; `order_B[b]` is the place of the b-th of the beam.
    """

    def __init__(
        self, weighted: Sequence[Weighted], encoded: Any, order_B: Tensor, names: Sequence[str], labels: int
    ) -> None:
        """`labels`: V. Raises SearchError where the scorers have another number of labels."""
        self.weighted, self.names = weighted, names
        self.pending: list[Any] = [None] * len(weighted)
        self.utterance_R = order_B.argsort()
        if weighted:
            vocabulary = check_vocabularies(weighted)
            if vocabulary != labels:
                raise SearchError(
                    f"scorer {weighted[0].name!r} has {vocabulary} labels, but CTC has {labels} besides blank."
                )
        self.states: list[Any] = [w.scorer.start(encoded, len(order_B)) for w in weighted]

    def gains(self, old: Beam, labels_nC: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What each candidate adds to each entry: weighted sum (n, K, C), and every scorer's own logs."""
        candidates_RC = labels_nC[self.utterance_R]
        rows_nK = old.known_FnK[ROW]
        parts: list[Tensor] = []
        total = torch.zeros((), device=rows_nK.device)
        for i, weighted in enumerate(self.weighted):
            part_RC, self.pending[i] = weighted.scorer.score(self.states[i], candidates_RC)
            check_scores(part_RC, self.utterance_R, ids=self.names, name=weighted.name)
            parts.append(part_RC[rows_nK])
            if weighted.factor:
                total = total + weighted.factor * parts[-1]
        return total.expand(parts[0].shape), parts

    def advance(self, new: Beam, alive_nK: Tensor, label_nK: Tensor) -> None:
        """The states follow the beam; only entries with a new label (≥ 0) cost a forward pass."""
        rows_nK = new.known_FnK[ROW]
        parent_R, label_R = rows_nK[alive_nK], label_nK[alive_nK]
        self.utterance_R = alive_nK.nonzero()[:, 0]
        for i, weighted in enumerate(self.weighted):
            self.states[i] = weighted.scorer.advance(self.states[i], self.pending[i], parent_R, label_R)
        rows_nK.zero_()
        rows_nK[alive_nK] = torch.arange(len(parent_R), device=parent_R.device)

    def end(self, beam: Beam, eos_id: int) -> tuple[Tensor, Tensor]:
        """EOS follows every entry: (extra_nK, terms_nKM) with its scores."""
        eos_R1 = torch.full((len(self.utterance_R), 1), eos_id, device=self.utterance_R.device)
        extra_nK, terms = beam.extra_nK, []
        for weighted, state in zip(self.weighted, self.states, strict=True):
            part_R1, _ = weighted.scorer.score(state, eos_R1)
            check_scores(part_R1, self.utterance_R, ids=self.names, name=weighted.name)
            part_nK = part_R1[:, 0][beam.known_FnK[ROW]]
            terms.append(part_nK)
            if weighted.factor:
                extra_nK = extra_nK + weighted.factor * part_nK
        if not terms:
            return extra_nK, beam.terms_nKM
        terms_nKM = beam.terms_nKM.clone()
        terms_nKM[..., : len(terms)] += torch.stack(terms, -1)
        return extra_nK, terms_nKM
