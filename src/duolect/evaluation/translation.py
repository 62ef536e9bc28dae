"""Translations against their references: BLEU (Papineni et al. 2002) and chrF2 (Popović 2015), as in sacreBLEU.

Texts are compared as they are, with case and punctuation: tokenising is sacreBLEU's business, and its signature, which
every score carries, says how that was done. Counts of each utterance and the score of summed counts come from
sacreBLEU; what is drawn over utterances is drawn here, as for word errors (`intervals.py`):

*Interval*: percentile bootstrap over utterances; of a difference between two systems, on the same drawn utterances
(Koehn 2004).
*p-value*: two-sided approximate randomisation (Riezler & Maxwell 2005): each utterance's two outputs change hands with
probability ½; p = (1 + trials with at least the difference seen) / (1 + trials). sacreBLEU's own test counts only what
is larger than the difference seen, by which a system differs significantly from itself.

Scores are in points from 0 to 100. Shape suffixes: N utterances, S counts of each, R replicas or trials.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.intervals import LEVEL, SEED, Interval
from duolect.evaluation.results import HypothesisRow, Skipped
from duolect.evaluation.score import named, texts_of

TranslationMetric = Literal["bleu", "chrf"]
METRICS: tuple[TranslationMetric, ...] = get_args(TranslationMetric)
TITLES: dict[TranslationMetric, str] = {"bleu": "BLEU", "chrf": "chrF2"}
REPLICAS = 1_000
TRIALS = 10_000

_CHUNK = 1 << 22  # numbers held at once: 32 MiB
# The languages that sacreBLEU splits in ways of their own, by the names that other tag sets give them.
_SPLIT = {"zho": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko"}


@dataclass(frozen=True, kw_only=True)
class MetricScore:
    """One metric of one run, in points; its `counts_NS` are those of the utterances, in the order of their ids."""

    value: float
    interval: Interval | None
    """95 % bootstrap interval; None for a single utterance."""
    signature: str
    """sacreBLEU's: what makes the number comparable with others."""
    counts_NS: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class TranslationScore:
    """The scores of one run's translations, with everything needed to state them."""

    metrics: Mapping[TranslationMetric, MetricScore]
    target_lang: str | None
    """The language of the translations, where the rows say it; it decides how BLEU splits Chinese, Japanese, Korean."""
    utterances: int
    """Utterances scored, skipped ones included when they count as empty."""
    empty_references: int
    """Utterances dropped because there is no reference translation."""
    skipped: int
    """Utterances the system did not recognise."""
    skipped_as_deletions: bool
    seed: int
    replicas: int
    references: Mapping[str, str] = field(repr=False)
    """id → reference, of the scored utterances."""

    def summary(self) -> dict[str, Any]:
        """Plain values for a JSON file or a log line; scores are points."""
        values: dict[str, Any] = {}
        for name, score in self.metrics.items():
            values[name] = score.value
            values[f"{name}_interval_95"] = [score.interval.low, score.interval.high] if score.interval else None
            values[f"{name}_signature"] = score.signature
        keys = ("target_lang", "utterances", "empty_references", "skipped", "skipped_as_deletions", "seed", "replicas")
        return values | {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, kw_only=True)
class PairedTranslation:
    """One system against a baseline on the same utterances by one metric; points, positive differences are better."""

    baseline: float
    value: float
    difference: float
    interval: Interval | None
    """95 % bootstrap interval of the difference; None for fewer than two utterances."""
    probability_of_improvement: float
    """The share of replicas in which the system is better; equal ones count one half."""
    p_value: float
    seed: int
    replicas: int
    trials: int

    @property
    def significant(self) -> bool:
        """p < 0.05, two-sided, not corrected for the number of systems compared."""
        return self.p_value < 1 - LEVEL


def score_translations(
    rows: Iterable[HypothesisRow],
    metrics: Sequence[TranslationMetric] = METRICS,
    *,
    references: Mapping[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
    skipped_as_deletions: bool = True,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> TranslationScore:
    """Score a run's translations; the arguments and errors are those of `score_run`, but nothing is normalised.

    Raises ScoringError, besides, for translations into several languages (each has a score of its own) and where
    sacreBLEU lacks what it needs to split the language's words.
    """
    rows = list(rows)
    languages = sorted({str(row.fields["target_lang"]) for row in rows if row.fields.get("target_lang")})
    if len(languages) > 1:
        raise ScoringError(
            f"these are translations into {', '.join(languages)}; score each language by itself (--by target_lang)."
        )
    pairs = texts_of(rows, references, skipped, skipped_as_deletions)
    wanted = {key: reference for key, (reference, _) in sorted(pairs.items()) if reference.strip()}
    if not wanted:
        raise ScoringError(f"nothing to score: {len(pairs)} utterances, all of them with an empty reference.")
    written = [pairs[key][1] for key in wanted]
    language = languages[0] if languages else None
    return TranslationScore(
        metrics={
            name: _scored(_metric(name, language), written, list(wanted.values()), replicas, seed) for name in metrics
        },
        target_lang=language,
        utterances=len(wanted),
        empty_references=len(pairs) - len(wanted),
        skipped=len(skipped),
        skipped_as_deletions=skipped_as_deletions,
        seed=seed,
        replicas=replicas,
        references=wanted,
    )


def compare_translations(
    baseline: TranslationScore, other: TranslationScore, *, trials: int = TRIALS
) -> dict[TranslationMetric, PairedTranslation]:
    """The paired comparison by each metric that both have; seed and replicas are `other`'s.

    Raises ScoringError when they were not scored on the same utterances against the same references, or not in the
    same way.
    """
    if baseline.references != other.references:
        apart = sorted(set(baseline.references.items()) ^ set(other.references.items()))
        ids = sorted({key for key, _ in apart})
        raise ScoringError(f"a paired test needs the same utterances and references; {named(ids)} not the same.")
    found: dict[TranslationMetric, PairedTranslation] = {}
    for name in other.metrics:
        if name not in baseline.metrics:
            continue
        a, b = baseline.metrics[name], other.metrics[name]
        if a.signature != b.signature:
            raise ScoringError(f"{TITLES[name]} as {a.signature} and as {b.signature} cannot be compared.")
        score = _scorer(_metric(name, other.target_lang))
        gains_R = np.array(
            [score(sums[1]) - score(sums[0]) for sums in _drawn((a, b), other.replicas, other.seed)], dtype=np.float64
        )
        found[name] = PairedTranslation(
            baseline=a.value,
            value=b.value,
            difference=b.value - a.value,
            interval=_percentiles(gains_R) if len(a.counts_NS) > 1 else None,
            probability_of_improvement=float((gains_R > 0).mean() + 0.5 * (gains_R == 0).mean()),
            p_value=_p_value(score, a, b, trials, other.seed),
            seed=other.seed,
            replicas=other.replicas,
            trials=trials,
        )
    return found


def pooled_translations(scores: Sequence[TranslationScore]) -> TranslationScore:
    """Several runs of the same utterances, such as those of several seeds, as one: each utterance has the summed counts
    of all. Raises ScoringError for other utterances or references."""
    first = scores[0]
    if any(score.references != first.references for score in scores):
        raise ScoringError("scores of several runs must be of the same utterances and references to be pooled.")
    if len(scores) == 1:
        return first
    metrics = {}
    for name, one in first.metrics.items():
        counts_NS = np.sum([score.metrics[name].counts_NS for score in scores], axis=0)
        metrics[name] = _of_counts(
            _metric(name, first.target_lang), one.signature, counts_NS, first.replicas, first.seed
        )
    return replace(first, metrics=metrics, skipped=sum(score.skipped for score in scores))


def _metric(name: TranslationMetric, language: str | None) -> Any:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if name == "chrf":
        return CHRF()
    try:
        short = re.split("[-_]", language or "")[0].lower()
        return BLEU(trg_lang=_SPLIT.get(short, short), force=True)
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ScoringError(
            f"BLEU of translations into {language!r} needs a package that is not here: {reason}"
        ) from error


def _scored(metric: Any, written: list[str], wanted: list[str], replicas: int, seed: int) -> MetricScore:
    counts_NS = np.array(metric._extract_corpus_statistics(written, [wanted]), dtype=np.int64)
    return _of_counts(metric, str(metric.get_signature()), counts_NS, replicas, seed)


def _of_counts(metric: Any, signature: str, counts_NS: np.ndarray, replicas: int, seed: int) -> MetricScore:
    score = _scorer(metric)
    found = MetricScore(value=score(counts_NS.sum(axis=0)), interval=None, signature=signature, counts_NS=counts_NS)
    if len(counts_NS) < 2:
        return found
    values_R = np.array([score(sums[0]) for sums in _drawn((found,), replicas, seed)])
    return replace(found, interval=_percentiles(values_R))


def _scorer(metric: Any) -> Callable[[np.ndarray], float]:
    return lambda sums_S: float(metric._compute_score_from_stats(sums_S.tolist()).score)


def _drawn(scores: Sequence[MetricScore], replicas: int, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """For each replica the summed counts of each of the `scores`, on the same drawn utterances."""
    if replicas < 1:
        raise ScoringError(f"the bootstrap needs at least one replica, not {replicas}.")
    count = len(scores[0].counts_NS)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    for start in range(0, replicas, step):
        rows = min(step, replicas - start)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        times_RN = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield from zip(*(_sums(times_RN, score.counts_NS) for score in scores), strict=True)


def _p_value(score: Callable[[np.ndarray], float], a: MetricScore, b: MetricScore, trials: int, seed: int) -> float:
    """Two-sided approximate randomisation; 1 for a system against itself."""
    swap_NS = (b.counts_NS - a.counts_NS)[(b.counts_NS != a.counts_NS).any(axis=1)]
    if not len(swap_NS):
        return 1.0
    seen = abs(b.value - a.value)
    first_S, second_S = a.counts_NS.sum(axis=0), b.counts_NS.sum(axis=0)
    rng, hits, step = np.random.default_rng(seed), 0, max(1, _CHUNK // len(swap_NS))
    for start in range(0, trials, step):
        rows = min(step, trials - start)
        for moved_S in _sums(rng.integers(0, 2, (rows, len(swap_NS))), swap_NS):
            # Equal but for rounding is equal.
            hits += abs(score(second_S - moved_S) - score(first_S + moved_S)) >= seen - 1e-9
    return (1 + hits) / (1 + trials)


def _sums(times_RN: np.ndarray, counts_NS: np.ndarray) -> np.ndarray:
    """times_RN @ counts_NS in floating point, which is faster, and exact below 2^53."""
    return np.rint(times_RN.astype(np.float64) @ counts_NS.astype(np.float64)).astype(np.int64)


def _percentiles(values_R: np.ndarray) -> Interval:
    low, high = np.quantile(values_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
