"""What all parts of a comparison draw on: scores, normalised texts, records and tests, each made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import Panel, RunRecord, Score, align
from duolect.evaluation.blocks import utterance_fields
from duolect.evaluation.confusions import Confusions
from duolect.evaluation.pairs import Pair
from duolect.evaluation.word_classes import RecallCounts, Vocabulary
from duolect.reports.compare.options import CompareOptions
from duolect.reports.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything measured. Mappings by system name are in the comparison's order."""

    comparison: Comparison
    records: Mapping[str, RunRecord]
    pairs: Sequence[Pair]
    """All pairs of systems; empty for a single one."""
    utterances: Mapping[str, Utterance] = field(repr=False)
    """id → utterance of the manifest."""
    panels: Mapping[str, Panel] = field(repr=False)
    nonspeech: Mapping[str, Panel] = field(default_factory=dict, repr=False)
    """Of the manifest of non-speech, for the systems that were run on it."""
    vocabulary: Vocabulary | None = field(default=None, repr=False)
    options: CompareOptions = field(default_factory=CompareOptions)

    @property
    def names(self) -> list[str]:
        """The systems' names."""
        return [system.name for system in self.comparison.systems]

    @property
    def scores(self) -> dict[str, Score]:
        """Name → score."""
        return {system.name: system.score for system in self.comparison.systems}

    @property
    def ids(self) -> tuple[str, ...]:
        """The scored utterances, sorted."""
        return self.comparison.systems[0].score.ids

    @cached_property
    def fields(self) -> dict[str, dict[str, Any]]:
        """Field of the manifest → id → value, of the scored utterances that have it."""
        # What a regime made of several utterances, such as the pieces of a call, has no fields.
        return fields_of(self.utterances[key] for key in self.ids if key in self.utterances)

    @cached_property
    def words(self) -> dict[str, tuple[Confusions, RecallCounts | None]]:
        """Name → errors by word, and recall by word class where the training text is known: one alignment of each
        utterance feeds both."""
        return {name: self._words(score) for name, score in self.scores.items()}

    def _words(self, score: Score) -> tuple[Confusions, RecallCounts | None]:
        errors = Confusions()
        recall = RecallCounts(self.vocabulary, len(score.ids)) if self.vocabulary is not None else None
        for n, (reference, hypothesis) in enumerate(score.texts_N):
            if reference != hypothesis:
                pairs = align(reference, hypothesis)
                errors.add(pairs)
            elif recall is not None:
                pairs = [(word, word) for word in reference.split()]
            if recall is not None:
                recall.add(n, pairs)
        return errors, recall

    def pair(self, a: str, b: str) -> Pair:
        """The pair of two systems, whichever was named first."""
        return next(pair for pair in self.pairs if {pair.a, pair.b} == {a, b})


def fields_of(utterances: Iterable[Utterance]) -> dict[str, dict[str, Any]]:
    """Field of the manifest → id → value, of the utterances that have it."""
    known = {utterance.id: utterance for utterance in utterances}
    found: dict[str, dict[str, Any]] = {"speaker": {}, "duration": {}, "lang": {}}
    for key, said in utterance_fields(known.values()).items():
        for name, value in {"duration": known[key].duration, **said}.items():
            if value is not None:
                found.setdefault(name, {})[key] = value
    return {name: values for name, values in found.items() if values}


def require_fields(asked: Iterable[str], fields: Mapping[str, object]) -> None:
    """Raise ConfigError for a field to break rates down by that there is not."""
    for name in asked:
        if name not in fields:
            raise ConfigError(f"--by: no utterance has a field {name!r}; known are {', '.join(sorted(fields))}.")
