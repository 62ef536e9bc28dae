"""What a first pass searches over: its labels, and CTC after label pruning and soft collapse.

B utterances · T frames · S frames after the collapse · V labels · C labels an utterance keeps · X = V + 1 or C + 1,
blank last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from duolect.search import Hypothesis, KeptLabels, PriorScorer, RestrictedModel, keep_labels, soft_collapse
from duolect.systems.components import spelling_units
from duolect.systems.context import Context
from duolect.systems.limits import forbidden


@dataclass(frozen=True)
class SearchSpace:
    """`ctc`: log_probs_BSX and lengths_B; None where the first pass does not ask CTC. `kept`: None where all labels are
    searched; else the search is over the local labels of each utterance, and `restore` gives back those of the units.
    """

    eos_id: int
    forbidden_ids: Sequence[int]
    ctc: tuple[Tensor, Tensor] | None = None
    kept: KeptLabels | None = None

    @property
    def heard(self) -> tuple[Tensor, Tensor]:
        """`ctc` of a first pass that asks it."""
        assert self.ctc is not None, "checked when the search was made"
        return self.ctc

    def model(self, model: Any) -> Any:
        """A model as the search is to ask it."""
        return model if self.kept is None else RestrictedModel(model, self.kept)

    def prior(self, log_prior_V: Tensor) -> PriorScorer:
        """The prior as the search is to ask it."""
        return PriorScorer(log_prior_V if self.kept is None else self.kept.prior(log_prior_V))

    def restore(self, lists: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """The hypotheses in the labels of the units."""
        return lists if self.kept is None else self.kept.restore(lists)


def search_space(context: Context) -> SearchSpace:
    """The space of the first pass of `context.search`; how much of CTC is left is added to the statistics."""
    search, units = context.search, spelling_units(context.parts, context.search)
    forbidden_ids = forbidden(units)
    if not search.inside.ctc:
        return SearchSpace(units.eos_id, forbidden_ids)
    log_probs_BTX, frames_B = context.posteriors()
    vocabulary, kept = log_probs_BTX.shape[-1] - 1, None
    if search.keep_labels is not None:
        kept = keep_labels(
            log_probs_BTX,
            frames_B,
            search.keep_labels,
            eos_id=units.eos_id,
            forbidden_ids=forbidden_ids,
            by=search.keep_labels_by,
            ids=context.ids,
        )
        # Pruned first, on the frames as they are: what comes after is then cheap, however large the vocabulary.
        log_probs_BTX = log_probs_BTX if kept is None else kept.posteriors(log_probs_BTX)
        counts = [vocabulary] * len(frames_B) if kept is None else kept.counts_B.tolist()
        context.reduced().count_labels(len(counts) * vocabulary, sum(counts))
    if search.collapse is not None:
        shorter = soft_collapse(log_probs_BTX, frames_B, search.collapse, how=search.collapse_how, ids=context.ids)
        context.reduced().count_frames(int(frames_B.sum()), int(shorter.lengths_B.sum()))
        log_probs_BTX, frames_B = shorter.log_probs_BSW, shorter.lengths_B
    if kept is None:
        return SearchSpace(units.eos_id, forbidden_ids, (log_probs_BTX, frames_B))
    return SearchSpace(kept.eos_id, (), (log_probs_BTX, frames_B), kept)
