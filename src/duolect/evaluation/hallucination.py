"""The hallucination panel: how often a system writes what nobody said, by signs that need no judge.

Each sign is a yes or no of one utterance, and has the share of the utterances for which it is defined. An utterance
with a reference has signs of speech; one whose reference is empty is non-speech, where any word is one too many
(`utterance_signs`).

Intervals of shares are Wilson's, with blocks (speakers, sessions) for the effective number of utterances
(`blocked_interval`); those of characters and words per minute are of the bootstrap over utterances or blocks. Systems
are compared by the exact McNemar test on the utterances that both have, or by the randomisation test of `intervals`
over blocks and over differences in characters.

Shape suffixes: N utterances; two columns are what was counted and what of (1 where a sign is defined, or time).
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.blocks import Blocks
from duolect.evaluation.intervals import (
    REPLICAS,
    SEED,
    Interval,
    interval_of_counts,
    pooled_by_block,
    randomisation_p_value,
)
from duolect.evaluation.normalisers import Normaliser, normaliser_function
from duolect.evaluation.proportions import blocked_interval, mcnemar_p_value, wilson_interval
from duolect.evaluation.regimes import regime_of
from duolect.evaluation.results import HypothesisRow, Skipped
from duolect.evaluation.score import texts_of
from duolect.evaluation.signs import split_words, without_events
from duolect.evaluation.utterance_signs import (
    NON_SPEECH,
    PER_MINUTE,
    TITLES,
    Found,
    Kind,
    PanelConfig,
    Sign,
    non_speech_signs,
    speech_signs,
)

_CENTISECONDS = 6000  # a minute


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often a sign shows: a share of utterances, or characters or words per minute of audio."""

    name: str
    """A key of `TITLES`; for non-speech after `NON_SPEECH`."""
    kind: Kind
    title: str
    count: int
    """Utterances with the sign; characters or words."""
    total: float
    """Utterances for which the sign is defined; minutes of audio."""
    interval: Interval | None
    """95 %; None where there is nothing to take one of."""
    method: Literal["wilson", "bootstrap"] = "wilson"
    """How the interval was made."""

    @property
    def value(self) -> float:
        """count / total; NaN where the sign is defined for no utterance."""
        return self.count / self.total if self.total else math.nan

    @property
    def per_minute(self) -> bool:
        """Whether this counts per minute of audio, not among utterances."""
        return self.name.removeprefix(NON_SPEECH) in PER_MINUTE


@dataclass(frozen=True, kw_only=True)
class PairedRate:
    """A rate against a baseline's on the utterances that both have. Negative differences are better."""

    name: str
    baseline: float
    value: float
    gained: int
    """Utterances where it is higher than the baseline's."""
    lost: int
    """Utterances where it is lower."""
    utterances: int
    p_value: float
    """Two-sided; see the module's text for the test."""
    test: Literal["mcnemar", "randomisation"]

    @property
    def difference(self) -> float:
        """value - baseline."""
        return self.value - self.baseline


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All rates of one run, and the utterances behind them."""

    rates: tuple[Rate, ...]
    """Those that are defined for some utterance, in the order of `TITLES`, speech before non-speech."""
    signs: Mapping[str, tuple[Sign, ...]] = field(repr=False)
    """id → its signs, for the utterances that have any, the worst first: most signs, then most words too many."""
    speech: int
    """Utterances with words in their reference."""
    non_speech: int
    """Utterances with an empty reference."""
    unknown: int
    """Utterances without a reference."""
    skipped: int
    """Utterances that were not recognised: they show nothing and count nowhere."""
    marked: int
    """Utterances whose reference says that they are not to be scored; they count nowhere either."""
    frequent: tuple[tuple[str, int], ...]
    """The texts most often written for non-speech (normalised), and how many times; up to ten."""
    normaliser: str
    aligner: str
    config: PanelConfig
    blocks: str | None
    seed: int
    replicas: int
    ids: tuple[str, ...] = field(repr=False)
    """All utterances, sorted."""
    counts: Mapping[str, np.ndarray] = field(repr=False, compare=False)
    """Rate name → int64 (N, 2) in the order of `ids`: what was counted, and 1, or hundredths of a second, or 0."""
    block_N: tuple[str, ...] = field(default=(), repr=False)

    def rate(self, name: str) -> Rate | None:
        """The rate of that name; None where it is not defined for any utterance."""
        return next((rate for rate in self.rates if rate.name == name), None)

    def summary(self) -> dict[str, Any]:
        """Plain values for a JSON file; rates are fractions, or numbers per minute."""
        return {
            "rates": {
                rate.name: {
                    "value": rate.value,
                    "count": rate.count,
                    "total": rate.total,
                    "interval_95": [rate.interval.low, rate.interval.high] if rate.interval else None,
                    "method": rate.method,
                }
                for rate in self.rates
            },
            "speech": self.speech,
            "non_speech": self.non_speech,
            "unknown": self.unknown,
            "skipped": self.skipped,
            "marked": self.marked,
            "frequent": [list(pair) for pair in self.frequent],
            "normaliser": self.normaliser,
            "aligner": self.aligner,
            "thresholds": dataclasses.asdict(self.config),
            "blocks": self.blocks,
            "seed": self.seed,
            "replicas": self.replicas,
        }


def panel_of(
    rows: Iterable[HypothesisRow],
    *,
    normaliser: Normaliser = "plain",
    references: Mapping[str, str | None] | None = None,
    skipped: Sequence[Skipped] = (),
    thresholds: PanelConfig | None = None,
    blocks: Blocks | None = None,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Panel:
    """The panel of a run's rows; arguments are those of `score_run`, but a reference may be None: unknown.

    Words are counted and aligned after `normaliser`; characters per second, compression and phrases are of the text as
    it is written. For non-speech, sound events in brackets ("[music]") are no text.
    Raises ScoringError for ids that are duplicate, unknown or missing, and for no row at all.
    """
    rows, config = list(rows), thresholds or PanelConfig()
    normalised, regime = normaliser_function(normaliser), regime_of(normaliser)
    known = None if references is None else {key: text or "" for key, text in references.items()}
    given = rows if known is not None else [dataclasses.replace(r, reference=r.reference or "") for r in rows]
    texts_of(given, known, skipped, skipped_as_deletions=False)  # refuses ids that do not belong together
    if not rows and not skipped:
        raise ScoringError("the hallucination panel needs at least one hypothesis.")
    found: list[Found] = []
    kept: list[HypothesisRow] = []
    for row in sorted(rows, key=lambda row: row.id):
        reference = references[row.id] if references is not None else row.reference
        spoken = None if reference is None else " ".join(normalised(reference).split())
        if spoken in regime.not_scored:
            continue
        kept.append(row)
        if spoken == "":
            found.append(non_speech_signs(row, normalised(without_events(row.text)), config))
        else:
            found.append(speech_signs(row, reference, spoken, normalised(row.text), config, regime.merge_compounds))
    marked, rows = len(rows) - len(kept), kept
    counts = _table(found)
    block_N = () if blocks is None else tuple(blocks.of.get(row.id, f"utterance {row.id}") for row in rows)
    silent = [f for f in found if f.kind == "non-speech"]
    written = Counter(f.said for f in silent if f.said)
    ranked = sorted((n for n, f in enumerate(found) if f.signs), key=lambda n: found[n].rank)
    return Panel(
        rates=tuple(_rate(name, counts[name], block_N, replicas, seed) for name in counts),
        signs={rows[n].id: tuple(found[n].signs.values()) for n in ranked},
        speech=sum(f.spoken for f in found),
        non_speech=len(silent),
        unknown=sum(f.kind == "speech" and not f.spoken for f in found),
        skipped=len(skipped),
        frequent=tuple(sorted(written.items(), key=lambda pair: (-pair[1], pair[0]))[:10]),
        normaliser=normaliser,
        aligner=regime.aligner,
        marked=marked,
        config=config,
        blocks=None if blocks is None else blocks.name,
        seed=seed,
        replicas=replicas,
        ids=tuple(row.id for row in rows),
        counts=counts,
        block_N=block_N,
    )


def compare_panels(baseline: Panel, other: Panel) -> dict[str, PairedRate]:
    """Rate name → the paired comparison on the utterances for which both panels define it; none for the others.

    Seed and replicas are `other`'s. Raises ScoringError where thresholds, normalisers or blocks differ, or the two have
    no utterance in common though both have some.
    """
    if (baseline.normaliser, baseline.config) != (other.normaliser, other.config):
        raise ScoringError("panels under different normalisers or thresholds cannot be compared.")
    if baseline.blocks != other.blocks:
        raise ScoringError("a paired test needs the same blocks of utterances in both panels.")
    places = ({key: n for n, key in enumerate(panel.ids)} for panel in (baseline, other))
    first, second = places
    common = [key for key in baseline.ids if key in second]
    if not common and baseline.ids and other.ids:
        raise ScoringError("the two runs have no utterance in common.")
    rows_1, rows_2 = [first[key] for key in common], [second[key] for key in common]
    pairs = {}
    for name in (name for name in baseline.counts if name in other.counts):
        a_N2, b_N2 = baseline.counts[name][rows_1], other.counts[name][rows_2]
        both_N = (a_N2[:, 1] > 0) & (b_N2[:, 1] > 0)
        if both_N.any():
            blocks = [other.block_N[n] for n, kept in zip(rows_2, both_N, strict=True) if kept] if other.blocks else ()
            pairs[name] = _paired(name, a_N2[both_N], b_N2[both_N], blocks)
    return pairs


def _table(found: Sequence[Found]) -> dict[str, np.ndarray]:
    """`Panel.counts` of the rates that are defined for some utterance."""
    table = {}
    for kind, prefix in (("speech", ""), ("non-speech", NON_SPEECH)):
        for name in TITLES:
            counts_N2 = np.array([_counts(f, name) if f.kind == kind else (0, 0) for f in found], dtype=np.int64)
            counts_N2 = counts_N2.reshape(-1, 2)
            if counts_N2[:, 1].any():
                table[prefix + name] = counts_N2
    return table


def _counts(f: Found, name: str) -> tuple[int, int]:
    if name == "any":
        return (int(bool(f.signs.keys() - {"short"})), 1) if f.kind == "speech" else (0, 0)
    if name in PER_MINUTE:
        if f.kind == "speech" or f.duration is None or f.duration <= 0:
            return 0, 0
        return len(f.said if name == "characters" else split_words(f.said)), max(1, round(100 * f.duration))
    return int(name in f.signs), int(name in f.defined)


def _rate(name: str, counts_N2: np.ndarray, block_N: Sequence[str], replicas: int, seed: int) -> Rate:
    bare = name.removeprefix(NON_SPEECH)
    count, total = (int(value) for value in counts_N2.sum(axis=0))
    method: Literal["wilson", "bootstrap"] = "wilson"
    if bare in PER_MINUTE:
        method, interval = "bootstrap", interval_of_counts(_as_errors(counts_N2, block_N), replicas=replicas, seed=seed)
        if interval is not None:
            interval = Interval(interval.low * _CENTISECONDS, interval.high * _CENTISECONDS)
    elif block_N:
        interval = blocked_interval(*pooled_by_block(counts_N2, block_N).T)
    else:
        interval = wilson_interval(count, total)
    return Rate(
        name=name,
        kind="non-speech" if name.startswith(NON_SPEECH) else "speech",
        title=TITLES[bare],
        count=count,
        total=total / _CENTISECONDS if bare in PER_MINUTE else total,
        interval=interval,
        method=method,
    )


def _as_errors(counts_N2: np.ndarray, block_N: Sequence[str]) -> np.ndarray:
    """Counts (K, 4) as those of word errors, of the utterances, or blocks, for which the rate is defined."""
    kept_N = counts_N2[:, 1] > 0
    counts_N4 = np.zeros((int(kept_N.sum()), 4), dtype=np.int64)
    counts_N4[:, 0], counts_N4[:, 3] = counts_N2[kept_N].T
    if not block_N:
        return counts_N4
    return pooled_by_block(counts_N4, [block for block, kept in zip(block_N, kept_N, strict=True) if kept])


def _paired(name: str, a_N2: np.ndarray, b_N2: np.ndarray, blocks: Sequence[str]) -> PairedRate:
    gain_N = b_N2[:, 0] - a_N2[:, 0]
    per_minute = name.removeprefix(NON_SPEECH) in PER_MINUTE
    gained, lost = int((gain_N > 0).sum()), int((gain_N < 0).sum())
    exact = not per_minute and not blocks
    if exact:
        p_value = mcnemar_p_value(gained, lost)
    else:
        gains = np.stack([gain_N, *[np.zeros_like(gain_N)] * 3], axis=1)
        drawn = pooled_by_block(gains, blocks)[:, 0] if blocks else gain_N
        p_value = randomisation_p_value(drawn)
    scale = _CENTISECONDS if per_minute else 1
    return PairedRate(
        name=name,
        baseline=scale * int(a_N2[:, 0].sum()) / int(a_N2[:, 1].sum()),
        value=scale * int(b_N2[:, 0].sum()) / int(b_N2[:, 1].sum()),
        gained=gained,
        lost=lost,
        utterances=len(gain_N),
        p_value=p_value,
        test="mcnemar" if exact else "randomisation",
    )
