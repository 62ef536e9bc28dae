"""What a search gives back: hypotheses with every term's own score, so that scales can change without a new search."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from duolect.errors import SearchError

# The one term that is subtracted: score = Σ λ_i·term_i − λ_prior·log p_prior.
SUBTRACTED = frozenset({"prior"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One label sequence with its score.

    labels: ordinary labels only; EOS is scored but not part of them.
    score: what hypotheses are ranked by: the weighted sum of the terms, divided by N^α where a search normalises
        (N counts the labels and EOS).
    terms: natural logarithms before any weight: {"ctc", "decoder", "speech_llm", "lm", "prior"}, those that took part.
    truncated: EOS was forced by the label limit, and was not what the models would have chosen; of a search over
        frames: there are as many labels as the limit allows.
    flags: further facts a reader of the score must know: "no_frames" (nothing was heard), "unfinished" (no sequence of
        non-zero probability was found that ends within the limit: labels and score are those of the best prefix,
        without EOS).
    """

    labels: tuple[int, ...]
    score: float
    terms: Mapping[str, float]
    truncated: bool = False
    flags: tuple[str, ...] = ()

    def with_term(self, name: str, value: float) -> "Hypothesis":
        """The same hypothesis with one more (or another) unweighted term; the score is left as it was."""
        return replace(self, terms={**self.terms, name: value})


@dataclass(slots=True)
class SearchStatistics:
    """What a model was asked to do: calls of the model, hypotheses in them, labels consumed."""

    forwards: int = 0
    rows: int = 0
    labels: int = 0

    def add(self, rows: int, labels: int) -> None:
        """Count one forward pass over `rows` hypotheses that consumed `labels` labels in all."""
        self.forwards += 1
        self.rows += rows
        self.labels += labels

    def numbers(self) -> dict[str, float]:
        """The counters by name."""
        return {name: float(value) for name, value in asdict(self).items()}


@dataclass(slots=True)
class DraftStatistics(SearchStatistics):
    """What draft and verify asked of the model, and what came of the drafts.

    utterances: all; taken: those of them that were taken from CTC without the model; drafted, accepted: labels;
    ties: decisions whose runner-up was within 1e-4.
    """

    utterances: int = 0
    taken: int = 0
    drafted: int = 0
    accepted: int = 0
    ties: int = 0

    def numbers(self) -> dict[str, float]:
        """The counters, the share of drafted labels accepted, and forward passes for an utterance of all."""
        return {
            **SearchStatistics.numbers(self),
            "acceptance": self.accepted / max(self.drafted, 1),
            "forwards_per_utterance": self.rows / max(self.utterances, 1),
        }


@dataclass(slots=True)
class ReductionStatistics:
    """How much of CTC a search still looked at, summed over utterances: frames after soft collapse, labels after label
    pruning. 0 where there was none."""

    frames: int = 0
    frames_left: int = 0
    labels: int = 0
    labels_left: int = 0

    def count_frames(self, before: int, after: int) -> None:
        """Add what soft collapse made of a batch."""
        self.frames += before
        self.frames_left += after

    def count_labels(self, before: int, after: int) -> None:
        """Add what label pruning made of a batch."""
        self.labels += before
        self.labels_left += after

    def numbers(self) -> dict[str, float]:
        """The counters of what was reduced, and by which factor."""
        found: dict[str, float] = {}
        for name, before, after in (("frame", self.frames, self.frames_left), ("label", self.labels, self.labels_left)):
            if before:
                found |= {f"{name}s": float(before), f"{name}s_left": float(after)}
                found[f"{name}_reduction"] = before / max(after, 1)
        return found


def combine(terms: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    """Weighted sum Σ λ_i·term_i, the prior subtracted: the objective of every system.

    terms: name → value; floats, NumPy arrays or tensors of one shape (tuning passes arrays over a whole n-best file).
    weights: name → λ ≥ 0; terms without a weight take no part, a weight of 0 takes its term out (even a −inf).
    Raises SearchError for a weight whose term is missing.
    """
    total: Any = 0.0
    for name, weight in weights.items():
        if name not in terms:
            raise SearchError(f"weight {name!r}: the hypotheses carry no such term, only {', '.join(sorted(terms))}.")
        if weight != 0.0:
            total = total + signed(name, weight) * terms[name]
    return total


def signed(name: str, weight: float) -> float:
    """The factor a term enters the score with: −λ for the prior, λ for all others."""
    return -weight if name in SUBTRACTED else weight


def ranked(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Best first; equal scores keep their order."""
    return sorted(hypotheses, key=lambda h: -h.score)
