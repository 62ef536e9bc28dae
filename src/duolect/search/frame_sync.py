"""Frame-synchronous prefix beam search: CTC alone, or with scorers that have their say label by label, before pruning.

(Graves & Jaitly 2014; Hannun et al. 2014; label-wise shallow fusion as in arXiv 2603.15045.)

Every beam entry is a label sequence with two masses, of the alignments that end in blank and in its last label, so a
repeated label is right. One loop over frames; all utterances and hypotheses advance together; no loop over hypotheses.

Which entries are equal is decided by integers: each knows the slot of its parent (its sequence without the last
label) while that is in the beam, so an extension that recreates an existing entry is found through that entry. Only a
sequence that left the beam and comes back is compared, label by label, with the parents of orphans.

Legend: B utterances, longest first · n the first n of them, which are still live · T frames · V labels (EOS included) ·
W = V + 1 (blank last) · K beam · C candidate labels of a frame · R rows of the label-wise scorers · M those scorers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import (
    check_count,
    check_labels,
    check_log_probs,
    check_scores,
    check_weight,
    utterance_names,
)
from duolect.search.ctc_prefix import ctc_full_sum
from duolect.search.result import Hypothesis, combine, ranked
from duolect.search.scorer import Weighted, check_vocabularies

Merge = Literal["sum", "max"]
_CHUNK = 1 << 24

# What is known of an entry, packed so that a beam is reordered by one gather.
_LAST, _PREVIOUS, _COUNT, _NODE, _PARENT, _ROW = range(6)


def frame_synchronous(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    *,
    beam: int,
    nbest: int,
    eos_id: int,
    labels_per_frame: int | None = None,
    merge: Merge = "sum",
    ctc_weight: float = 1.0,
    lm: Weighted | None = None,
    prior: Weighted | None = None,
    scorers: Sequence[Weighted] = (),
    encoded: Any = None,
    forbidden_ids: Iterable[int] = (),
    exact_ctc: bool = False,
    ids: Sequence[str] | None = None,
    name: str = "ctc",
) -> list[list[Hypothesis]]:
    """N-best lists (at most `beam` long), best first, under λ_ctc·log p_ctc + Σ λ_i·log p_i − λ_prior·log p_prior.

    log_probs_BTW: CTC log-softmax, blank last, V = W − 1 labels of which EOS is one (never emitted by CTC).
    labels_per_frame: only this many best labels of a frame may extend a hypothesis; None: all. An entry that is already
        in the beam always gets its own mass: its label repeated, and its parent followed by its last label.
    merge: "sum" adds the probabilities of alignments; "max" keeps the best one: an entry's two masses are then those
        of its best alignment ending in blank and in its label, a score is the larger of both, and with an unlimited
        beam the result is the sequence with the best single alignment.
    lm, prior, scorers: added when a hypothesis gains a label, before pruning; EOS at the end. `scorers` are further
        ones: an attention decoder or speech LLM over `encoded`. Their states advance only in frames in which a new
        sequence enters a beam, all utterances in one call; the scores of an entry are computed once, and again only
        if it leaves the beam and comes back.
    exact_ctc: the term "ctc" becomes the full sum over all alignments (the search knows only those whose prefixes
        stayed in the beam), and the lists are ranked with it.
    Raises SearchError for impossible input (see `checks`), and for NaN or +inf from a scorer during the search.
    """
    names = utterance_names(ids, len(log_probs_BTW))
    check_log_probs(log_probs_BTW, lengths_B, ids=names, name=name)
    weighted = [w for w in (lm, *scorers, prior) if w is not None]
    special = sorted({eos_id, *forbidden_ids})
    _check_settings(beam, nbest, labels_per_frame, merge, ctc_weight, [name, *(w.name for w in weighted)])
    check_labels("eos_id and forbidden_ids", special, log_probs_BTW.shape[-1] - 1)
    if not names:
        return []
    with torch.no_grad():
        search = _Search(log_probs_BTW, lengths_B, beam, labels_per_frame, merge, ctc_weight, special, weighted, names)
        search.start(encoded)
        results = search.results(search.run(eos_id), nbest, name)
        if exact_ctc:
            sums = ctc_full_sum(log_probs_BTW, lengths_B, [[h.labels for h in each] for each in results], names)
            factors = {name: ctc_weight, **{w.name: w.weight for w in weighted}}
            results = [
                _reranked(each, name, values.tolist(), factors) for each, values in zip(results, sums, strict=True)
            ]
    return results


@dataclass
class _Beam:
    """Entries (n, K); an empty slot has masses of −inf."""

    blank_nK: Tensor
    label_nK: Tensor
    extra_nK: Tensor  # weighted terms of the label-wise scorers
    terms_nKM: Tensor
    known_6nK: Tensor

    def rows(self, part: slice) -> "_Beam":
        return _Beam(
            self.blank_nK[part], self.label_nK[part], self.extra_nK[part], self.terms_nKM[part], self.known_6nK[:, part]
        )


class _Search:
    """One call: what stays the same, the trie of label sequences, and the states of the scorers."""

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
    ) -> None:
        device = log_probs_BTW.device
        order_B = lengths_B.to(device).argsort(descending=True, stable=True)
        self.order = order_B.tolist()
        self.lengths = lengths_B.to(device)[order_B].tolist()
        self.names = [names[i] for i in self.order]
        self.beam, self.weight, self.weighted = beam, ctc_weight, weighted
        self.join: Callable[[Tensor, Tensor], Tensor] = torch.logaddexp if merge == "sum" else torch.maximum
        longest = self.lengths[0]
        sorted_already = self.order == list(range(len(self.order)))
        self.frames_BTW = (log_probs_BTW if sorted_already else log_probs_BTW[order_B])[:, :longest].float()
        self.blank = log_probs_BTW.shape[-1] - 1
        self._choose_candidates(labels_per_frame, special)
        # Node 1 + t·K + k is the sequence that entered slot k at frame t; node 0 is the empty one.
        nodes = 1 + longest * beam
        self.trie_parent = torch.zeros(len(self.order), nodes, dtype=torch.long, device=device)
        self.trie_label = torch.full((len(self.order), nodes), -1, device=device)
        self.slots_K = torch.arange(beam, device=device)

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

    def _places(self, labels_nC: Tensor, label_nK: Tensor) -> Tensor:
        """Where labels stand among a frame's candidates; others get the place behind "stay", which is never read."""
        place_nK = torch.searchsorted(labels_nC, label_nK).clamp(max=self.width - 1)
        return torch.where(labels_nC.gather(1, place_nK) == label_nK, place_nK, self.width + 1)

    def start(self, encoded: Any) -> None:
        """States of the label-wise scorers for the empty sequences; row r belongs to utterance order⁻¹(r)."""
        rows = len(self.order)
        self.states: list[Any] = [w.scorer.start(encoded, rows) for w in self.weighted]
        self.pending: list[Any] = [None] * len(self.weighted)
        device = self.frames_BTW.device
        self.utterance_R = torch.tensor(self.order, device=device).argsort()
        if self.weighted:
            vocabulary = check_vocabularies(self.weighted)
            if vocabulary != self.blank:
                raise SearchError(
                    f"scorer {self.weighted[0].name!r} has {vocabulary} labels, but CTC has {self.blank} besides blank."
                )

    def run(self, eos_id: int) -> _Beam:
        """The final beam of each utterance (in sorted order), EOS scored."""
        count, beam, device = len(self.order), self.beam, self.frames_BTW.device
        masses = torch.full((count, beam), -torch.inf, device=device)
        known = torch.zeros(6, count, beam, dtype=torch.long, device=device)
        known[_LAST] = known[_PREVIOUS] = self.blank
        known[_PARENT] = beam
        known[_ROW] = torch.tensor(self.order, device=device)[:, None]
        terms = torch.zeros(count, beam, len(self.weighted), device=device)
        live = _Beam(masses.clone(), masses, torch.zeros_like(masses), terms, known)
        live.blank_nK[:, 0] = 0.0
        finals: list[_Beam] = []
        for t in range(self.lengths[0] + 1):
            staying = sum(length > t for length in self.lengths[: len(live.blank_nK)])
            if staying < len(live.blank_nK):
                finals.insert(0, self._end(live.rows(slice(staying, None)), eos_id))
                live = live.rows(slice(staying))
            if staying:
                live = self._frame(live, t)
        return _Beam(
            blank_nK=torch.cat([each.blank_nK for each in finals]),
            label_nK=torch.cat([each.label_nK for each in finals]),
            extra_nK=torch.cat([each.extra_nK for each in finals]),
            terms_nKM=torch.cat([each.terms_nKM for each in finals]),
            known_6nK=torch.cat([each.known_6nK for each in finals], 1),
        )

    def _frame(self, old: _Beam, t: int) -> _Beam:
        n, beam, width = len(old.blank_nK), self.beam, self.width
        frame_nW, labels_nC = self.frames_BTW[:n, t], self.labels_BTC[:n, t].contiguous()
        last_nK, parent_nK = old.known_6nK[_LAST], old.known_6nK[_PARENT]
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

        # Scores of all continuations: C labels, "stay", and one place that takes what must not be seen.
        scores_nKC = total_nK.new_empty(n, beam, width + 2)
        base_nK1 = (self.weight * total_nK + old.extra_nK)[..., None]
        torch.add(base_nK1, self.weight * self.scores_BTC[:n, t, None], out=scores_nKC[..., :width])
        repeated_nK = self.weight * (old.blank_nK + last_score_nK) + old.extra_nK
        scores_nKC.scatter_(2, place_nK[..., None], repeated_nK[..., None])
        gains = self._gains(old, t) if self.weighted else None
        if gains is not None:
            scores_nKC[..., :width] += gains[0]
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

        known_6nK = old.known_6nK.gather(2, source_nK.expand(6, -1, -1))
        repeats_nK = label_nK == known_6nK[_LAST]
        base_nK = torch.where(repeats_nK, old.blank_nK.gather(1, source_nK), total_nK.gather(1, source_nK))
        new_label_nK = torch.where(grown_nK, base_nK + frame_nW.gather(1, label_nK), stay_label_nK.gather(1, source_nK))
        new_blank_nK = stay_blank_nK.gather(1, source_nK).masked_fill(grown_nK, -torch.inf)
        new = _Beam(
            blank_nK=new_blank_nK.masked_fill(~alive_nK, -torch.inf),
            label_nK=new_label_nK.masked_fill(~alive_nK, -torch.inf),
            extra_nK=old.extra_nK,
            terms_nKM=old.terms_nKM,
            known_6nK=known_6nK,
        )
        if gains is not None:
            chosen = (torch.arange(n, device=source_nK.device)[:, None], source_nK, column_nK.clamp(max=width - 1))
            new.extra_nK = old.extra_nK.gather(1, source_nK) + gains[0][chosen].masked_fill(~grown_nK, 0.0)
            grown_terms_nKM = torch.stack([part_nKC[chosen] for part_nKC in gains[1]], -1)
            new.terms_nKM = old.terms_nKM[chosen[:2]] + grown_terms_nKM.masked_fill(~grown_nK[..., None], 0.0)
        self._follow(new, t, source_nK, alive_nK, grown_nK, label_nK)
        return new

    def _follow(
        self, new: _Beam, t: int, source_nK: Tensor, alive_nK: Tensor, grown_nK: Tensor, label_nK: Tensor
    ) -> None:
        """Who is who in the new beam: last labels, trie nodes, slots of parents, rows of scorers (changes `new`)."""
        n, beam = source_nK.shape
        known = new.known_6nK
        # Where each old slot stands now, if its entry stayed; `beam`: nowhere.
        now_nK = torch.full((n, beam + 1), beam, device=source_nK.device)
        now_nK.scatter_(1, torch.where(alive_nK & ~grown_nK, source_nK, beam), self.slots_K.expand(n, -1))
        now_nK[:, beam] = beam
        parent_nK = now_nK.gather(1, torch.where(grown_nK, source_nK, known[_PARENT]))
        node_nK = 1 + t * beam + self.slots_K
        self.trie_parent[:n, 1 + t * beam : 1 + (t + 1) * beam] = known[_NODE]
        self.trie_label[:n, 1 + t * beam : 1 + (t + 1) * beam] = label_nK
        new.known_6nK = torch.stack(
            [
                torch.where(grown_nK, label_nK, known[_LAST]),
                torch.where(grown_nK, known[_LAST], known[_PREVIOUS]),
                known[_COUNT] + grown_nK,
                torch.where(grown_nK, node_nK, known[_NODE]),
                parent_nK,
                known[_ROW],
            ]
        )
        self._reunite(new, alive_nK, grown_nK)
        if self.weighted and bool(grown_nK.any()):
            self._advance(new, alive_nK, torch.where(grown_nK, label_nK, -1))

    def _reunite(self, new: _Beam, alive_nK: Tensor, grown_nK: Tensor) -> None:
        """A sequence that came back into the beam becomes the parent of entries that extend it (`new` is changed)."""
        known, width = new.known_6nK, self.blank + 1
        orphan_nK = alive_nK & ~grown_nK & (known[_PARENT] == self.beam) & (known[_COUNT] > 1)
        orphan_key_nK = torch.where(orphan_nK, (known[_COUNT] - 1) * width + known[_PREVIOUS], -1)
        grown_key_nK = torch.where(grown_nK, known[_COUNT] * width + known[_LAST], -2)
        alike_nKK = orphan_key_nK[:, :, None] == grown_key_nK[:, None, :]
        if not bool(alike_nKK.any()):
            return
        row_P, orphan_P, back_P = alike_nKK.nonzero(as_tuple=True)
        first_P = self.trie_parent[row_P, known[_NODE, row_P, orphan_P]]
        second_P = known[_NODE, row_P, back_P]
        same_P = torch.ones_like(row_P, dtype=torch.bool)
        # Both have the same number of labels: walk up until the chains meet in one node (at the latest, the root).
        while bool((same_P & (first_P != second_P)).any()):
            same_P &= self.trie_label[row_P, first_P] == self.trie_label[row_P, second_P]
            first_P, second_P = self.trie_parent[row_P, first_P], self.trie_parent[row_P, second_P]
        known[_PARENT, row_P[same_P], orphan_P[same_P]] = back_P[same_P]

    def _gains(self, old: _Beam, t: int) -> tuple[Tensor, list[Tensor]]:
        """What each candidate adds to each entry: weighted sum (n, K, C), and every scorer's own logs."""
        candidates_RC = self.labels_BTC[:, t][self.utterance_R]
        rows_nK = old.known_6nK[_ROW]
        parts: list[Tensor] = []
        total = torch.zeros((), device=rows_nK.device)
        for i, weighted in enumerate(self.weighted):
            part_RC, self.pending[i] = weighted.scorer.score(self.states[i], candidates_RC)
            check_scores(part_RC, self.utterance_R, ids=self.names, name=weighted.name)
            parts.append(part_RC[rows_nK])
            if weighted.factor:
                total = total + weighted.factor * parts[-1]
        return total.expand(parts[0].shape), parts

    def _advance(self, new: _Beam, alive_nK: Tensor, label_nK: Tensor) -> None:
        """The scorers' states follow the beam; only entries with a new label (≥ 0) cost a forward pass."""
        rows_nK = new.known_6nK[_ROW]
        parent_R, label_R = rows_nK[alive_nK], label_nK[alive_nK]
        self.utterance_R = alive_nK.nonzero()[:, 0]
        for i, weighted in enumerate(self.weighted):
            self.states[i] = weighted.scorer.advance(self.states[i], self.pending[i], parent_R, label_R)
        rows_nK.zero_()
        rows_nK[alive_nK] = torch.arange(len(parent_R), device=parent_R.device)

    def _end(self, beam: _Beam, eos_id: int) -> _Beam:
        """EOS follows every entry of utterances that have no more frames."""
        eos_R1 = torch.full((len(self.utterance_R), 1), eos_id, device=self.utterance_R.device)
        extra_nK, terms = beam.extra_nK, []
        for weighted, state in zip(self.weighted, self.states, strict=True):
            part_R1, _ = weighted.scorer.score(state, eos_R1)
            check_scores(part_R1, self.utterance_R, ids=self.names, name=weighted.name)
            part_nK = part_R1[:, 0][beam.known_6nK[_ROW]]
            terms.append(part_nK)
            if weighted.factor:
                extra_nK = extra_nK + weighted.factor * part_nK
        terms_nKM = beam.terms_nKM + torch.stack(terms, -1) if terms else beam.terms_nKM
        return replace(beam, extra_nK=extra_nK, terms_nKM=terms_nKM)

    def results(self, final: _Beam, nbest: int, name: str) -> list[list[Hypothesis]]:
        """The best entries of every utterance as hypotheses, in the order the utterances were given."""
        masses_BK = self.join(final.blank_nK, final.label_nK)
        scores_BN, slots_BN = (self.weight * masses_BK + final.extra_nK).topk(min(nbest, self.beam), 1)
        labels = self._labels(final.known_6nK[_NODE].gather(1, slots_BN))
        counts = final.known_6nK[_COUNT].gather(1, slots_BN).tolist()
        masses = masses_BK.gather(1, slots_BN).tolist()
        terms = final.terms_nKM.gather(1, slots_BN[..., None].expand(-1, -1, len(self.weighted))).tolist()
        names = [w.name for w in self.weighted]
        results: list[list[Hypothesis]] = [[] for _ in self.order]
        for b, scores in enumerate(scores_BN.tolist()):
            flags = () if self.lengths[b] else ("no_frames",)
            results[self.order[b]] = [
                Hypothesis(
                    labels=tuple(labels[b][k][len(labels[b][k]) - counts[b][k] :]),
                    score=score,
                    terms={name: masses[b][k], **dict(zip(names, terms[b][k], strict=True))},
                    flags=flags,
                )
                for k, score in enumerate(scores)
                if score > -torch.inf
            ] or [Hypothesis(labels=(), score=-torch.inf, terms={}, flags=(*flags, "unfinished"))]
        return results

    def _labels(self, node_BN: Tensor) -> list[list[list[int]]]:
        """Label sequences of trie nodes, right-aligned; what stands before a sequence is the root's −1."""
        steps = []
        while bool((node_BN > 0).any()):
            steps.append(self.trie_label.gather(1, node_BN))
            node_BN = self.trie_parent.gather(1, node_BN)
        if not steps:
            return [[[]] * node_BN.shape[1]] * len(node_BN)
        return torch.stack(steps[::-1], -1).tolist()


def _largest(scores: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest along the last axis, in no order; NumPy's selection is twice as fast on a CPU."""
    if scores.device.type == "cpu":
        return torch.from_numpy(np.argpartition(scores.numpy(), -count, axis=-1)[..., -count:])
    return scores.topk(count, -1, sorted=False).indices


def _reranked(
    nbest: Sequence[Hypothesis], name: str, sums: Sequence[float], weights: Mapping[str, float]
) -> list[Hypothesis]:
    """The list with another value of the term `name`, and ranked by it."""
    renewed = [h.with_term(name, value) for h, value in zip(nbest, sums, strict=True)]
    return ranked([replace(h, score=combine(h.terms, weights)) if "unfinished" not in h.flags else h for h in renewed])


def _check_settings(
    beam: int, nbest: int, labels_per_frame: int | None, merge: str, ctc_weight: float, names: Sequence[str]
) -> None:
    check_count("beam", beam)
    check_count("nbest", nbest)
    if labels_per_frame is not None:
        check_count("labels_per_frame", labels_per_frame)
    if merge not in ("sum", "max"):
        raise SearchError(f"merge: {merge!r} is neither 'sum' nor 'max'.")
    check_weight(names[0], ctc_weight)
    if not ctc_weight:
        raise SearchError(f"weight {names[0]!r}: a search over frames needs a CTC weight above 0.")
    if len(set(names)) != len(names):
        raise SearchError(f"scorers: names must differ; given {list(names)}.")
