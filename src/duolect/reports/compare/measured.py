"""Parts whose tables others make: the hallucination panel, and what recognition cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from duolect.evaluation import Panel
from duolect.reports.cells import Column, draw_markdown
from duolect.reports.compare.evidence import Evidence
from duolect.reports.compare.nonspeech import compare_common
from duolect.reports.cost import cost_columns, cost_legend
from duolect.reports.markup import columns_table, legend_list
from duolect.reports.panel import PanelComparison, PanelResult, panel_columns, panel_legend
from duolect.reports.parts import ReportPart


def panel_part(evidence: Evidence) -> ReportPart | None:
    """Signs of hallucination of all systems, on the test set and on what has no speech; None where there is no sign to
    show."""
    html, markdown = [], []
    raw: dict[str, dict[str, object]] = {name: {} for name in evidence.names}
    for key, title, panels in (
        ("panel", "On the test set", evidence.panels),
        ("nonspeech", "Where nobody speaks", evidence.nonspeech),
    ):
        raw = {name: {**own, **({key: panels[name].summary()} if name in panels else {})} for name, own in raw.items()}
        comparison = _panels(title, panels)
        found = _folded(panel_columns([comparison])) if panels else []
        if not found or not found[0].cells:
            continue
        legend = panel_legend(comparison)
        html += [f"<h3>{title}</h3>", *columns_table(found, f"Signs of hallucination: {title}"), legend_list(legend)]
        markdown.append(f"### {title}\n\n{draw_markdown(found, legend)}")
    if not html:
        return None
    return ReportPart(anchor="panel", title="What nobody said", html=html, markdown="\n".join(markdown), raw=raw)


def cost_part(evidence: Evidence) -> ReportPart | None:
    """Weights, speed and memory against the first system, and what took the time; None where nothing is known."""
    found = cost_columns(evidence.records)
    if len(found) < 2:
        return None
    legend = cost_legend(evidence.records)
    table = columns_table(found, "What recognition cost")
    return ReportPart(
        anchor="cost",
        title="What recognition cost",
        html=[*table, legend_list(legend)],
        markdown=draw_markdown(found, legend),
    )


def _panels(title: str, panels: Mapping[str, Panel]) -> PanelComparison:
    results: list[PanelResult] = []
    for name, panel in panels.items():
        paired = compare_common(results[0].panel, panel) if results else {}
        results.append(PanelResult(name=name, panel=panel, paired=paired))
    return PanelComparison(title=title, systems=results)


def _folded(columns: Sequence[Column]) -> list[Column]:
    """The columns with each p-value below the rate that it belongs to, so that many systems find room."""
    found: list[Column] = []
    for column in columns:
        if column.title == "p":
            last = found[-1]
            cells = (
                replace(c, below=f"p {p.text}" if p.text else "") for c, p in zip(last.cells, column.cells, strict=True)
            )
            found[-1] = Column(last.title, tuple(cells))
        else:
            found.append(column)
    return found
