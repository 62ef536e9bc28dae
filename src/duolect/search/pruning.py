"""Label pruning per utterance: a search over the few labels that CTC finds likely (the recipes for arXiv 2603.15045).

    u(c) = max_t log y_t(c), or mean_t;   kept: the k labels with the largest u, EOS and blank

Every model is then asked about the kept labels alone and renormalised over them: CTC in each frame, the softmax of the
autoregressive models (whose output table is multiplied only for the kept rows), and the prior. The search itself runs
unchanged on *local* labels, 0 … C − 1 of each utterance: EOS is 0, the others follow in ascending order of their
global ids, and an utterance with fewer labels than others has some of probability 0 at the end.

Legend: B utterances · T frames · R rows · N labels · M = N + 1 · V labels (EOS included) · W = V + 1 (blank last) ·
C = k + 1 local labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_count, check_log_probs, special_labels, utterance_names
from duolect.search.result import Hypothesis

if TYPE_CHECKING:
    from duolect.models import Autoregressive

By = Literal["max", "mean"]
# A frame in which a label has probability zero weighs like this one; labels that differ elsewhere still have an order.
_LOWEST = -1e4


@dataclass(frozen=True)
class KeptLabels:
    """The labels each utterance keeps: labels_BC[b, c] is the global label that its local label c stands for.

    −1 is no label: one of probability 0. `posteriors`, `prior` and `RestrictedModel` turn what a search takes into
    local labels, `restore` what it gives back into global ones.
    """

    labels_BC: Tensor
    eos_id: int = 0
    """EOS among the local labels. No other local label needs to be forbidden."""

    @property
    def width(self) -> int:
        """C."""
        return self.labels_BC.shape[1]

    @property
    def counts_B(self) -> Tensor:
        """How many labels each utterance keeps, EOS among them."""
        return (self.labels_BC >= 0).sum(1)

    def posteriors(self, log_probs_BTW: Tensor) -> Tensor:
        """CTC over the local labels and blank (B, T, C + 1), renormalised in each frame; lengths stay as they are.

        A frame in which nothing kept has any probability says nothing, and becomes a blank.
        """
        blank_B1 = torch.full_like(self.labels_BC[:, :1], log_probs_BTW.shape[-1] - 1)
        classes_BX = torch.cat([self.labels_BC, blank_B1], 1)
        index_BTX = classes_BX.clamp(min=0)[:, None].expand(-1, log_probs_BTW.shape[1], -1)
        kept_BTX = log_probs_BTW.gather(2, index_BTX).float().masked_fill((classes_BX < 0)[:, None], -torch.inf)
        silent_BT = (kept_BTX == -torch.inf).all(-1)
        kept_BTX[..., -1] = kept_BTX[..., -1].masked_fill(silent_BT, 0.0)
        return kept_BTX.log_softmax(-1)

    def prior(self, log_prior_V: Tensor) -> Tensor:
        """log p_prior over the local labels (B, C), renormalised over them; 0 for EOS and where no label is."""
        ordinary_BC = self.labels_BC >= 0
        ordinary_BC[:, self.eos_id] = False
        values_BC = log_prior_V.float()[self.labels_BC.clamp(min=0)].masked_fill(~ordinary_BC, -torch.inf)
        # What is subtracted must be finite, even where no label is.
        return values_BC.log_softmax(-1).where(ordinary_BC, 0.0)

    def restore(self, lists: Sequence[Sequence[Hypothesis]]) -> list[list[Hypothesis]]:
        """N-best lists of these utterances, in their order, in global labels."""
        tables = self.labels_BC.tolist()
        return [
            [replace(h, labels=tuple(table[c] for c in h.labels)) for h in each]
            for table, each in zip(tables, lists, strict=True)
        ]


def keep_labels(
    log_probs_BTW: Tensor,
    lengths_B: Tensor,
    count: int | None,
    *,
    eos_id: int,
    forbidden_ids: Iterable[int] = (),
    by: By = "max",
    ids: Sequence[str] | None = None,
    name: str = "ctc",
) -> KeptLabels | None:
    """The `count` labels that CTC finds likeliest in each utterance, with EOS; None where nothing is to be pruned.

    Nothing is where `count` is None, or at least the number of labels that may occur: V without EOS and the forbidden.
    by: u(c) is the "max" or the "mean" of log y_t(c) over the frames of the utterance, padding not among them. A CTC
    whose labels are sharp peaks wants the maximum: a label that is sure in one frame and impossible in all others has
    a lower mean than one that is a little likely everywhere.
    A label that no frame gives any probability is not kept: an utterance may keep fewer, and one without frames none.
    Raises SearchError for a count below 1 or an unknown `by`, for labels outside the vocabulary, when the forbidden
    labels leave none, and for what `checks.check_log_probs` refuses.
    """
    names = utterance_names(ids, len(log_probs_BTW))
    check_log_probs(log_probs_BTW, lengths_B, ids=names, name=name)
    check_pruning(count, by)
    vocabulary = log_probs_BTW.shape[-1] - 1
    special = special_labels(eos_id, forbidden_ids, vocabulary)
    if count is None or count >= vocabulary - len(special) or not names:
        return None
    ranks_BV = torch.stack(
        [_ranks(part_TW[:length, :-1], by) for part_TW, length in zip(log_probs_BTW, lengths_B.tolist(), strict=True)]
    )
    ranks_BV[:, special] = -torch.inf
    best_BK, chosen_BK = ranks_BV.topk(count, 1)
    # What is not kept sorts behind all labels; columns that no utterance needs are dropped.
    chosen_BK = chosen_BK.masked_fill(best_BK == -torch.inf, vocabulary).sort(1).values
    chosen_BK = chosen_BK[:, : max(int((chosen_BK < vocabulary).sum(1).max()), 1)]
    chosen_BK = chosen_BK.masked_fill(chosen_BK == vocabulary, -1)
    return KeptLabels(torch.cat([torch.full_like(best_BK[:, :1], eos_id, dtype=torch.long), chosen_BK], 1))


def check_pruning(count: int | None, by: str) -> None:
    """Raise SearchError unless the number of labels is None or ≥ 1, and `by` is known."""
    if count is not None:
        check_count("keep_labels", count)
    if by not in ("mean", "max"):
        raise SearchError(f"keep_labels: {by!r} is neither 'mean' nor 'max'.")


def _ranks(log_probs_TV: Tensor, by: By) -> Tensor:
    """u(c) of one utterance (V,); −inf for labels that no frame gives any probability."""
    if not len(log_probs_TV):
        return log_probs_TV.new_full(log_probs_TV.shape[1:], -torch.inf, dtype=torch.float32)
    highest_V = log_probs_TV.float().amax(0)
    if by == "max":
        return highest_V
    return log_probs_TV.float().clamp(min=_LOWEST).mean(0).masked_fill(highest_V == -torch.inf, -torch.inf)


@dataclass(frozen=True)
class RestrictedState:
    """The model's own state, and its output layer for the labels that the utterances of the rows keep."""

    model: Any
    head: Any


class RestrictedModel:
    """A model over the local labels of each utterance, as a search asks it (see `scorer.NextLabels`).

    Rows belong to the utterances that kept the labels: `start` begins with one row for each of them.
    """

    def __init__(self, model: Autoregressive, kept: KeptLabels) -> None:
        self._model, self._kept = model, kept
        self.vocabulary = kept.width

    def start(self, encoded: Any, rows: int) -> tuple[Tensor, RestrictedState]:
        """See `Autoregressive.start`; `rows` must be the number of utterances."""
        if rows != len(self._kept.labels_BC):
            utterances = len(self._kept.labels_BC)
            raise SearchError(f"keep_labels: {utterances} utterances keep labels, but the search is over {rows}.")
        head = self._model.head(self._kept.labels_BC)
        log_probs_RC, state = self._model.start(encoded, rows, head)
        return log_probs_RC, RestrictedState(state, head)

    def step(
        self, state: RestrictedState, labels_RN: Tensor, counts_R: Tensor | None = None
    ) -> tuple[Tensor, RestrictedState]:
        """See `Autoregressive.step`."""
        global_RN = self._kept.labels_BC[state.head.utterance_R[:, None], labels_RN].clamp(min=0)
        log_probs_RNC, model = self._model.step(state.model, global_RN, counts_R, state.head)
        return log_probs_RNC, RestrictedState(model, state.head)

    def select(self, state: RestrictedState, rows_R: Tensor) -> RestrictedState:
        """See `Autoregressive.select`."""
        return RestrictedState(self._model.select(state.model, rows_R), state.head.select(rows_R))
