"""What a search asks of a model: scores for all hypotheses at once, and a state that follows the beam.

Legend: B utterances · R rows (hypotheses of all utterances) · C candidates · N labels · V labels (EOS included).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_weight
from duolect.search.label_trees import label_tree
from duolect.search.padding import padded_labels
from duolect.search.result import SUBTRACTED, SearchStatistics, signed


class Scorer(Protocol):
    """One term of the score. Rows are hypotheses; a state holds one entry per row; all scores are natural logs.

    vocabulary: V, EOS included; device: where its scores are, known after `start`.
    by_candidate: the cost of `score` grows with the candidates, so a search may show it only some (CTC prefix scores);
    such a scorer is a `ByCandidate`.
    """

    by_candidate: bool
    device: torch.device

    @property
    def vocabulary(self) -> int:
        """V."""
        ...

    def start(self, encoded: Any, rows: int) -> Any:
        """State of one empty hypothesis per utterance (`rows` of them)."""
        ...

    def score(self, state: Any, candidates_RC: Tensor | None = None) -> tuple[Tensor, Any]:
        """Log p of the next label, EOS included: (R, V), or (R, C) for the candidates; and what `advance` can reuse."""
        ...

    def advance(self, state: Any, pending: Any, parent_R: Tensor, label_R: Tensor) -> Any:
        """Rows `parent_R` of the state, each followed by its label; label −1 keeps the row as it is."""
        ...

    def append(self, state: Any, labels_RN: Tensor, counts_R: Tensor) -> tuple[Tensor, Any]:
        """Row r is followed by its first counts_R[r] labels; the log p of these labels (R,), without EOS; the state."""
        ...

    def largest_gain(self, sign: float) -> float:
        """Upper bound of sign·score(c|h) over all labels c but EOS, for exact stopping: 0 for a log-probability. At EOS
        sign·score must never be above 0."""
        ...


class ByCandidate(Scorer, Protocol):
    """A scorer that sees only some labels, and knows something of all of them beforehand."""

    def estimate(self, state: Any) -> Tensor:
        """(R, V): stands for `score` where candidates are chosen; it costs next to nothing, and may be wrong."""
        ...


@dataclass(frozen=True)
class Weighted:
    """A scorer with its name (the key in `Hypothesis.terms`) and its scale λ ≥ 0; the name "prior" is subtracted."""

    name: str
    scorer: Scorer
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.name, self.weight)
        if isinstance(self.scorer, PriorScorer) != (self.name in SUBTRACTED):
            raise SearchError(f"scorer {self.name!r}: a prior, and only a prior, is named 'prior'.")

    @property
    def factor(self) -> float:
        """What the scorer's logs are multiplied with: −λ for the prior."""
        return signed(self.name, self.weight)

    @property
    def gain(self) -> float:
        """The most that one more label can add to the weighted score; ≥ 0."""
        return max(0.0, self.weight * self.scorer.largest_gain(-1.0 if self.factor < 0 else 1.0))


class NextLabels(Protocol):
    """What the scorer below asks of a model: the part of `duolect.models.Autoregressive` that a search needs."""

    @property
    def vocabulary(self) -> int:
        """V, EOS included."""
        ...

    def start(self, encoded: Any, rows: int) -> tuple[Tensor, Any]:
        """See `Autoregressive.start`."""
        ...

    def step(self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `Autoregressive.step`."""
        ...

    def select(self, state: Any, rows_R: Tensor) -> Any:
        """See `Autoregressive.select`."""
        ...


@dataclass
class AutoregressiveState:
    """Next-label distributions (R, V) beside the model's own state."""

    log_probs_RV: Tensor
    model: Any


@dataclass
class AutoregressiveScorer:
    """An attention decoder, a language model or a speech LLM as a scorer.

    model: a model of `duolect.models`, or its restriction to the labels that utterances keep (`pruning`). Where it has
        the method `extend`, `append` makes no distribution between the labels (`CausalLLM.extend`).
    encoded: what this model attends to, where that is not what the search passes on (two encoders in one search).
    statistics counts the model's forwards since the scorer was made.
    """

    model: NextLabels
    encoded: Any = None
    statistics: SearchStatistics = field(default_factory=SearchStatistics)
    by_candidate: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def vocabulary(self) -> int:
        """V, EOS included."""
        return self.model.vocabulary

    def start(self, encoded: Any, rows: int) -> AutoregressiveState:
        """BOS (and the prompt and audio of a speech LLM) consumed, once per utterance."""
        log_probs_RV, state = self.model.start(self.encoded if self.encoded is not None else encoded, rows)
        self.device = log_probs_RV.device
        self.statistics.add(rows, 0)
        return AutoregressiveState(log_probs_RV, state)

    def score(self, state: AutoregressiveState, candidates_RC: Tensor | None = None) -> tuple[Tensor, None]:
        """The stored distributions; nothing is computed here."""
        scores = state.log_probs_RV
        return (scores if candidates_RC is None else scores.gather(1, candidates_RC)), None

    def advance(
        self, state: AutoregressiveState, pending: None, parent_R: Tensor, label_R: Tensor
    ) -> AutoregressiveState:
        """One forward over the rows that gained a label; none when no row did."""
        labels_R1 = label_R.clamp(min=0)[:, None]
        _, state = self.append(self._select(state, parent_R), labels_R1, (label_R >= 0).long())
        return state

    def append(
        self, state: AutoregressiveState, labels_RN: Tensor, counts_R: Tensor
    ) -> tuple[Tensor, AutoregressiveState]:
        """Several labels per row in one forward."""
        labels = int(counts_R.sum())
        if not labels:
            return torch.zeros(len(counts_R), device=counts_R.device), state
        rows, width = labels_RN.shape
        if labels == rows * width:
            return self._append_all(state, labels_RN)
        self.statistics.add(int((counts_R > 0).sum()), labels)
        extend: Any = getattr(self.model, "extend", None)
        if extend is not None:
            inner_RN, last_PV, model = extend(state.model, labels_RN, counts_R)
            grown_R = counts_R > 0
            first_R = state.log_probs_RV.gather(1, labels_RN[:, :1])[:, 0].where(grown_R, 0.0)
            after_RV = state.log_probs_RV.index_copy(0, grown_R.nonzero()[:, 0], last_PV)
            return first_R + inner_RN.sum(1), AutoregressiveState(after_RV, model)
        log_probs_RNV, model = self.model.step(state.model, labels_RN, counts_R)
        used_RN = torch.arange(width, device=labels_RN.device) < counts_R[:, None]
        scores_RN = _label_scores(state.log_probs_RV, log_probs_RNV, labels_RN).masked_fill(~used_RN, 0.0)
        row_R = torch.arange(rows, device=labels_RN.device)
        after_RV = log_probs_RNV[row_R, (counts_R - 1).clamp(min=0)]
        after_RV = torch.where((counts_R > 0)[:, None], after_RV, state.log_probs_RV)
        return scores_RN.sum(1), AutoregressiveState(after_RV, model)

    def branch(
        self, state: AutoregressiveState, kept_K: Tensor, origins: Sequence[int], labels: Sequence[Sequence[int]]
    ) -> tuple[Tensor, AutoregressiveState]:
        """The rows kept_K, and behind them the row origins[i] with each of labels[i] (never none) appended, in one
        forward; the log p of these labels in float64, on the host. Where the model can, what several share is computed
        once."""
        model: Any = getattr(self.model, "branch", None)
        if model is None:
            pending = [()] * len(kept_K) + list(labels)
            before = self._select(state, torch.cat((kept_K, torch.tensor(origins, device=self.device))))
            scores_R, state = self.append(before, *padded_labels(pending, self.device))
            return scores_R[len(kept_K) :].double().cpu(), state
        tree = label_tree(origins, labels, self.device)
        ends_W = torch.tensor(tree.ends, device=self.device)
        self.statistics.add(len(labels), int(tree.counts_P.sum()))
        scores_PN, after_WV, rows = model(state.model, tree, ends_W)
        first_P = state.log_probs_RV[tree.rows_P, tree.labels_PN[:, 0]].where(tree.parents_P < 0, 0.0)
        scores = (scores_PN.sum(1) + first_P).double().tolist()
        for place, parent in enumerate(tree.parents):
            if parent >= 0:
                scores[place] += scores[parent]
        chosen_R = torch.cat((kept_K, len(state.log_probs_RV) + ends_W))
        after_RV = torch.cat((state.log_probs_RV[kept_K], after_WV))
        total_W = torch.tensor([scores[end] for end in tree.ends], dtype=torch.float64)
        return total_W, AutoregressiveState(after_RV, self.model.select(rows, chosen_R))

    def _append_all(self, state: AutoregressiveState, labels_RN: Tensor) -> tuple[Tensor, AutoregressiveState]:
        """`append` where every label counts; moves no distribution."""
        self.statistics.add(len(labels_RN), labels_RN.numel())
        log_probs_RNV, model = self.model.step(state.model, labels_RN)
        scores_RN = _label_scores(state.log_probs_RV, log_probs_RNV, labels_RN)
        return scores_RN.sum(1), AutoregressiveState(log_probs_RNV[:, -1], model)

    def largest_gain(self, sign: float) -> float:
        """A probability never raises the score."""
        return 0.0

    def _select(self, state: AutoregressiveState, rows_R: Tensor) -> AutoregressiveState:
        count = len(state.log_probs_RV)
        if len(rows_R) == count and bool((rows_R == torch.arange(count, device=rows_R.device)).all()):
            return state  # the caches stay where they are
        return AutoregressiveState(state.log_probs_RV[rows_R], self.model.select(state.model, rows_R))


class PriorScorer:
    """Label prior log p_prior(c), the same after every history; EOS has 0 (it is not acoustic evidence).

    log_prior: (V,) as `priors.softmax_prior` or `priors.count_prior` give it, or (B, V) where the labels mean
    something else in every utterance (`pruning.KeptLabels.prior`). Every entry is finite, since a −inf that is
    subtracted would make a label free.
    """

    by_candidate = False

    def __init__(self, log_prior: Tensor) -> None:
        if log_prior.dim() not in (1, 2) or not bool(log_prior.isfinite().all()):
            raise SearchError(
                "prior: log-probabilities must be one finite number per label (smooth labels never seen)."
            )
        self.log_prior = log_prior.float()
        self.vocabulary, self.device = log_prior.shape[-1], log_prior.device

    def start(self, encoded: Any, rows: int) -> Tensor:
        """The utterance of each row."""
        if self.log_prior.dim() == 2 and len(self.log_prior) != rows:
            raise SearchError(f"prior: {len(self.log_prior)} utterances have one, but the search is over {rows}.")
        return torch.arange(rows, device=self.device)

    def score(self, state: Tensor, candidates_RC: Tensor | None = None) -> tuple[Tensor, None]:
        """The prior of every label, or of the candidates."""
        if self.log_prior.dim() == 1:
            every_RV = self.log_prior.expand(len(state), -1)
            return (every_RV if candidates_RC is None else self.log_prior[candidates_RC]), None
        if candidates_RC is None:
            return self.log_prior[state], None
        return self.log_prior[state[:, None], candidates_RC], None

    def advance(self, state: Tensor, pending: None, parent_R: Tensor, label_R: Tensor) -> Tensor:
        """The rows that are picked."""
        return state[parent_R]

    def append(self, state: Tensor, labels_RN: Tensor, counts_R: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the labels' priors."""
        used_RN = torch.arange(labels_RN.shape[1], device=labels_RN.device) < counts_R[:, None]
        return self.score(state, labels_RN)[0].masked_fill(~used_RN, 0.0).sum(1), state

    def largest_gain(self, sign: float) -> float:
        """Subtracting the prior of the rarest label raises the score most."""
        return float((sign * self.log_prior).max())


def check_vocabularies(scorers: Sequence[Weighted]) -> int:
    """The number of labels all scorers share; SearchError names two that differ."""
    first = scorers[0]
    for other in scorers[1:]:
        if other.scorer.vocabulary != first.scorer.vocabulary:
            raise SearchError(
                f"scorers {first.name!r} and {other.name!r} do not share their labels: "
                f"{first.scorer.vocabulary} and {other.scorer.vocabulary}."
            )
    return first.scorer.vocabulary


def _label_scores(first_RV: Tensor, log_probs_RNV: Tensor, labels_RN: Tensor) -> Tensor:
    """(R, N) log p of each label, given the distribution before the first and those after each."""
    scores_R1 = first_RV.gather(1, labels_RN[:, :1])
    scores_RN = log_probs_RNV[:, :-1].gather(2, labels_RN[:, 1:, None])[..., 0]
    return torch.cat([scores_R1, scores_RN], 1)
