"""Which words the systems confuse, leave out and add, and on which words they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from duolect.evaluation.confusions import Confusions, contested, top
from duolect.reports.cells import Cell, Column, draw_markdown, escape_markdown, plain_column
from duolect.reports.compare.evidence import Evidence
from duolect.reports.markup import columns_table, escape, legend_list
from duolect.reports.parts import ReportPart

SHOWN = 8
CONTESTED = 15
KEPT = 50
_TITLES = ("Heard as another word", "Left out", "Added")


def words_part(evidence: Evidence) -> ReportPart | None:
    """Lists of the most frequent errors of each system, and a table of the words they differ on; None without
    errors."""
    found = {name: errors for name, (errors, _) in evidence.words.items()}
    if not any(errors.substitutions or errors.deletions or errors.insertions for errors in found.values()):
        return None
    tokens = Counter(
        word for reference, _ in evidence.comparison.systems[0].score.texts_N for word in reference.split()
    )
    html: list[str] = []
    markdown: list[str] = []
    columns = _contested(found, tokens)
    if columns:
        legend = (
            "How many of a word's tokens in the references each system heard as another word or left out; the words "
            "with the widest spread between systems first."
        )
        html += ["<h3>Words on which the systems differ</h3>", *columns_table(columns, "Missed tokens by word")]
        html.append(legend_list([legend]))
        markdown.append(f"### Words on which the systems differ\n\n{draw_markdown(columns, [legend])}")
    html += ["<h3>The most frequent errors of each system</h3>", '<div class="cards">']
    for name, errors in found.items():
        html += _card(name, errors)
        lists = (
            f"{title}: {', '.join(f'{what} ({times})' for what, times in entries) or 'none'}"
            for title, entries in zip(_TITLES, _lists(errors), strict=True)
        )
        markdown.append(f"**{escape_markdown(name)}**  \n" + "  \n".join(map(escape_markdown, lists)) + "\n")
    html.append("</div>")
    return ReportPart(
        anchor="words",
        title="Words the systems get wrong",
        html=html,
        markdown="\n".join(markdown),
        raw={
            name: {
                "confusions": {
                    "substitutions": [[*pair, times] for pair, times in top(errors.substitutions, KEPT)],
                    "deletions": [list(pair) for pair in top(errors.deletions, KEPT)],
                    "insertions": [list(pair) for pair in top(errors.insertions, KEPT)],
                }
            }
            for name, errors in found.items()
        },
    )


def _contested(found: dict[str, Confusions], tokens: Counter[str]) -> list[Column]:
    words = contested(list(found.values()), tokens, CONTESTED)
    if not words:
        return []
    columns = [
        plain_column("Word", [each.word for each in words]),
        plain_column("Tokens", [f"{each.tokens:,}" for each in words]),
    ]
    for n, name in enumerate(found):
        cells = (Cell(f"{each.missed[n]:,}", each.missed[n] == min(each.missed)) for each in words)
        columns.append(Column(name, tuple(cells)))
    return columns


def _lists(errors: Confusions) -> Sequence[list[tuple[str, int]]]:
    """The most frequent substitutions, deletions and insertions as texts with their counts."""
    return (
        [(f"{said} → {heard}", times) for (said, heard), times in top(errors.substitutions, SHOWN)],
        top(errors.deletions, SHOWN),
        top(errors.insertions, SHOWN),
    )


def _card(name: str, errors: Confusions) -> Iterator[str]:
    nbsp = "\u00a0"
    yield f'<div class="card"><h4>{escape(name)}</h4><dl>'
    for title, entries in zip(_TITLES, _lists(errors), strict=True):
        items = ", ".join(f"{escape(what.replace(' ', nbsp))}{nbsp}<small>{times}</small>" for what, times in entries)
        yield f"<dt>{title}</dt><dd>{items or 'none'}</dd>"
    yield "</dl></div>"
