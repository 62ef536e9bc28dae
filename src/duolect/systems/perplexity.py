"""How well language models foretell a text, side by side on the sentences that all of them can spell.

Labels differ between units and so do perplexities per label; per word they can be compared (arXiv 2603.15045).
N sentences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duolect import __version__
from duolect.configs import to_json
from duolect.data.text import numbered_text
from duolect.errors import ScoringError, SystemFolderError, UnitsError
from duolect.evaluation import Interval, Normaliser, normaliser_function
from duolect.evaluation.intervals import SEED
from duolect.evaluation.perplexity import REPLICAS, perplexity, perplexity_interval
from duolect.models import TextLogProb, sentence_log_probs
from duolect.systems.components import Component
from duolect.systems.system import System

CONVENTION = (
    "PPL per token: exp(-log p / tokens), per word: exp(-log p / (words + sentences)); log p is natural and counts "
    "sentence ends, which are tokens and stand for a word each. Per word, models of other units can be compared."
)
ALL = "all"
_NUMBERS = 1 << 27  # of distributions held at once (512 MB)
_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A sentence (`place`: "file:line") left out for all models because `system` cannot spell it."""

    system: str
    place: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TextPerplexity:
    """One model on one text: a file, or `ALL` of them together, which `total` says, as a file may be called so.

    `interval`: 95 % of the perplexity per word. `ratio`: that of the perplexity per word to the first model's, with the
    interval of the paired bootstrap; None for the first model itself.
    """

    system: str
    text: str
    sums: TextLogProb
    interval: Interval | None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    total: bool = False

    def summary(self) -> dict[str, Any]:
        """Plain values for a JSON file; what is not finite is None."""
        return {
            "system": self.system,
            "text": self.text,
            "total": self.total,
            **{name: getattr(self.sums, name) for name in ("sentences", "words", "tokens")},
            **{name: _finite(getattr(self.sums, name)) for name in ("log_prob", "per_token", "per_word")},
            "ratio": _finite(self.ratio),
            "interval": _bounds(self.interval),
            "ratio_interval": _bounds(self.ratio_interval),
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _bounds(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else {"low": _finite(interval.low), "high": _finite(interval.high)}


@dataclass(frozen=True, kw_only=True)
class PerplexityReport:
    """Rows by text, then by model in the order given; the last text is `ALL` where there are several."""

    rows: tuple[TextPerplexity, ...]
    left_out: tuple[LeftOut, ...]
    models: Mapping[str, Mapping[str, Any]]
    normaliser: str
    seed: int
    replicas: int

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, with the convention the numbers follow."""
        return {
            "created_by": f"duolect {__version__}",
            "convention": CONVENTION,
            "normaliser": self.normaliser,
            "seed": self.seed,
            "replicas": self.replicas,
            "models": {name: dict(facts) for name, facts in self.models.items()},
            "rows": [row.summary() for row in self.rows],
            "left_out": to_json(self.left_out),
        }


def measure_perplexity(
    systems: Mapping[str, System],
    files: Iterable[str | os.PathLike[str]],
    *,
    normaliser: Normaliser = "plain",
    replicas: int = REPLICAS,
    seed: int = SEED,
    progress: Callable[[str], None] = lambda name: None,
) -> PerplexityReport:
    """The perplexities of the systems' language models on text files, or manifests, whose texts are taken.

    A sentence that one of them cannot spell, or that is longer than its positions, is left out for all and listed.
    `progress` is told which system comes next. Raises SystemFolderError for a system without a language model,
    ManifestError for a file that cannot be read, ScoringError for one that is given twice and where no sentence is
    left.
    """
    files = [Path(file) for file in files]
    _check_distinct(files)
    parts = {name: _language(name, system) for name, system in systems.items()}
    normal = normaliser_function(normaliser)
    names, places, sentences = [], [], []
    for file in files:
        for line, text in numbered_text(file):
            if sentence := " ".join(normal(text).split()):
                names.append(str(file))
                places.append(f"{file}:{line}")
                sentences.append(sentence)
    left_out: list[LeftOut] = []
    spelled = {name: _spell(name, part, sentences, places, left_out) for name, part in parts.items()}
    kept = [n for n in range(len(sentences)) if all(labels[n] is not None for labels in spelled.values())]
    if not kept:
        why = f"; the first, {left_out[0].place}: {left_out[0].reason}" if left_out else "."
        raise ScoringError(f"there is no sentence that every model can spell{why}")
    scores = {}
    for name, part in parts.items():
        progress(name)
        labels = [spelled[name][n] or [] for n in kept]
        most = max(1, min(_TOKENS, _NUMBERS // part.model.vocabulary))
        log_probs_N = np.array(sentence_log_probs(part.model, labels, batch_tokens=most))
        scores[name] = log_probs_N, np.array([len(each) + 1 for each in labels])
    words_N = np.array([len(sentences[n].split()) for n in kept])
    return PerplexityReport(
        rows=tuple(_rows([names[n] for n in kept], scores, words_N, replicas, seed)),
        left_out=tuple(left_out),
        models={name: _facts(part) for name, part in parts.items()},
        normaliser=normaliser,
        seed=seed,
        replicas=replicas,
    )


def _check_distinct(files: Sequence[Path]) -> None:
    """Raise ScoringError for a file that is there twice, be it by two names: its sentences are one sample only."""
    there = [file for file in files if file.exists()]
    for number, file in enumerate(there):
        first = next(other for other in there if other.samefile(file))
        if first is not there[number]:
            raise ScoringError(f"{file}: is the same text as {first}, and would count twice.")


def _language(name: str, system: System) -> Component:
    if system.language is None:
        raise SystemFolderError(f"{name}: has no language model, only {', '.join(system.parts)}.")
    return system.language


def _spell(
    name: str, part: Component, sentences: Sequence[str], places: Sequence[str], left_out: list[LeftOut]
) -> list[list[int] | None]:
    spelled: list[list[int] | None] = []
    for sentence, place in zip(sentences, places, strict=True):
        labels, reason = None, None
        try:
            labels = part.units.encode(sentence)
        except UnitsError as error:
            reason = str(error)
        if labels is not None and len(labels) + 1 > part.positions:
            reason = f"its {len(labels)} labels are more than the model's {part.positions:.0f} positions."
        if reason is not None:
            left_out.append(LeftOut(system=name, place=place, reason=reason))
        spelled.append(labels if reason is None else None)
    return spelled


def _rows(
    names: Sequence[str],
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]],
    words_N: np.ndarray,
    replicas: int,
    seed: int,
) -> Iterable[TextPerplexity]:
    files_N = np.array(names)
    texts = list(dict.fromkeys(names))
    first_N = next(iter(scores.values()))[0]
    for text in [*texts, None] if len(texts) > 1 else texts:
        chosen_N = np.full(len(names), True) if text is None else files_N == text
        counts_N = words_N[chosen_N] + 1
        for number, (system, (log_probs_N, tokens_N)) in enumerate(scores.items()):
            own_N, ratio, interval = log_probs_N[chosen_N], None, None
            if number:
                with np.errstate(invalid="ignore"):
                    difference_N = own_N - first_N[chosen_N]
                ratio = perplexity(difference_N, counts_N)
                interval = perplexity_interval(difference_N, counts_N, replicas=replicas, seed=seed)
            yield TextPerplexity(
                system=system,
                text=ALL if text is None else text,
                total=text is None,
                sums=TextLogProb(
                    float(own_N.sum()), int(tokens_N[chosen_N].sum()), int(words_N[chosen_N].sum()), len(own_N)
                ),
                interval=perplexity_interval(own_N, counts_N, replicas=replicas, seed=seed),
                ratio=ratio,
                ratio_interval=interval,
            )


def _facts(part: Component) -> dict[str, Any]:
    return {
        "fingerprint": part.fingerprint(),
        "units": {"kind": part.units.kind, "size": part.units.size, "fingerprint": part.units.fingerprint},
        "device": str(next(part.model.parameters()).device),
        "parameters": sum(parameter.numel() for parameter in part.model.parameters()),
    }
