"""A study's report as Markdown: what stands in docs/studies/NAME.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duolect.reports.cells import draw_markdown
from duolect.studies.report.content import caveats, findings, lead, making
from duolect.studies.report.differences import differences, differences_title
from duolect.studies.report.results import StudyResult
from duolect.studies.report.table import study_columns, study_legend


def page_markdown(results: Sequence[tuple[StudyResult, str]], images: Sequence[Sequence[str]]) -> str:
    """The page of one study at one or more scales.

    results: with the command of each. images: the names of each one's figures, beside the page.
    """
    study = results[0][0].study
    parts = [f"# {study.title}", study.question]
    for (result, command), figures in zip(results, images, strict=True):
        several = len(results) > 1
        if several:
            parts.append(f"## At scale {result.study.scale}")
        parts += _sections(result, command, figures, "###" if several else "##")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _sections(result: StudyResult, command: str, figures: Sequence[str], head: str) -> Iterator[str]:
    yield lead(result)
    if result.verdicts:
        yield _listed([f"**{f.verdict}**: {f.text} ({f.source}) Here: {f.figures}." for f in findings(result)])
    yield f"{head} Results"
    yield draw_markdown(study_columns(result), study_legend(result))
    if result.study.notes:
        yield _listed(result.study.notes)
    yield from (f"![{result.study.title}]({name})" for name in figures)
    warned = caveats(result)
    if warned:
        yield f"{head} To be kept in mind"
        yield _listed(warned)
    found = {name: lines for name, lines in differences(result).items() if lines}
    if found:
        yield f"{head} What differs in the configurations"
        yield differences_title(result)
        for name, lines in found.items():
            yield f"**{name}**\n\n" + "\n".join(f"* `{line}`" for line in lines)
    yield f"{head} How this was made"
    yield _listed(
        [f"{title}: {f'`{text}`' if title == 'Command' else text}" for title, text in making(result, command)]
    )


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
