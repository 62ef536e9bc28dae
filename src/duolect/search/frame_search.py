"""The loop of a search over frames: one step grows, merges and prunes the hypotheses of all utterances.

Legend: B utterances, longest first · n the first n of them, which are still live · T frames · V labels (EOS included) ·
W = V + 1 (blank last) · K beam · C candidate labels of a frame · M label-wise scorers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from duolect.search.delayed import Delayed, DelayedFusion
from duolect.search.frame_beam import COUNT, LAST, NODE, PARENT, Beam, Trie
from duolect.search.frame_scorers import LabelwiseScorers
from duolect.search.result import Hypothesis
from duolect.search.scorer import Weighted

Merge = Literal["sum", "max"]
_CHUNK = 1 << 24


class FrameSearch:
    """One call of `frame_synchronous`; its arguments are explained and checked there. `special`: never emitted."""

    def __init__(
        self,
        log_probs_BTW: Tensor,
        lengths_B: Tensor,
        beam: int,
        labels_per_frame: int | None,
        merge: Merge,
        ctc_weight: float,
        special: list[int],
        weighted: Sequence[Weighted],
        names: Sequence[str],
        delayed: Delayed | None = None,
        skip_blank: float | None = None,
        limits: Sequence[int] | None = None,
    ) -> None:
        device = log_probs_BTW.device
        order_B = lengths_B.to(device).argsort(descending=True, stable=True)
        self.order = order_B.tolist()
        self.lengths = lengths_B.to(device)[order_B].tolist()
        self.names = [names[i] for i in self.order]
        self.limits_B = None if limits is None else torch.tensor([limits[i] for i in self.order], device=device)
        self.beam, self.weight, self.weighted = beam, ctc_weight, weighted
        self.join: Callable[[Tensor, Tensor], Tensor] = torch.logaddexp if merge == "sum" else torch.maximum
        longest = self.lengths[0]
        sorted_already = self.order == list(range(len(self.order)))
        self.frames_BTW = (log_probs_BTW if sorted_already else log_probs_BTW[order_B])[:, :longest].float()
        self.blank = log_probs_BTW.shape[-1] - 1
        self._choose_candidates(labels_per_frame, special)
        self.trie = Trie(len(self.order), longest, beam, self.blank + 1, device)
        self.fusion = None
        if delayed is not None:
            self.fusion = DelayedFusion(
                delayed, weighted, self.trie, self.blank, self.order, self.names, self.lengths, device
            )
        self.without_lm: dict[int, dict[int, tuple[str, ...]]] = {}
        self.skip_BT = None if skip_blank is None else self.frames_BTW[..., -1] >= math.log(skip_blank)

    def _choose_candidates(self, labels_per_frame: int | None, special: list[int]) -> None:
        """Labels that may extend hypotheses at each frame, in ascending order, and their scores."""
        batch, frames, width = self.frames_BTW.shape
        vocabulary = width - 1
        self.width = min(labels_per_frame or vocabulary, vocabulary)
        scores, labels = [], []
        for part_BtW in self.frames_BTW.split(max(_CHUNK // max(batch * width, 1), 1), 1):
            part_BtV = part_BtW[..., :-1].index_fill(2, torch.tensor(special, device=part_BtW.device), -torch.inf)
            if self.width < vocabulary:
                labels_BtC = _largest(part_BtV, self.width).sort(-1).values
                labels.append(labels_BtC)
                part_BtV = part_BtV.gather(2, labels_BtC)
            scores.append(part_BtV)
        self.scores_BTC = torch.cat(scores, 1)
        if labels:
            self.labels_BTC = torch.cat(labels, 1)
        else:
            self.labels_BTC = torch.arange(vocabulary, device=self.frames_BTW.device).expand(batch, frames, vocabulary)

    def _has_dead(self, beam: Beam) -> bool:
        """Whether a delayed model gave an entry no chance at its last word. It is pruned at the next frame, even one
        that is skipped: it would hide its parent followed by its label."""
        return self.fusion is not None and bool((beam.extra_nK == -torch.inf).any())

    def _places(self, labels_nC: Tensor, label_nK: Tensor) -> Tensor:
        """Where labels stand among a frame's candidates; others get the place behind "stay", which is never read."""
        place_nK = torch.searchsorted(labels_nC, label_nK).clamp(max=self.width - 1)
        return torch.where(labels_nC.gather(1, place_nK) == label_nK, place_nK, self.width + 1)

    def run(self, encoded: Any, eos_id: int) -> Beam:
        """The final beam of each utterance (in sorted order), EOS scored."""
        order_B = torch.tensor(self.order, device=self.frames_BTW.device)
        self.scorers = LabelwiseScorers(self.weighted, encoded, order_B, self.names, self.blank)
        live = Beam.start(len(self.order), self.beam, len(self.weighted), self.blank, order_B)
        if self.fusion is not None:
            live = self.fusion.start(live)
        finals: list[Beam] = []
        for t in range(self.lengths[0] + 1):
            staying = sum(length > t for length in self.lengths[: len(live.blank_nK)])
            if staying < len(live.blank_nK):
                ended = live.rows(slice(staying, None))
                extra_nK, terms_nKM = self.scorers.end(ended, eos_id)
                finals.insert(0, replace(ended, extra_nK=extra_nK, terms_nKM=terms_nKM))
                if self.fusion is not None:
                    self.fusion.wait(finals[0])
                live = live.rows(slice(staying))
            if staying:
                live = self._frame(live, t)
        final = Beam.joined(finals)
        if self.fusion is not None:
            self.without_lm = self.fusion.end(final, eos_id)
        return final

    def _frame(self, old: Beam, t: int) -> Beam:
        n, beam, width = len(old.blank_nK), self.beam, self.width
        frame_nW, labels_nC = self.frames_BTW[:n, t], self.labels_BTC[:n, t].contiguous()
        last_nK, parent_nK = old.known_FnK[LAST], old.known_FnK[PARENT]
        last_score_nK = frame_nW.gather(1, last_nK)
        place_nK = self._places(labels_nC, last_nK)
        total_nK = self.join(old.blank_nK, old.label_nK)

        # Entries that stay: a blank, the label again, or the parent (in slot `parent`) followed by the last label.
        stay_blank_nK = total_nK + frame_nW[:, self.blank :]
        slot_nK = parent_nK % beam  # any slot, where there is no parent
        same_nK = last_nK.gather(1, slot_nK) == last_nK
        extended_nK = torch.where(same_nK, old.blank_nK.gather(1, slot_nK), total_nK.gather(1, slot_nK))
        extended_nK = extended_nK.masked_fill(parent_nK == beam, -torch.inf)
        stay_label_nK = self.join(old.label_nK, extended_nK) + last_score_nK

        skip_n = None if self.skip_BT is None else self.skip_BT[:n, t]
        if skip_n is not None and bool(skip_n.all()) and not self._has_dead(old):
            new = replace(old, blank_nK=stay_blank_nK, label_nK=stay_label_nK)
            if self.fusion is not None:
                self.fusion.fuse(new, t)
            return new

        # Scores of all continuations: C labels, "stay", and one place that takes what must not be seen.
        scores_nKC = total_nK.new_empty(n, beam, width + 2)
        base_nK1 = (self.weight * total_nK + old.extra_nK)[..., None]
        torch.add(base_nK1, self.weight * self.scores_BTC[:n, t, None], out=scores_nKC[..., :width])
        repeated_nK = self.weight * (old.blank_nK + last_score_nK) + old.extra_nK
        scores_nKC.scatter_(2, place_nK[..., None], repeated_nK[..., None])
        gains = self.scorers.gains(old, self.labels_BTC[:, t]) if self.weighted else None
        if gains is not None:
            scores_nKC[..., :width] += gains[0]
        if skip_n is not None:
            scores_nKC[..., :width].masked_fill_(skip_n[:, None, None], -torch.inf)
        if self.limits_B is not None:
            full_nK = old.known_FnK[COUNT] >= self.limits_B[:n, None]
            scores_nKC[..., :width].masked_fill_(full_nK[..., None], -torch.inf)
        hidden_nK = torch.where(parent_nK < beam, parent_nK * (width + 2) + place_nK, width + 1)
        scores_nKC.view(n, -1).scatter_(1, hidden_nK, -torch.inf)
        scores_nKC[..., width] = self.weight * self.join(stay_blank_nK, stay_label_nK) + old.extra_nK
        scores_nKC[..., width + 1] = -torch.inf

        best_nK, at_nK = scores_nKC.view(n, -1).topk(beam, 1)
        source_nK = at_nK // (width + 2)
        column_nK = at_nK - source_nK * (width + 2)
        alive_nK = best_nK > -torch.inf
        grown_nK = alive_nK & (column_nK < width)
        label_nK = labels_nC.gather(1, column_nK.clamp(max=width - 1))

        known_FnK = old.known_FnK.gather(2, source_nK.expand(len(old.known_FnK), -1, -1))
        repeats_nK = label_nK == known_FnK[LAST]
        base_nK = torch.where(repeats_nK, old.blank_nK.gather(1, source_nK), total_nK.gather(1, source_nK))
        new_label_nK = torch.where(grown_nK, base_nK + frame_nW.gather(1, label_nK), stay_label_nK.gather(1, source_nK))
        new_blank_nK = stay_blank_nK.gather(1, source_nK).masked_fill(grown_nK, -torch.inf)
        new = Beam(
            blank_nK=new_blank_nK.masked_fill(~alive_nK, -torch.inf),
            label_nK=new_label_nK.masked_fill(~alive_nK, -torch.inf),
            extra_nK=old.extra_nK,
            terms_nKM=old.terms_nKM,
            known_FnK=known_FnK,
        )
        if gains is not None:
            chosen = (torch.arange(n, device=source_nK.device)[:, None], source_nK, column_nK.clamp(max=width - 1))
            new.extra_nK = old.extra_nK.gather(1, source_nK) + gains[0][chosen].masked_fill(~grown_nK, 0.0)
            new.terms_nKM = old.terms_nKM[chosen[:2]]
            grown_terms_nKM = torch.stack([part_nKC[chosen] for part_nKC in gains[1]], -1)
            new.terms_nKM[..., : len(self.weighted)] += grown_terms_nKM.masked_fill(~grown_nK[..., None], 0.0)
        elif self.fusion is not None:
            new.extra_nK = old.extra_nK.gather(1, source_nK)
            new.terms_nKM = old.terms_nKM.gather(1, source_nK[..., None].expand_as(old.terms_nKM))
        new.known_FnK = self.trie.follow(known_FnK, t, source_nK, alive_nK, grown_nK, label_nK)
        if self.fusion is not None:
            new.known_FnK = self.fusion.follow(new.known_FnK, known_FnK, grown_nK, label_nK)
        if self.weighted and bool(grown_nK.any()):
            self.scorers.advance(new, alive_nK, torch.where(grown_nK, label_nK, -1))
        if self.fusion is not None:
            self.fusion.fuse(new, t)
        return new

    def results(self, final: Beam, nbest: int, name: str) -> list[list[Hypothesis]]:
        """The best entries of every utterance as hypotheses, in the order the utterances were given."""
        masses_BK = self.join(final.blank_nK, final.label_nK)
        scores_BN, slots_BN = (self.weight * masses_BK + final.extra_nK).topk(min(nbest, self.beam), 1)
        labels = self.trie.labels(final.known_FnK[NODE].gather(1, slots_BN))
        counts = final.known_FnK[COUNT].gather(1, slots_BN).tolist()
        masses = masses_BK.gather(1, slots_BN).tolist()
        terms = final.terms_nKM.gather(1, slots_BN[..., None].expand(-1, -1, final.terms_nKM.shape[-1])).tolist()
        weighted = (*self.weighted, *(self.fusion.settings.weighted if self.fusion is not None else ()))
        name_of_lm = "" if self.fusion is None else self.fusion.settings.lm.name
        slots = slots_BN.tolist()
        limits = None if self.limits_B is None else self.limits_B.tolist()
        results: list[list[Hypothesis]] = [[] for _ in self.order]
        for b, scores in enumerate(scores_BN.tolist()):
            flags = () if self.lengths[b] else ("no_frames",)
            spelling = self.without_lm.get(b)
            # Without its LM the prior does not count either.
            left_out = set() if spelling is None else {name_of_lm, "prior"}
            results[self.order[b]] = [
                Hypothesis(
                    labels=tuple(labels[b][k][len(labels[b][k]) - counts[b][k] :]),
                    score=score,
                    terms={
                        name: masses[b][k],
                        **{w.name: v for w, v in zip(weighted, terms[b][k], strict=True) if w.name not in left_out},
                    },
                    flags=flags
                    if spelling is None
                    else (*flags, *spelling.get(slots[b][k], ()), f"{name_of_lm}_left_out"),
                    truncated=limits is not None and counts[b][k] >= limits[b],
                )
                for k, score in enumerate(scores)
                if score > -torch.inf
            ] or [Hypothesis(labels=(), score=-torch.inf, terms={}, flags=(*flags, "unfinished"))]
        return results


def _largest(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest along the last axis, in no order; NumPy's selection is twice as fast on a CPU."""
    if scores.device.type == "cpu":
        return torch.from_numpy(np.argpartition(scores.numpy(), -count, axis=-1)[..., -count:])
    return scores.topk(count, -1, sorted=False).indices
