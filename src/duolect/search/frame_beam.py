"""The entries of a beam over frames, and who is who among them.

Every entry is a label sequence with two masses, of the alignments that end in blank and in its last label. Which
entries are equal is decided by integers: each knows the slot of its parent (its sequence without the last label) while
that is in the beam, so an extension that recreates an existing entry is found through that entry. Only a sequence that
left the beam and comes back is compared, label by label, with the parents of orphans.

Legend: B utterances, longest first · n the first n of them, which are still live · K beam · M terms of the scorers ·
F facts of an entry · P pairs of slots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# What is known of an entry, packed so that a beam is reordered by one gather: its last label and the one before, the
# number of its labels, its node in the trie, the slot of its parent (K: none), its row in the scorers' states.
LAST, PREVIOUS, COUNT, NODE, PARENT, ROW = range(6)
FACTS = 6


@dataclass
class Beam:
    """Entries (n, K); an empty slot has masses of −inf."""

    blank_nK: Tensor
    label_nK: Tensor
    extra_nK: Tensor  # weighted terms of the scorers
    terms_nKM: Tensor
    known_FnK: Tensor

    @classmethod
    def start(cls, count: int, beam: int, terms: int, blank: int, rows_B: Tensor) -> "Beam":
        """The empty sequence of each utterance, in slot 0; `rows_B`: its row in the scorers' states."""
        device = rows_B.device
        masses = torch.full((count, beam), -torch.inf, device=device)
        known = torch.zeros(FACTS, count, beam, dtype=torch.long, device=device)
        known[LAST] = known[PREVIOUS] = blank
        known[PARENT] = beam
        known[ROW] = rows_B[:, None]
        start = cls(
            masses.clone(), masses, torch.zeros_like(masses), torch.zeros(count, beam, terms, device=device), known
        )
        start.blank_nK[:, 0] = 0.0
        return start

    @property
    def alive_nK(self) -> Tensor:
        """Which entries have a score above −inf."""
        masses_nK = torch.maximum(self.blank_nK, self.label_nK)
        return (masses_nK > -torch.inf) & (self.extra_nK > -torch.inf)

    def rows(self, part: slice) -> "Beam":
        """Some of the utterances."""
        return Beam(
            self.blank_nK[part], self.label_nK[part], self.extra_nK[part], self.terms_nKM[part], self.known_FnK[:, part]
        )

    @classmethod
    def joined(cls, parts: list["Beam"]) -> "Beam":
        """The utterances of all parts."""
        return cls(
            blank_nK=torch.cat([each.blank_nK for each in parts]),
            label_nK=torch.cat([each.label_nK for each in parts]),
            extra_nK=torch.cat([each.extra_nK for each in parts]),
            terms_nKM=torch.cat([each.terms_nKM for each in parts]),
            known_FnK=torch.cat([each.known_FnK for each in parts], 1),
        )


class Trie:
    """The label sequences of all utterances: node 1 + t·K + k entered slot k at frame t; node 0 is the empty one."""

    def __init__(self, batch: int, frames: int, beam: int, width: int, device: torch.device) -> None:
        """`width`: more than the largest label."""
        self.beam, self.width = beam, width
        self.parent_BX = torch.zeros(batch, 1 + frames * beam, dtype=torch.long, device=device)
        self.label_BX = torch.full((batch, 1 + frames * beam), -1, device=device)
        self.slots_K = torch.arange(beam, device=device)

    def follow(
        self, known_FnK: Tensor, t: int, source_nK: Tensor, alive_nK: Tensor, grown_nK: Tensor, label_nK: Tensor
    ) -> Tensor:
        """The facts after frame t: last labels, nodes, slots of parents.

        known_FnK: those of the entries that the new ones came from (slots `source_nK` of the old beam); grown_nK: which
        of them gained a label.
        """
        n, beam = source_nK.shape
        # Where each old slot stands now, if its entry stayed; `beam`: nowhere.
        now_nK = torch.full((n, beam + 1), beam, device=source_nK.device)
        now_nK.scatter_(1, torch.where(alive_nK & ~grown_nK, source_nK, beam), self.slots_K.expand(n, -1))
        now_nK[:, beam] = beam
        # An empty slot has no parent, whose mass it would take, and so become a second entry of a sequence.
        parent_nK = now_nK.gather(1, torch.where(grown_nK, source_nK, known_FnK[PARENT]))
        parent_nK = parent_nK.masked_fill(~alive_nK, beam)
        node_nK = 1 + t * beam + self.slots_K
        self.parent_BX[:n, 1 + t * beam : 1 + (t + 1) * beam] = known_FnK[NODE]
        self.label_BX[:n, 1 + t * beam : 1 + (t + 1) * beam] = label_nK
        new_FnK = torch.stack(
            [
                torch.where(grown_nK, label_nK, known_FnK[LAST]),
                torch.where(grown_nK, known_FnK[LAST], known_FnK[PREVIOUS]),
                known_FnK[COUNT] + grown_nK,
                torch.where(grown_nK, node_nK, known_FnK[NODE]),
                parent_nK,
                known_FnK[ROW],
            ]
        )
        self._reunite(new_FnK, alive_nK, grown_nK)
        return new_FnK

    def _reunite(self, known_FnK: Tensor, alive_nK: Tensor, grown_nK: Tensor) -> None:
        """A sequence that came back into the beam becomes the parent of entries that extend it."""
        orphan_nK = alive_nK & ~grown_nK & (known_FnK[PARENT] == self.beam) & (known_FnK[COUNT] > 1)
        orphan_key_nK = torch.where(orphan_nK, (known_FnK[COUNT] - 1) * self.width + known_FnK[PREVIOUS], -1)
        grown_key_nK = torch.where(grown_nK, known_FnK[COUNT] * self.width + known_FnK[LAST], -2)
        alike_nKK = orphan_key_nK[:, :, None] == grown_key_nK[:, None, :]
        if not bool(alike_nKK.any()):
            return
        row_P, orphan_P, back_P = alike_nKK.nonzero(as_tuple=True)
        first_P = self.parent_BX[row_P, known_FnK[NODE, row_P, orphan_P]]
        second_P = known_FnK[NODE, row_P, back_P]
        same_P = torch.ones_like(row_P, dtype=torch.bool)
        # Both have the same number of labels: walk up until the chains meet in one node (at the latest, the root).
        while bool((same_P & (first_P != second_P)).any()):
            same_P &= self.label_BX[row_P, first_P] == self.label_BX[row_P, second_P]
            first_P, second_P = self.parent_BX[row_P, first_P], self.parent_BX[row_P, second_P]
        known_FnK[PARENT, row_P[same_P], orphan_P[same_P]] = back_P[same_P]

    def between(self, row_P: Tensor, above_P: Tensor, node_P: Tensor) -> list[list[int]]:
        """The labels that lead from nodes `above_P` to nodes below them, or to themselves, in utterances `row_P`."""
        steps = []
        while bool((node_P != above_P).any()):
            steps.append(torch.where(node_P == above_P, -1, self.label_BX[row_P, node_P]))
            node_P = torch.where(node_P == above_P, node_P, self.parent_BX[row_P, node_P])
        if not steps:
            return [[] for _ in range(len(node_P))]
        return [[label for label in labels if label >= 0] for labels in torch.stack(steps[::-1], -1).tolist()]

    def labels(self, node_BN: Tensor) -> list[list[list[int]]]:
        """Label sequences of nodes, right-aligned; what stands before a sequence is the root's −1."""
        steps = []
        while bool((node_BN > 0).any()):
            steps.append(self.label_BX.gather(1, node_BN))
            node_BN = self.parent_BX.gather(1, node_BN)
        if not steps:
            return [[[]] * node_BN.shape[1]] * len(node_BN)
        return torch.stack(steps[::-1], -1).tolist()
