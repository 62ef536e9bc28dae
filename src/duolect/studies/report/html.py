"""A study's report as a page that needs nothing else, and one page of all studies with an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duolect.reports.markup import columns_table, escape, figure, legend_list, prose, section
from duolect.reports.page import document
from duolect.reports.plots import speed_caption, speed_svg
from duolect.studies.report.content import caveats, findings, lead, making, speed_comparison
from duolect.studies.report.differences import differences, differences_title
from duolect.studies.report.plots import axis_svg
from duolect.studies.report.results import StudyResult
from duolect.studies.report.table import study_columns, study_legend

_BY_INTERVAL = "Points: all seeds together, with the 95 % interval; small circles: the seeds."


def study_page(result: StudyResult, command: str) -> str:
    """The report of one study."""
    return document(result.study.title, _body(result, command, "rows.jsonl"), wide=True)


def all_page(results: Sequence[tuple[StudyResult, str]]) -> str:
    """The reports of several studies on one page; each links to its raw rows, relative to the folder of all."""
    body = list(_index([result for result, _ in results]))
    for result, command in results:
        place = f"{result.study.scale}/{result.study.name}"
        anchor = _anchor(result)
        title = f"{result.study.title} · {result.study.scale}"
        body.append(f'<h2 id="{anchor}" class="study">{escape(title)}</h2>')
        body += _body(result, command, f"{place}/rows.jsonl")
    return document("Studies", body, wide=True)


def _anchor(result: StudyResult) -> str:
    return f"{result.study.name}-{result.study.scale}"


def _index(results: Sequence[StudyResult]) -> Iterator[str]:
    yield '<section aria-labelledby="index"><h2 id="index">What was asked</h2>'
    yield '<div class="scroll"><table class="results"><thead><tr><th scope="col">Study</th><th scope="col">Scale</th>'
    yield '<th scope="col" class="prose">Question</th><th scope="col" class="prose">Found</th></tr></thead><tbody>'
    for result in results:
        link = f'<a href="#{_anchor(result)}">{escape(result.study.title)}</a>'
        texts = (result.study.question, lead(result))
        cells = "".join(f'<td class="prose">{prose(text)}</td>' for text in texts)
        yield f'<tr><th scope="row">{link}</th><td>{escape(result.study.scale)}</td>{cells}</tr>'
    yield "</tbody></table></div></section>"


def _body(result: StudyResult, command: str, rows: str) -> Iterator[str]:
    at = _anchor(result)
    yield f'<div class="lead"><p>{prose(result.study.question)} {prose(lead(result))}</p></div>'
    if result.verdicts:
        yield from section(f"{at}-findings", "Published findings", ['<dl class="advice">', *_findings(result), "</dl>"])
    warned = [f'<p class="caveat">{prose(line)}</p>' for line in caveats(result)]
    table = columns_table(study_columns(result), f"The systems of the study {result.study.title}")
    legend = legend_list([*study_legend(result), *result.study.notes])
    raw = f'<p class="hint">Every run with all figures and the place of its hypotheses: <code>{escape(rows)}</code></p>'
    yield from section(f"{at}-results", "Results", [*warned, *table, legend, raw])
    drawn = [axis_svg(result, form) for form in ("wide", "narrow")]
    if drawn[0] is not None:
        yield from section(f"{at}-axis", "With intervals", [figure(drawn[0], drawn[1], _BY_INTERVAL)])
    compared = speed_comparison(result)
    if compared is not None:
        both = [speed_svg(compared, form, f"{at}-speed") for form in ("wide", "narrow")]
        if both[0] is not None:
            yield from section(f"{at}-speed", "Accuracy and speed", [figure(*both, speed_caption(compared))])
    found = {name: lines for name, lines in differences(result).items() if lines}
    if found:
        yield from section(f"{at}-configs", "What differs in the configurations", _differences(result, found))
    pairs = "".join(
        f"<dt>{escape(title)}</dt><dd>{f'<code>{escape(text)}</code>' if title == 'Command' else escape(text)}</dd>"
        for title, text in making(result, command)
    )
    yield from section(f"{at}-made", "How these numbers were made", [f'<dl class="made">{pairs}</dl>'])


def _findings(result: StudyResult) -> Iterator[str]:
    for found in findings(result):
        yield f"<dt>{prose(found.text)} ({escape(found.source)})</dt>"
        yield f"<dd><strong>{escape(found.verdict)}</strong><p>{prose(found.figures)}</p></dd>"


def _differences(result: StudyResult, found: dict[str, list[str]]) -> Iterator[str]:
    yield f'<p class="hint">{escape(differences_title(result))}</p>'
    for name, lines in found.items():
        items = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
        yield f"<details><summary>{escape(name)}: {len(lines)}</summary><ul>{items}</ul></details>"
