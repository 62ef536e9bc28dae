"""Recall of words that were never seen in training, of rare ones and of the others, system by system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from duolect.data import read_text
from duolect.evaluation import normaliser_function
from duolect.evaluation.word_classes import Recall, Vocabulary
from duolect.reports.cells import DASH, Cell, Column, draw_markdown, percent, plain_column
from duolect.reports.compare.evidence import Evidence
from duolect.reports.markup import columns_table, legend_list
from duolect.reports.parts import ReportPart


def read_vocabulary(files: Sequence[Path], normaliser: str, rare: int) -> Vocabulary:
    """The words of training manifests (.jsonl) and plain texts, a sentence a line, under the scores' normaliser.

    Raises ManifestError for a bad line or a text that cannot be read, ScoringError without a word.
    """
    normalised = normaliser_function(normaliser)
    return Vocabulary.of((normalised(text).split() for text in read_text(files)), rare)


def vocabulary_part(evidence: Evidence) -> ReportPart | None:
    """The table; None without a training text."""
    if evidence.vocabulary is None:
        return None
    blocks = evidence.comparison.systems[0].score.block_N
    recalls: dict[str, dict[str, Recall]] = {}
    for name, (_, counts) in evidence.words.items():
        assert counts is not None
        recalls[name] = counts.recalls(blocks)
    first = next(iter(recalls.values()))
    classes = [name for name in first if first[name].tokens]
    found = [
        plain_column("Words", classes),
        plain_column("Tokens", [f"{first[name].tokens:,}" for name in classes]),
    ]
    for system, own in recalls.items():
        cells = []
        for name in classes:
            rates = {other[name].rate for other in recalls.values()}
            bounds = own[name].interval
            marked = len(rates) > 1 and own[name].rate == max(rates)
            cells.append(
                Cell(
                    percent(own[name].rate, 1),
                    marked,
                    f"{percent(bounds.low, 1)}–{percent(bounds.high, 1)}" if bounds else DASH,
                )
            )
        found.append(Column(system, tuple(cells)))
    counts, files = evidence.vocabulary.counts, ", ".join(map(str, evidence.options.train))
    legend = [
        "Recall: per cent of a class's tokens in the references that were heard, with its 95 % interval.",
        "Words that were wrongly added do not lower it.",
        f"Seen in training: {sum(counts.values()):,} words, {len(counts):,} different ones, of {files}.",
    ]
    return ReportPart(
        anchor="vocabulary",
        title="Words new to the systems",
        html=[*columns_table(found, "Recall by how often a word was seen in training"), legend_list(legend)],
        markdown=draw_markdown(found, legend),
        raw={
            system: {
                "word_recall": {
                    name: {
                        "tokens": recall.tokens,
                        "hits": recall.hits,
                        "interval_95": [recall.interval.low, recall.interval.high] if recall.interval else None,
                    }
                    for name, recall in own.items()
                }
            }
            for system, own in recalls.items()
        },
    )
