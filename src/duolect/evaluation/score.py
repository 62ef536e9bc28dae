"""From hypothesis rows to one score: which utterances count, after which normalisation, and how sure the rate is.

Rules, all reported in the Score:
* an utterance whose reference is empty after normalisation is dropped (WER is undefined there) and counted;
* an utterance that was skipped in recognition counts as deleted, unless asked otherwise: a system gains nothing by it;
* hypotheses and references that do not belong together are an error, never a smaller test set;
* the chunks of a recording are joined first where their reference is the whole recording's (`chunks`);
* the normaliser's name decides the whole regime (`regimes`): what is dropped, and whether compounds are merged.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.blocks import Blocks, find_blocks, utterance_fields
from duolect.evaluation.chunks import has_chunks, merge_chunks
from duolect.evaluation.intervals import (
    REPLICAS,
    SEED,
    Interval,
    Paired,
    Replicas,
    paired_of_counts,
    pooled_by_block,
    replicas_of_counts,
)
from duolect.evaluation.normalisers import Normaliser, normaliser_function
from duolect.evaluation.regimes import regime_of
from duolect.evaluation.results import HypothesisRow, RunRecord, Skipped, read_run
from duolect.evaluation.words import WordErrors, spelled_alike, utterance_counts


@dataclass(frozen=True, kw_only=True)
class Score:
    """The word error rate of one run, with everything needed to state it."""

    errors: WordErrors
    interval: Interval | None
    """95 % bootstrap interval; None for a single utterance or block, and where all have the same rate."""
    utterances: int
    """Utterances scored, skipped ones included when they count as deleted."""
    empty_references: int
    """Utterances dropped because their normalised reference is empty."""
    empty_reference_words: int
    """Hypothesis words on those (what a WER cannot see)."""
    skipped: int
    """Utterances the system did not recognise."""
    skipped_as_deletions: bool
    normaliser: Normaliser
    """The name of the regime (`regimes.regime_of`)."""
    normaliser_version: str = ""
    """Whose rules, at which version; empty for our own."""
    aligner: str
    """What counted the errors, and whether compounds were merged."""
    marked_references: int = 0
    """Utterances dropped because the reference says that they are not to be scored."""
    seed: int
    replicas: int
    blocks: str | None = None
    """The field by whose values utterances were drawn together; None: each by itself."""
    ids: tuple[str, ...] = field(repr=False)
    """The scored utterances, sorted."""
    counts_N4: np.ndarray = field(repr=False, compare=False)
    """Substitutions, deletions, insertions and reference words of each, in the order of `ids`."""
    block_N: tuple[str, ...] = field(default=(), repr=False)
    """The block of each, in the order of `ids`; empty without blocks."""
    texts_N: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Reference and hypothesis of each as they were compared, words parted by single spaces, merged compounds spelled
    as in the reference: a plain alignment of the two finds as many errors as were counted, in rare cases fewer
    (`words.spelled_alike`)."""
    drawn: Replicas | None = field(default=None, repr=False, compare=False)
    """The bootstrap replicas behind the interval: paired comparisons use them again."""

    @property
    def wer(self) -> float:
        """Pooled word error rate as a fraction."""
        return self.errors.wer

    @property
    def merge_compounds(self) -> bool:
        """Whether compounds are merged when errors are counted, as `align` then must be told."""
        return regime_of(self.normaliser).merge_compounds

    @property
    def units(self) -> int:
        """How many independent parts the test set has: blocks, or utterances without them."""
        return len(set(self.block_N)) if self.blocks else self.utterances

    @property
    def counts_K4(self) -> np.ndarray:
        """The counts of each independent part."""
        return pooled_by_block(self.counts_N4, self.block_N) if self.blocks else self.counts_N4

    def summary(self) -> dict[str, Any]:
        """Plain values for a JSON file or a log line; rates are fractions."""
        return {
            "wer": self.wer,
            "interval_95": [self.interval.low, self.interval.high] if self.interval else None,
            "substitutions": self.errors.substitutions,
            "deletions": self.errors.deletions,
            "insertions": self.errors.insertions,
            "words": self.errors.words,
            "utterances": self.utterances,
            "empty_references": self.empty_references,
            "empty_reference_words": self.empty_reference_words,
            "marked_references": self.marked_references,
            "skipped": self.skipped,
            "skipped_as_deletions": self.skipped_as_deletions,
            "normaliser": self.normaliser,
            "normaliser_version": self.normaliser_version,
            "aligner": self.aligner,
            "blocks": self.blocks,
            "independent_parts": self.units,
            "seed": self.seed,
            "replicas": self.replicas,
        }


def score_run(
    rows: Iterable[HypothesisRow],
    normaliser: Normaliser = "plain",
    *,
    references: Mapping[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
    skipped_as_deletions: bool = True,
    blocks: Blocks | None = None,
    normalised_already: bool = False,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Score:
    """Score a run's rows.

    references: id → text (see `manifest_references`); they then take the place of the rows' own, and every one of them
    must be answered by a row or be in `skipped`. skipped: the run's skip list (`RunRecord.skipped`). blocks: utterances
    that are drawn together for the interval, and in paired tests. normalised_already: all texts have been through the
    normaliser before, and are only split (a second time could change them).
    Raises ScoringError for ids that are duplicate, unknown or missing, for rows without any reference, and when nothing
    is left to score.
    """
    normalised, regime = normaliser_function("none" if normalised_already else normaliser), regime_of(normaliser)
    pairs = _pairs(list(rows), references, skipped, skipped_as_deletions)
    ids, texts, spoken, empty, empty_words, marked = [], [], [], 0, 0, 0
    for key in sorted(pairs):
        reference, hypothesis = (normalised(text).split() for text in pairs[key])
        if not reference:
            empty, empty_words = empty + 1, empty_words + len(hypothesis)
            continue
        if regime.not_scored and " ".join(reference) in regime.not_scored:
            marked += 1
            continue
        ids.append(key)
        texts.append(reference)
        spoken.append(hypothesis)
    if not ids:
        also = f", {marked} marked as not to be scored" if marked else ""
        raise ScoringError(f"nothing to score: {len(pairs)} utterances, {empty} of them with an empty reference{also}.")

    as_compared = spelled_alike if regime.merge_compounds else _single_spaces
    counts_N4 = utterance_counts(texts, spoken, merge_compounds=regime.merge_compounds)
    block_N = () if blocks is None else tuple(blocks.of.get(key, f"utterance {key}") for key in ids)
    parts = counts_N4 if blocks is None else pooled_by_block(counts_N4, block_N)
    drawn = replicas_of_counts(parts, replicas=replicas, seed=seed)
    return Score(
        errors=WordErrors.pooled(counts_N4),
        interval=drawn.interval if len(parts) > 1 else None,
        utterances=len(ids),
        empty_references=empty,
        empty_reference_words=empty_words,
        skipped=len(skipped),
        skipped_as_deletions=skipped_as_deletions,
        normaliser=normaliser,
        normaliser_version=regime.version,
        aligner=regime.aligner,
        marked_references=marked,
        seed=seed,
        replicas=replicas,
        blocks=None if blocks is None else blocks.name,
        ids=tuple(ids),
        counts_N4=counts_N4,
        block_N=block_N,
        texts_N=tuple(map(as_compared, texts, spoken)),
        drawn=drawn,
    )


def _single_spaces(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[str, str]:
    return " ".join(reference), " ".join(hypothesis)


def _pairs(
    rows: list[HypothesisRow],
    references: Mapping[str, str] | None,
    skipped: Sequence[Skipped],
    skipped_as_deletions: bool,
) -> dict[str, tuple[str, str]]:
    """As `texts_of`, of whole recordings where the rows are chunks of them."""
    pairs = texts_of(rows, references, skipped, skipped_as_deletions)
    if not has_chunks(rows, references, skipped):
        return pairs
    rows, references, skipped = merge_chunks(rows, references, skipped)
    return texts_of(rows, references, skipped, skipped_as_deletions)


def texts_of(
    rows: Iterable[HypothesisRow],
    references: Mapping[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
    skipped_as_deletions: bool = True,
) -> dict[str, tuple[str, str]]:
    """id → (reference, hypothesis) as they are written; a skipped utterance has an empty hypothesis, or no place.

    Arguments and errors are those of `score_run`.
    """
    rows, lost = list(rows), list(skipped)
    _unique([row.id for row in rows], "the hypotheses")
    _unique([utterance.id for utterance in lost], "the list of skipped utterances")
    both = sorted({row.id for row in rows} & {utterance.id for utterance in lost})
    if both:
        raise ScoringError(f"{named(both)} both recognised and listed as skipped.")
    if references is not None:
        require_same_ids(references, rows, lost)
    pairs: dict[str, tuple[str, str]] = {}
    without: list[str] = []
    for entry in [*rows, *(lost if skipped_as_deletions else [])]:
        reference = references[entry.id] if references is not None else entry.reference
        if reference is None:
            without.append(entry.id)
            continue
        pairs[entry.id] = reference, entry.text if isinstance(entry, HypothesisRow) else ""
    if without:
        raise ScoringError(f"{named(without)} without a reference; give the manifest that has it.")
    return pairs


def score_file(
    path: str | os.PathLike[str],
    normaliser: Normaliser = "plain",
    *,
    manifest: str | os.PathLike[str] | None = None,
    skipped_as_deletions: bool = True,
    blocks: str = "auto",
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Score:
    """Score a hypothesis file with the skip list of its sidecar; references from `manifest` or the file itself.

    blocks: a field (speaker, session …) whose utterances are drawn together for the interval; "auto", or "none", as for
    `find_blocks`. Raises ScoringError naming the file, and the line where one is at fault, where its texts were
    normalised in another way before, or where no utterance has the field.
    """
    rows, record = read_run(path)
    require_form(record, normaliser, str(path))
    skipped = record.skipped if record else ()
    references, said = None, {}
    if manifest is not None:
        from duolect.data.manifest import load_manifest  # here, since scoring alone needs nothing of the data room

        utterances = load_manifest(manifest)
        references, said = {utterance.id: utterance.text for utterance in utterances}, utterance_fields(utterances)
    try:
        return score_run(
            rows,
            normaliser,
            references=references,
            skipped=skipped,
            skipped_as_deletions=skipped_as_deletions,
            blocks=blocks_of_rows(rows, skipped, blocks, references=references, said=said),
            replicas=replicas,
            seed=seed,
        )
    except ScoringError as error:
        raise ScoringError(f"{path}: {error}") from error


def blocks_of_rows(
    rows: Sequence[HypothesisRow],
    skipped: Sequence[Skipped] = (),
    wanted: str = "auto",
    *,
    references: Mapping[str, str] | None = None,
    said: Mapping[str, Mapping[str, Any]] | None = None,
) -> Blocks | None:
    """The blocks of a run, as `find_blocks` finds those `wanted`, by the fields of its rows, of what was skipped, and
    of what a manifest has `said`, by id. Raises ScoringError where no utterance has a field that was asked for."""
    if has_chunks(rows, references, skipped):
        rows, _, skipped = merge_chunks(rows, references, skipped)
    fields = {entry.id: {**entry.fields, **(said or {}).get(entry.id, {})} for entry in (*rows, *skipped)}
    for entry in skipped:  # files of before say nothing of it: it hides no block, and is one of its own
        if not fields[entry.id]:
            del fields[entry.id]
    found = find_blocks(fields, wanted)
    if found is None and wanted not in ("auto", "none"):
        raise ScoringError(f"no utterance has a field {wanted!r}.")
    return found


def require_form(record: RunRecord | None, normaliser: Normaliser, where: str) -> None:
    """Raise ScoringError where a run's texts were normalised before they were written, under another normaliser than
    they are to be scored under: the score would be of neither regime."""
    done = record.normaliser if record is not None else None
    if done is not None and done not in ("none", normaliser):
        raise ScoringError(
            f"{where}: its texts are normalised under {done!r}, but are to be scored under {normaliser!r}; "
            f"give --normaliser {done}, or hypotheses as the system wrote them."
        )


def manifest_references(
    manifest: str | os.PathLike[str], target: Literal["text", "translation"] = "text"
) -> dict[str, str]:
    """id → text, or translation, of all utterances of a manifest; "" where there is none.

    Raises ManifestError for a bad line.
    """
    from duolect.data.manifest import read_manifest  # here, since scoring alone needs nothing of the data room

    return {utterance.id: getattr(utterance, target) or "" for utterance in read_manifest(manifest)}


def compare_scores(baseline: Score, other: Score) -> Paired:
    """The paired comparison of two scores on the same utterances; seed and replicas are `other`'s.

    Raises ScoringError when they were scored on different utterances, against different references, in different blocks
    or with different normalisers.
    """
    if baseline.normaliser != other.normaliser:
        raise ScoringError(
            f"scores under the normalisers {baseline.normaliser!r} and {other.normaliser!r} cannot be compared."
        )
    for one, two in ((baseline.normaliser_version, other.normaliser_version), (baseline.aligner, other.aligner)):
        if one != two:
            raise ScoringError(
                f"scores made with {one or 'no version'!r} and {two or 'no version'!r} cannot be compared."
            )
    if baseline.ids != other.ids:
        apart = sorted(set(baseline.ids) ^ set(other.ids))
        raise ScoringError(f"a paired test needs the same utterances; {named(apart)} scored in only one of the runs.")
    _same_references(baseline, other)
    if baseline.block_N != other.block_N:
        raise ScoringError("a paired test needs the same blocks of utterances in both runs.")
    like = (baseline.replicas, baseline.seed) == (other.replicas, other.seed)
    drawn = (baseline.drawn, other.drawn) if like and baseline.drawn and other.drawn else None
    return paired_of_counts(baseline.counts_K4, other.counts_K4, replicas=other.replicas, seed=other.seed, drawn=drawn)


def _same_references(baseline: Score, other: Score) -> None:
    if baseline.texts_N and other.texts_N:
        said = [tuple(reference for reference, _ in score.texts_N) for score in (baseline, other)]
    else:  # counts that were pooled over several runs have no texts
        said = [tuple(score.counts_N4[:, 3].tolist()) for score in (baseline, other)]
    apart = [key for key, one, two in zip(baseline.ids, *said, strict=True) if one != two]
    if apart:
        raise ScoringError(f"a paired test needs the same references; {named(apart)} scored against different ones.")


def _unique(ids: Sequence[str], what: str) -> None:
    again = sorted(key for key, count in Counter(ids).items() if count > 1)
    if again:
        raise ScoringError(f"{named(again)} in {what} more than once.")


def require_same_ids(references: Mapping[str, str], rows: Sequence[HypothesisRow], skipped: Sequence[Skipped]) -> None:
    """Raise ScoringError unless what was recognised or skipped are the utterances of a manifest, all of them."""
    answered = {entry.id for entry in [*rows, *skipped]}
    unknown = sorted(answered - set(references))
    if unknown:
        raise ScoringError(f"{named(unknown)} not in the manifest.")
    missing = sorted(set(references) - answered)
    if missing:
        raise ScoringError(f"{named(missing)} in the manifest, but neither recognised nor listed as skipped.")


def named(ids: Sequence[str]) -> str:
    """The ids as the subject of a sentence, its verb included: "utterance 'a' is", "2 utterances ('a', 'b') are"."""
    shown = ", ".join(repr(key) for key in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return f"utterance {shown} is" if len(ids) == 1 else f"{len(ids)} utterances ({shown}) are"
