"""The report of a study: scored runs, table, figures, verdicts, and what made them; and one page of all studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from duolect.configs import from_json
from duolect.errors import ConfigError, DuolectError
from duolect.reports.cells import draw_terminal
from duolect.reports.plots import save_png
from duolect.storage import atomic_file, read_json
from duolect.studies.catalogue import SCALES
from duolect.studies.engine import ASKED, STAGES, Asked
from duolect.studies.report.content import lead, raw_rows, speed_comparison
from duolect.studies.report.html import all_page, study_page
from duolect.studies.report.markdown import page_markdown
from duolect.studies.report.plots import save_axis_png
from duolect.studies.report.results import StudyResult, gather
from duolect.studies.report.table import study_columns, study_legend
from duolect.studies.stages import Store
from duolect.studies.study import Study

__all__ = ["StudyResult", "gather", "report_all", "write_report"]


def write_report(study: Study, store: Store, folder: Path, console: Console, *, command: str = "") -> StudyResult:
    """Score what stands of a study and write report.md, report.html, rows.jsonl, plot.png and speed.png; prints the
    table on `console`."""
    result = gather(study, store)
    _write(result, folder, command)
    shown = [c for c in study_columns(result) if c.title != "Published"]
    console.print(draw_terminal(study.title, shown, study_legend(result), console.width))
    console.print(f"  {lead(result)}", highlight=False, markup=False)
    console.print(f"  report: {folder / 'report.html'}", highlight=False, markup=False)
    return result


def report_all(out: Path, *, docs: Path | None = None, console: Console) -> list[Path]:
    """Write the reports of all studies that were run in `out` anew from what stands, and out/report.html, one page of
    all; with `docs` also docs/NAME.md of each study at all its scales, with its figures. Returns what was written.

    The report of a study whose data, or whose rows, are out of sight is left as it is, and so is its page in `docs`.
    Raises ConfigError where no study was run there, or none can be reported.
    """
    found: list[tuple[StudyResult, str]] = []
    left: set[str] = set()
    for scale in SCALES:
        for path in sorted((out / scale).glob(f"*/{ASKED}")):
            try:
                asked, command = _read_asked(path)
                studies, faults = asked.studies()
                if faults:
                    raise ConfigError(next(iter(faults.values())))
                result = gather(studies[0], Store(out / STAGES))
                if not result.standing and _has_rows(path.parent):
                    raise ConfigError(
                        "nothing stands of what is asked for there today; have data been changed, or settings?"
                    )
            except DuolectError as error:
                console.print(f"{path.parent}: left as it is: {error}", highlight=False, markup=False, soft_wrap=True)
                left.add(path.parent.name)
                continue
            _write(result, path.parent, command)
            found.append((result, command))
    if not found and left:
        raise ConfigError(f"{out}: none of the studies that were run there can be reported; all is left as it is.")
    if not found:
        raise ConfigError(f"{out}: no study has been run there; `duolect study NAME --out {out}` runs one.")
    with atomic_file(out / "report.html") as handle:
        handle.write(all_page(found))
    written = [out / "report.html"]
    if docs is not None:
        for name in dict.fromkeys(result.study.name for result, _ in found):
            if name in left and (docs / f"{name}.md").exists():
                said = "left as it is, since not all scales can be reported"
                console.print(f"{docs / name}.md: {said}", highlight=False, markup=False, soft_wrap=True)
                continue
            written.append(_write_docs(name, [pair for pair in found if pair[0].study.name == name], docs))
    return written


def _has_rows(folder: Path) -> bool:
    path = folder / "rows.jsonl"
    return path.exists() and path.stat().st_size > 0


def _read_asked(path: Path) -> tuple[Asked, str]:
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise ConfigError(f"{path}: does not say what was asked.")
    command = str(stored.pop("command", ""))
    known = {field.name for field in fields(Asked)}
    return from_json(Asked, {name: value for name, value in stored.items() if name in known}, str(path)), command


def _write(result: StudyResult, folder: Path, command: str) -> None:
    images = _figures(result, folder, "plot", "speed")
    with atomic_file(folder / "report.md") as handle:
        handle.write(page_markdown([(result, command)], [images]))
    with atomic_file(folder / "report.html") as handle:
        handle.write(study_page(result, command))
    with atomic_file(folder / "rows.jsonl") as handle:
        handle.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in raw_rows(result, str(folder)))


def _figures(result: StudyResult, folder: Path, axis: str, speed: str) -> list[str]:
    """Write the figures that there are; their names."""
    found = [f"{axis}.png"] if save_axis_png(result, folder / f"{axis}.png") else []
    compared = speed_comparison(result)
    if compared is not None:
        save_png(compared, folder / f"{speed}.png")
        found += [f"{speed}.png"] if (folder / f"{speed}.png").exists() else []
    return found


def _write_docs(name: str, found: Sequence[tuple[StudyResult, str]], docs: Path) -> Path:
    stems = [name if len(found) == 1 else f"{name}-{result.study.scale}" for result, _ in found]
    images = [_figures(result, docs, stem, f"{stem}-speed") for (result, _), stem in zip(found, stems, strict=True)]
    with atomic_file(docs / f"{name}.md") as handle:
        handle.write(page_markdown(found, images))
    return docs / f"{name}.md"
