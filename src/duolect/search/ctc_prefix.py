"""Exact CTC prefix scores for a whole beam, and the full sum of given label sequences.

With y_t(c) the posterior of c at frame t, g_b and g_n the mass of alignments of h that end in blank and in its last
label (g_b(∅, t) = Π_{i≤t} y_i(blank), g_n(∅, t) = 0), and ψ(h) the mass of all sequences that begin with h
(Graves 2012; Watanabe et al. 2017; arXiv 2603.15045, joint recognition with CTC):

    φ_t        = g_b(h, t−1) + [last(h) ≠ c]·g_n(h, t−1)
    g_n(h·c, t) = (g_n(h·c, t−1) + φ_t)·y_t(c)           ψ(h·c)   = Σ_t φ_t·y_t(c)
    g_b(h·c, t) = (g_b(h·c, t−1) + g_n(h·c, t−1))·y_t(blank)   ψ(h·EOS) = g_n(h, T) + g_b(h, T)

Two rearrangements that change no value make it fast:
* φ_t depends on the hypothesis, not on the candidate (only a repeated label has its own), so ψ(h·c) = Σ_t φ_t·y_t(c)
  for all labels is one matrix product per utterance, and the recursion over t runs only for labels that were chosen;
* that recursion, g_t = (g_{t−1} + b_t)·a_t, is a log-cumulative-sum-exp after dividing by Π a: no Python loop over t.
  It is kept in float64: the divisor spans thousands of nats, and differences of it must stay exact.

Legend: B utterances · T frames · V labels (EOS included) · W = V + 1 (blank last) · R rows · C candidates · N labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_labels, check_log_probs, utterance_names
from duolect.search.padding import padded_labels

# A probability of zero, as a number that can be added and subtracted; anything below the cut is −inf again.
_LOWEST = -1e7
_CUT = -5e6
# Below this, a product of scaled probabilities may have lost terms to underflow, and is done again in the log domain.
_SAFE = 1e-25
# e⁻⁸⁰ is nothing beside 1, and still a normal float32: denormal ones make a CPU ten times slower.
_TINY = -80.0
_CHUNK = 1 << 22


@dataclass
class _Frames:
    """Posteriors of the utterances that are still live; padding and zero probabilities are `_LOWEST`."""

    labels_first_BWT: Tensor  # float32
    blank_sums_BT: Tensor  # Σ_{i≤t} log y_i(blank), float64
    lengths_B: Tensor
    peaks_BV: Tensor | None = None  # max_t log y_t(c), made when it is asked for
    scaled_BVT: Tensor | None = None  # exp(log y − peak), made when all labels are scored

    def select(self, rows: Tensor) -> "_Frames":
        longest = max(int(self.lengths_B[rows].max()), 1)
        return _Frames(
            self.labels_first_BWT[rows, :, :longest].contiguous(),
            self.blank_sums_BT[rows, :longest],
            self.lengths_B[rows],
            None if self.peaks_BV is None else self.peaks_BV[rows],
            None if self.scaled_BVT is None else self.scaled_BVT[rows, :, :longest].contiguous(),
        )

    def peaks(self) -> Tensor:
        """`peaks_BV`."""
        if self.peaks_BV is None:
            self.peaks_BV = self.labels_first_BWT[:, :-1].amax(-1)
        return self.peaks_BV


@dataclass
class CTCState:
    """Forward variables of each row's label sequence h; index t of the last axis counts frames consumed, 0 … T."""

    frames: _Frames
    utterance_R: Tensor  # into `frames`
    last_R: Tensor  # −1 for the empty sequence
    blank_RT: Tensor  # log g_b(h, t), float64
    total_RT: Tensor  # log (g_b + g_n)
    prefix_R: Tensor  # log ψ(h), float64


class CTCPrefixScorer:
    """log ψ(h·c) − log ψ(h) for labels and EOS: sums over all alignments, utterances of any length.

    log_probs_BTW: log-softmax outputs, blank last; lengths_B: frames of each utterance (0 is allowed: only EOS is then
    possible). eos_id: EOS has a column of its own in V; CTC's output for it is not used.
    Raises SearchError for what `checks.check_log_probs` refuses.
    """

    by_candidate = True

    def __init__(
        self,
        log_probs_BTW: Tensor,
        lengths_B: Tensor,
        *,
        eos_id: int,
        ids: Sequence[str] | None = None,
        name: str = "ctc",
    ) -> None:
        check_log_probs(log_probs_BTW, lengths_B, ids=utterance_names(ids, len(log_probs_BTW)), name=name)
        self.vocabulary, self.device = log_probs_BTW.shape[-1] - 1, log_probs_BTW.device
        check_labels(f"{name}: eos_id", [eos_id], self.vocabulary)
        self.eos_id = eos_id
        batch, frames, width = log_probs_BTW.shape
        lengths_B = lengths_B.to(log_probs_BTW.device)
        longest = max(int(lengths_B.max()) if batch else 0, 1)
        if not frames:
            log_probs_BTW = log_probs_BTW.new_zeros(batch, 1, width)
        valid_BT1 = torch.arange(longest, device=lengths_B.device)[:, None] < lengths_B[:, None, None]
        log_probs_BTW = log_probs_BTW[:, :longest].float().clamp(min=_LOWEST).masked_fill(~valid_BT1, _LOWEST)
        labels_first_BWT = log_probs_BTW.transpose(1, 2).contiguous()
        self._frames = _Frames(labels_first_BWT, labels_first_BWT[:, -1].double().cumsum(-1), lengths_B)

    def start(self, encoded: object, rows: int) -> CTCState:
        """The empty sequence of each utterance: g_b(∅, t) = Π_{i≤t} y_i(blank), g_n = 0, ψ = 1."""
        frames = self._frames
        if rows != len(frames.lengths_B):
            raise SearchError(f"ctc: posteriors of {len(frames.lengths_B)} utterances for a search over {rows}.")
        blank_RT = _cut(torch.cat([frames.blank_sums_BT.new_zeros(rows, 1), frames.blank_sums_BT], 1))
        nothing_R = torch.full((rows,), -1, device=blank_RT.device)
        utterance_R = torch.arange(rows, device=blank_RT.device)
        return CTCState(frames, utterance_R, nothing_R, blank_RT, blank_RT, blank_RT.new_zeros(rows))

    def score(self, state: CTCState, candidates_RC: Tensor | None = None) -> tuple[Tensor, None]:
        """(R, V) float32, or (R, C) for the candidates; −inf where no alignment exists."""
        if not len(state.last_R):
            width = self.vocabulary if candidates_RC is None else candidates_RC.shape[1]
            return state.blank_RT.new_zeros(0, width, dtype=torch.float32), None
        frames = state.frames
        last_R = state.last_R.clamp(min=0)
        # c = last(h): a blank must stand between the two, so only g_b may continue.
        last_RT = frames.labels_first_BWT[state.utterance_R, last_R]
        repeat_R = (state.blank_RT[:, :-1] + last_RT).logsumexp(-1)
        end_R = self.full_sum(state)
        if candidates_RC is None:
            scores = _all_labels(state)
            column_R1 = state.last_R[:, None]
            kept_R1 = scores.gather(1, last_R[:, None])
            scores.scatter_(1, last_R[:, None], torch.where(column_R1 < 0, kept_R1, repeat_R[:, None]))
            scores[:, self.eos_id] = end_R
        else:
            scores = _some_labels(state, candidates_RC)
            scores = torch.where(candidates_RC == state.last_R[:, None], repeat_R[:, None], scores)
            scores = torch.where(candidates_RC == self.eos_id, end_R[:, None], scores)
        scores = torch.where(scores > _CUT, scores - state.prefix_R[:, None], -torch.inf)
        return scores.float(), None

    def estimate(self, state: CTCState) -> Tensor:
        """The largest log y_t(c) of any frame: no hypothesis gains much by a label that CTC hears nowhere."""
        return state.frames.peaks()[state.utterance_R]

    def advance(self, state: CTCState, pending: None, parent_R: Tensor, label_R: Tensor) -> CTCState:
        """Forward variables of the extended rows, by two log-cumulative-sum-exps over the frames."""
        frames, utterance_R = _compact(state.frames, state.utterance_R[parent_R])
        longest = frames.labels_first_BWT.shape[-1]
        blank_RT, total_RT = state.blank_RT[parent_R, : longest + 1], state.total_RT[parent_R, : longest + 1]
        last_R, prefix_R = state.last_R[parent_R], state.prefix_R[parent_R]
        grown_R = label_R >= 0
        if bool(grown_R.any()):
            label_RT = frames.labels_first_BWT[utterance_R, label_R.clamp(min=0)].double()
            phi_RT = torch.where((label_R == last_R)[:, None], blank_RT[:, :-1], total_RT[:, :-1])
            nothing_R1 = blank_RT.new_full((len(parent_R), 1), -torch.inf)
            new_label_RT = torch.cat([nothing_R1, _recursion(phi_RT, label_RT.cumsum(-1))], 1)
            new_blank_RT = torch.cat(
                [nothing_R1, _recursion(new_label_RT[:, :-1], frames.blank_sums_BT[utterance_R])], 1
            )
            new_prefix_R = _cut((phi_RT + label_RT).logsumexp(-1))
            blank_RT = torch.where(grown_R[:, None], new_blank_RT, blank_RT)
            total_RT = torch.where(grown_R[:, None], torch.logaddexp(new_blank_RT, new_label_RT), total_RT)
            prefix_R = torch.where(grown_R, new_prefix_R, prefix_R)
            last_R = torch.where(grown_R, label_R, last_R)
        return CTCState(frames, utterance_R, last_R, blank_RT, total_RT, prefix_R)

    def append(self, state: CTCState, labels_RN: Tensor, counts_R: Tensor) -> tuple[Tensor, CTCState]:
        """One label after the other; the log p of all of them is a difference of two log ψ."""
        before_R = state.prefix_R
        rows_R = torch.arange(len(counts_R), device=counts_R.device)
        for n in range(int(counts_R.max()) if len(counts_R) else 0):
            state = self.advance(state, None, rows_R, torch.where(n < counts_R, labels_RN[:, n], -1))
        return (state.prefix_R - before_R).float(), state

    def full_sum(self, state: CTCState) -> Tensor:
        """log ψ(h·EOS) = log (g_n(h, T) + g_b(h, T)): the full CTC probability of each row (R,), float64."""
        lengths_R1 = state.frames.lengths_B[state.utterance_R][:, None]
        return state.total_RT.gather(1, lengths_R1)[:, 0]

    def largest_gain(self, sign: float) -> float:
        """A probability never raises the score."""
        return 0.0


def ctc_full_sum(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    labels: Sequence[Sequence[Sequence[int]]],
    ids: Sequence[str] | None = None,
) -> list[Tensor]:
    """log p_ctc(a|x), all alignments summed, of every label sequence of every utterance's n-best list.

    labels[b]: the label sequences of utterance b. Returns one float32 tensor (len(labels[b]),) per utterance; −inf
    where the utterance has too few frames. Equals −F.ctc_loss(reduction="none"); no gradient.
    Sequences that share a prefix share its computation.
    """
    if len(labels) != len(log_probs_BTW):
        raise SearchError(f"ctc: {len(labels)} n-best lists for {len(log_probs_BTW)} utterances.")
    scorer = CTCPrefixScorer(log_probs_BTW, lengths_B, eos_id=0, ids=ids)
    sizes = [len(each) for each in labels]
    flat = [a for each in labels for a in each]
    device, width = log_probs_BTW.device, log_probs_BTW.shape[-1]
    for utterance, each in zip(utterance_names(ids, len(labels)), labels, strict=True):
        check_labels(f"ctc: utterance {utterance}", (c for a in each for c in a), width - 1)
    with torch.no_grad():
        state = scorer.start(None, len(labels))
        labels_RN, counts_R = padded_labels(flat, device)
        row_R = torch.repeat_interleave(torch.arange(len(labels), device=device), torch.tensor(sizes, device=device))
        out_R = scorer.full_sum(state)[row_R]
        for n in range(labels_RN.shape[1]):
            live = (counts_R > n).nonzero()[:, 0]
            prefixes, which = torch.unique(row_R[live] * width + labels_RN[live, n], return_inverse=True)
            state = scorer.advance(state, None, prefixes // width, prefixes % width)
            row_R[live] = which
            out_R[live] = scorer.full_sum(state)[which]
        return list(out_R.float().split(sizes))


def _recursion(gain_RT: Tensor, sums_RT: Tensor) -> Tensor:
    """g_t = (g_{t−1} + b_t)·a_t with g_0 = 0, in logs: gain_RT = log b_t (t = 1 … T), sums_RT = Σ_{i≤t} log a_i."""
    before_RT = torch.cat([sums_RT.new_zeros(len(sums_RT), 1), sums_RT[:, :-1]], 1)
    return _cut(sums_RT + (gain_RT - before_RT).logcumsumexp(-1))


def _cut(scores: Tensor) -> Tensor:
    return scores.masked_fill(scores < _CUT, -torch.inf)


def _all_labels(state: CTCState) -> Tensor:
    """log Σ_t φ_t·y_t(c) for all labels, φ = g_b + g_n: float64 (R, V)."""
    frames = state.frames
    if frames.scaled_BVT is None:
        frames.scaled_BVT = _shares(frames.labels_first_BWT[:, :-1] - frames.peaks()[..., None])
    phi_RT = state.total_RT[:, :-1]
    peak_R = phi_RT.amax(-1).clamp(min=_LOWEST)
    shares_RT = _shares((phi_RT - peak_R[:, None]).float())
    slot_R, slots = _slots(state.utterance_R, len(frames.lengths_B))
    shares_BKT = shares_RT.new_zeros(len(frames.lengths_B), slots, phi_RT.shape[1])
    shares_BKT[state.utterance_R, slot_R] = shares_RT
    products_RV = torch.bmm(shares_BKT, frames.scaled_BVT.transpose(1, 2))[state.utterance_R, slot_R]
    peaks_RV = frames.peaks()[state.utterance_R]
    lost_RV = (products_RV < _SAFE) & (peaks_RV > _CUT)
    scores_RV = products_RV.clamp(min=_SAFE).log().double() + peaks_RV + peak_R[:, None]
    if bool(lost_RV.any()):
        rows, columns = lost_RV.nonzero(as_tuple=True)
        step = max(_CHUNK // phi_RT.shape[1], 1)
        for r, c in zip(rows.split(step), columns.split(step), strict=True):
            exact = (phi_RT[r] + frames.labels_first_BWT[state.utterance_R[r], c]).logsumexp(-1)
            scores_RV[r, c] = exact
    return scores_RV


def _some_labels(state: CTCState, candidates_RC: Tensor) -> Tensor:
    """The same for each row's own candidates (R, C), by a plain log-sum-exp over the frames."""
    phi_RT = state.total_RT[:, :-1]
    peak_R = phi_RT.amax(-1).clamp(min=_LOWEST)
    phi_R1T = (phi_RT - peak_R[:, None]).float()[:, None]
    parts = []
    step = max(_CHUNK // (candidates_RC.shape[1] * phi_RT.shape[1]), 1)
    for r in torch.arange(len(candidates_RC), device=candidates_RC.device).split(step):
        emissions_RCT = state.frames.labels_first_BWT[state.utterance_R[r][:, None], candidates_RC[r]]
        terms_RCT = emissions_RCT.add_(phi_R1T[r])
        highest_RC1 = terms_RCT.amax(-1, keepdim=True).clamp(min=_LOWEST)
        sums_RC = terms_RCT.sub_(highest_RC1).clamp_(min=_TINY).exp_().sum(-1)
        parts.append(sums_RC.log_().add_(highest_RC1[..., 0]))
    return torch.cat(parts).double() + peak_R[:, None]


def _shares(logs: Tensor) -> Tensor:
    """exp, with what is next to nothing set to zero (`logs` is changed)."""
    return logs.masked_fill_(logs < _TINY, -torch.inf).exp_()


def _slots(utterance_R: Tensor, utterances: int) -> tuple[Tensor, int]:
    """The place of each row among the rows of its utterance, and the largest number of rows of any utterance."""
    order = utterance_R.argsort(stable=True)
    counts = torch.bincount(utterance_R, minlength=utterances)
    first = counts.cumsum(0) - counts
    slot_R = torch.empty_like(order)
    slot_R[order] = torch.arange(len(order), device=order.device) - first[utterance_R[order]]
    return slot_R, int(counts.max())


def _compact(frames: _Frames, utterance_R: Tensor) -> tuple[_Frames, Tensor]:
    """Drops the posteriors of utterances without rows, once half of them have none (so copies stay rare)."""
    live, renumbered_R = torch.unique(utterance_R, return_inverse=True)
    if len(live) == 0 or 2 * len(live) > len(frames.lengths_B):
        return frames, utterance_R
    return frames.select(live), renumbered_R
