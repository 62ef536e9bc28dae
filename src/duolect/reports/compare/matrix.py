"""Every system against every other: differences in WER and p-values."""

from __future__ import annotations

from collections.abc import Iterator

from duolect.reports.cells import DASH, Cell, Column, draw_markdown, p_text, percent, plain_column
from duolect.reports.compare.evidence import Evidence
from duolect.reports.markup import escape, legend_list
from duolect.reports.parts import ReportPart


def matrix_part(evidence: Evidence) -> ReportPart | None:
    """The matrix: the row's WER minus the column's in points, with the corrected p-value; None for one system."""
    if not evidence.pairs:
        return None
    names = evidence.names
    found = [plain_column("System", names)] + [
        Column(other, tuple(_cell(evidence, name, other) for name in names)) for other in names
    ]
    legend = _legend(evidence)
    raw: dict[str, dict[str, dict[str, object]]] = {name: {"against": {}} for name in names}
    for name in names:
        for other in names:
            if name != other:
                pair = evidence.pair(name, other)
                raw[name]["against"][other] = {
                    "difference": _signed(evidence, name, other),
                    "p_value": pair.p_value,
                    "p_holm": pair.p_holm,
                    "mapsswe_p": pair.mapsswe_p,
                    "probability_of_improvement": pair.probability_of_improvement
                    if pair.b == name
                    else 1 - pair.probability_of_improvement,
                }
    return ReportPart(
        anchor="pairs",
        title="Each system against each other",
        html=[*_html(found), legend_list(legend)],
        markdown=draw_markdown(found, legend),
        raw=raw,
    )


def _signed(evidence: Evidence, name: str, other: str) -> float:
    pair = evidence.pair(name, other)
    return pair.difference if pair.b == name else -pair.difference


def _cell(evidence: Evidence, name: str, other: str) -> Cell:
    if name == other:
        return Cell(DASH)
    pair, difference = evidence.pair(name, other), _signed(evidence, name, other)
    text = f"{'+' if difference > 0 else '−' if difference < 0 else ''}{percent(abs(difference))}"
    return Cell(text, best=pair.significant and difference < 0, below=f"p {p_text(pair.p_holm)}")


def _html(found: list[Column]) -> Iterator[str]:
    yield '<div class="scroll"><table class="matrix"><caption class="unsaid">Differences in word error rate</caption>'
    heads = "".join(f'<th scope="col">{escape(column.title)}</th>' for column in found[1:])
    yield f"<thead><tr><td></td>{heads}</tr></thead>"
    yield "<tbody>"
    for n, name in enumerate(found[0].cells):
        cells = "".join(_drawn(column.cells[n]) for column in found[1:])
        yield f'<tr><th scope="row">{escape(name.text)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _drawn(cell: Cell) -> str:
    if not cell.below:
        return '<td class="self" aria-label="itself"></td>'
    kind = ' class="better"' if cell.best else ""
    return f"<td{kind}>{escape(cell.text)}<small>{escape(cell.below)}</small></td>"


def _legend(evidence: Evidence) -> list[str]:
    number = len(evidence.pairs)
    blocks = evidence.comparison.systems[0].score.blocks
    drawn = f", in blocks by {blocks}" if blocks else ""
    corrected = (
        f"corrected for {number} pairs by Holm's method"
        if number > 1
        else "one pair, so that nothing is to be corrected"
    )
    apart = [p for p in evidence.pairs if p.significant != (p.mapsswe_p < 0.05)]
    agree = (
        "MAPSSWE (matched-pairs sentence-segment word error test, uncorrected) agrees on all pairs."
        if not apart
        else "MAPSSWE (matched-pairs sentence-segment word error test, uncorrected) says otherwise of "
        + ", ".join(f"{p.a} and {p.b} (p = {p_text(p.mapsswe_p)})" for p in apart[:6])
        + (f" and {len(apart) - 6} more pairs." if len(apart) > 6 else ".")
    )
    points = (
        "Points of WER of the row's system minus the column's: negative is better. Marked: significantly better "
        "(corrected p below 0.05)."
    )
    return [
        points,
        f"p: two-sided matched-pairs randomisation test on the same utterances{drawn}, {corrected}.",
        agree.replace("p = <", "p < "),
    ]
