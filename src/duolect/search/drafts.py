"""Drafts: how the labels after a prefix might go on, guessed at next to no cost, for a model to verify.

A draft changes only how fast a search is, never what it finds. After every disagreement it is made anew, so that it
takes up what the model has put in its place:

* `CTCDrafter` knows frame posteriors in the model's labels. With g(h, t) the mass of the alignments of prefix h to the
  first t frames (the forward variables of `ctc_prefix`), it lets h end where the best path of the rest fits best,

      t* = argmax_t  g(h, t) · Π_{i > t} max_c y_i(c),

  and reads that best path from t* on. No loop over frames, one step of the forward variables a label.
* `SequenceDrafter` knows one label sequence an utterance: a hypothesis of other units, spelled again in the model's. It
  goes on after the part of the sequence that is nearest to h in edit distance (the longest of equal ones).

Legend: B utterances · T frames (t = 0 … T frames consumed) · W = V + 1 classes (blank last) · R rows · N labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from duolect.search.checks import special_labels
from duolect.search.ctc_prefix import CTCPrefixScorer, CTCState
from duolect.search.padding import padded_labels

_LOWEST = -1e7  # a probability of zero that can be added up


class Drafter(Protocol):
    """Continuations for the prefixes of a search; one row a prefix."""

    def start(self, rows: int) -> Any:
        """State of the empty prefix of each of `rows` utterances."""
        ...

    def follow(self, state: Any, rows_R: Tensor, labels_RN: Tensor, counts_R: Tensor) -> Any:
        """Rows `rows_R` of the state, each followed by its first counts_R[r] labels."""
        ...

    def propose(self, state: Any, most_R: Tensor) -> tuple[Tensor, Tensor]:
        """(labels_RN, counts_R): at most most_R[r] ≥ 0 labels that may come next; what is beyond a count is 0."""
        ...


@dataclass(frozen=True)
class _Following:
    ctc: CTCState
    utterance_R: Tensor  # of the whole batch; that of `ctc` counts the live ones alone


class CTCDrafter:
    """The best CTC continuation of a prefix, in the labels of the posteriors.

    log_probs_BTW: log-softmax outputs, blank last; lengths_B: frames (0: never a draft). EOS and forbidden labels are
    not drafted. A prefix that CTC cannot align (more labels than frames) has an empty draft.
    Raises SearchError for what `checks.check_log_probs` refuses.
    """

    def __init__(
        self,
        log_probs_BTW: Tensor,
        lengths_B: Tensor,
        *,
        eos_id: int,
        forbidden_ids: Iterable[int] = (),
        ids: Sequence[str] | None = None,
    ) -> None:
        self._scorer = CTCPrefixScorer(log_probs_BTW, lengths_B, eos_id=eos_id, ids=ids)
        utterances, frames, width = log_probs_BTW.shape
        device = log_probs_BTW.device
        self._blank = width - 1
        banned = special_labels(eos_id, forbidden_ids, self._blank)
        frames = min(frames, max(int(lengths_B.max()) if utterances else 0, 0))
        allowed_BTW = log_probs_BTW[:, :frames].float().index_fill(2, torch.tensor(banned, device=device), -torch.inf)
        scores_BT, path_BT = (
            allowed_BTW.max(-1) if frames else (allowed_BTW[..., 0], lengths_B.new_zeros(utterances, 0))
        )
        valid_BT = torch.arange(frames, device=device) < lengths_B.to(device)[:, None]
        self._path_BT = path_BT.masked_fill(~valid_BT, self._blank)
        scores_BT = scores_BT.double().clamp(min=_LOWEST).masked_fill(~valid_BT, 0.0)
        rest_BT = scores_BT.flip(1).cumsum(1).flip(1)
        self._rest_BT = torch.nn.functional.pad(rest_BT, (0, 1))  # at t: Σ_{i > t} max_c log y_i(c)

    def start(self, rows: int) -> _Following:
        """See `Drafter.start`; raises SearchError where `rows` is not the number of utterances."""
        return _Following(self._scorer.start(None, rows), torch.arange(rows, device=self._path_BT.device))

    def follow(self, state: _Following, rows_R: Tensor, labels_RN: Tensor, counts_R: Tensor) -> _Following:
        """See `Drafter.follow`."""
        ctc, parent_R = state.ctc, rows_R
        for n in range(labels_RN.shape[1]):
            ctc = self._scorer.advance(ctc, None, parent_R, torch.where(n < counts_R, labels_RN[:, n], -1))
            parent_R = torch.arange(len(rows_R), device=rows_R.device)
        return _Following(ctc, state.utterance_R[rows_R])

    def propose(self, state: _Following, most_R: Tensor) -> tuple[Tensor, Tensor]:
        """See `Drafter.propose`."""
        ctc = state.ctc
        path_RT = self._path_BT[state.utterance_R]
        columns = min(ctc.total_RT.shape[1], path_RT.shape[1] + 1)
        totals_RT = ctc.total_RT[:, :columns]
        best_R, end_R = (totals_RT + self._rest_BT[state.utterance_R, :columns]).max(-1)
        # Where h ends in its last label rather than in a blank, the path may go on with that label: it is the same one.
        blanks_R = ctc.blank_RT.gather(1, end_R[:, None])[:, 0]
        in_label_R = totals_RT.gather(1, end_R[:, None])[:, 0] - blanks_R > 0.6931471805599453
        before_RT = torch.nn.functional.pad(path_RT[:, :-1], (1, 0), value=self._blank)
        frames_T = torch.arange(path_RT.shape[1], device=path_RT.device)
        first_RT = frames_T == end_R[:, None]
        before_RT = torch.where(first_RT, torch.where(in_label_R, ctc.last_R, self._blank)[:, None], before_RT)
        kept_RT = (path_RT != self._blank) & (path_RT != before_RT) & (frames_T >= end_R[:, None])
        kept_RT &= (best_R > -torch.inf)[:, None]
        place_RT = kept_RT.cumsum(1)
        kept_RT &= place_RT <= most_R[:, None]
        counts_R = kept_RT.sum(1)
        labels_RN = path_RT.new_zeros(len(path_RT), int(counts_R.max()) if len(counts_R) else 0)
        row_G, frame_G = kept_RT.nonzero(as_tuple=True)
        labels_RN[row_G, place_RT[row_G, frame_G] - 1] = path_RT[row_G, frame_G]
        return labels_RN, counts_R


@dataclass(frozen=True)
class _Nearest:
    utterance_R: Tensor
    distance_RN: Tensor  # edits between the prefix and the first n = 0 … N labels of the sequence


class SequenceDrafter:
    """The rest of one label sequence an utterance, after its part that is nearest to the prefix in edit distance."""

    def __init__(self, sequences: Sequence[Sequence[int]], *, device: torch.device | str = "cpu") -> None:
        self._labels_BN, self._lengths_B = padded_labels(sequences, device)
        self._places_N = torch.arange(self._labels_BN.shape[1] + 1, device=device)

    def start(self, rows: int) -> _Nearest:
        """See `Drafter.start`."""
        utterance_R = torch.arange(rows, device=self._places_N.device)
        return _Nearest(utterance_R, self._places_N.expand(rows, -1))

    def follow(self, state: _Nearest, rows_R: Tensor, labels_RN: Tensor, counts_R: Tensor) -> _Nearest:
        """See `Drafter.follow`; one row of the edit distance's table a label, all its columns at once."""
        utterance_R, distance_RN = state.utterance_R[rows_R], state.distance_RN[rows_R]
        sequence_RN = self._labels_BN[utterance_R]
        for n in range(labels_RN.shape[1]):
            new_RN = distance_RN + 1
            changed_RN = distance_RN[:, :-1] + (sequence_RN != labels_RN[:, n : n + 1])
            new_RN[:, 1:] = torch.minimum(new_RN[:, 1:], changed_RN)
            new_RN = (new_RN - self._places_N).cummin(1).values + self._places_N  # labels of the sequence left out
            distance_RN = torch.where((n < counts_R)[:, None], new_RN, distance_RN)
        return _Nearest(utterance_R, distance_RN)

    def propose(self, state: _Nearest, most_R: Tensor) -> tuple[Tensor, Tensor]:
        """See `Drafter.propose`."""
        lengths_R = self._lengths_B[state.utterance_R]
        longest = self._labels_BN.shape[1]
        beyond_RN = self._places_N > lengths_R[:, None]
        distance_RN = state.distance_RN.masked_fill(beyond_RN, torch.iinfo(torch.long).max)
        at_R = longest - distance_RN.flip(1).argmin(1)  # the last of the smallest
        counts_R = torch.minimum(lengths_R - at_R, most_R)
        width_N = torch.arange(int(counts_R.max()) if len(counts_R) else 0, device=counts_R.device)
        place_RN = (at_R[:, None] + width_N).clamp(max=max(longest - 1, 0))
        labels_RN = self._labels_BN[state.utterance_R].gather(1, place_RN)
        return labels_RN.masked_fill(width_N >= counts_R[:, None], 0), counts_R
