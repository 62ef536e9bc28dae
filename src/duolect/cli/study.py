"""`duolect study`: the papers' questions, each answered by systems that are trained, recognised with and scored."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from duolect.cli.arguments import PathOption, command_line, console, parse, require_writable, say
from duolect.cli.study_search import run_search
from duolect.errors import ConfigError

if TYPE_CHECKING:
    from duolect.studies.engine import Asked
    from duolect.studies.stages.launchers import Launcher

_SLURM = "--slurm."
_SEARCH = "search"
_ANY_EXECUTOR = ("mem_gb", "cpus_per_task", "timeout_min", "stderr_to_stdout")  # submitit's names without a prefix
UNFINISHED = 3


@dataclass(frozen=True, kw_only=True)
class StudyCommand:
    """Run studies: what they need and does not stand yet is made, then each has its table, figures and verdicts.

    Writes OUT/SCALE/NAME/report.md, report.html, rows.jsonl and figures; what was trained and recognised is kept in
    OUT/stages, is shared by all studies, and is made anew only where a setting changes. The same command goes on with
    what was interrupted or has failed.

    Exit status: 0 all is done · 1 a stage failed or a study lacks data, all else was made · 2 the input is at fault ·
    3 time was up (see --until) before all was tried · 130 interrupted.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME...")] = ()
    """The studies; `duolect study --list` tells all, all runs them."""
    scale: Literal["demo", "small", "paper"] = "demo"
    """How large: minutes on two cores, hours on one GPU, or as published."""
    out: Annotated[Path, tyro.conf.arg(metavar="OUT")] = Path("runs/studies")
    """Folder of all that is made, and of the reports."""
    seeds: Annotated[tuple[str, ...], tyro.conf.arg(metavar="N,N...")] = ()
    """Of the trainings; a study of a small effect trains with all of them (default: those of the scale)."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ENTRY...")] = ()
    """Rows of the table that are wanted (default: all)."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART=PATH...")] = ()
    """Your data, and models, that the scale uses."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE...")] = ()
    """Fields of the scale changed, such as acoustic_steps=200 at scale demo."""
    jobs: int | None = None
    """Stages that are made at once (default: 1, with --slurm 16); what is timed has the machine to itself."""
    gpus: int = 0
    """GPUs of this machine that jobs are spread over."""
    until: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Begin nothing after this time, and let trainings keep a checkpoint and end."""
    slurm: bool = False
    """Make each stage as a job of SLURM; --slurm.partition NAME, --slurm.account NAME, --slurm.mem-gb N … are those of
    its submission."""
    dry_run: bool = False
    """Print what would be made, with parameters, operations, hours and disk, and make nothing; data may be missing."""
    remake: bool = False
    """Make anew what was made by other code than today's, and all that is made from it."""
    retime: bool = False
    """Recognise anew, one after another, so that the speeds in a table are of the same hour. Goes on without this
    option where it was interrupted."""
    docs: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Also write DIR/NAME.md, the page of each study at all scales that stand in OUT, with its figures."""
    list: bool = False
    """Print every study with its question and what stands of it, and make nothing."""
    report: PathOption = None
    """Write the reports in this folder anew from what stands, and one page of all: report.html."""


def run(arguments: list[str]) -> int:
    """Run the command; see `StudyCommand`."""
    if arguments[:1] == [_SEARCH]:
        return run_search(arguments[1:])
    rest, slurm = _slurm_settings(arguments)
    asked = parse("study", StudyCommand, rest)
    if asked.list:
        return _list(asked)
    if asked.report is not None:
        return _report(asked.report, asked.docs)
    if not asked.names:
        raise ConfigError("name a study; `duolect study --list` tells what there is.")
    wanted = _asked(asked)
    if asked.dry_run:
        return _plan(wanted, asked.out)
    require_writable(asked.out / "report.html")
    from duolect.studies.engine import run_studies

    ran = run_studies(
        wanted,
        asked.out,
        _launcher(asked, slurm),
        console(),
        seconds=asked.until,
        remake=asked.remake,
        retime=asked.retime,
        command=command_line("study", arguments),
    )
    if asked.docs is not None:
        _report(asked.out, asked.docs)
    if ran.unfinished:
        why = "stages were interrupted" if asked.until is None else "time is up"
        say(f"duolect study: {why}; the same command goes on.")
        return UNFINISHED
    return 1 if ran.failed else 0


def _asked(asked: StudyCommand) -> Asked:
    from duolect.studies.catalogue import STUDIES
    from duolect.studies.engine import Asked

    return Asked(
        names=tuple(STUDIES) if asked.names == ("all",) else asked.names,
        scale=asked.scale,
        seeds=_numbers(asked.seeds),
        data={part: Path(path) for part, path in _pairs("--data", asked.data).items()},
        settings={field: _value(text) for field, text in _pairs("--set", asked.set).items()},
        only=asked.only,
    )


def _plan(wanted: Asked, out: Path) -> int:
    from rich.console import Console

    from duolect.reports.cells import draw_terminal
    from duolect.reports.progress import StageBar
    from duolect.studies.engine import STAGES, stages_in_order
    from duolect.studies.plan import plan_columns, plan_stages, plan_summary
    from duolect.studies.stages import Store

    studies, faults = wanted.studies(planned=True)
    for name, fault in faults.items():
        say(f"study {name}: {fault}")
    if not studies:
        return 2
    scale = wanted.build(planned=True)
    sustained = scale.sustained
    with StageBar(console(quiet=not sys.stderr.isatty()), "counting what trainings take") as advance:
        planned = plan_stages(stages_in_order(studies), Store(out / STAGES), sustained=sustained, progress=advance)
    title = f"{', '.join(study.name for study in studies)} at scale {scale.name}, in order"
    printed = Console()
    width = printed.width if printed.is_terminal else 160
    Console(width=width).print(draw_terminal(title, plan_columns(planned), plan_summary(planned, sustained), width))
    return 1 if faults else 0


def _list(asked: StudyCommand) -> int:
    from duolect.studies.listing import listing

    wanted = _asked(asked)
    for line in listing(wanted, asked.out):
        print(line)
    print(f"{_SEARCH}\n  all ways to search with a system of your own: duolect study {_SEARCH} --help")
    return 0


def _report(out: Path, docs: Path | None) -> int:
    from duolect.studies.report import report_all

    for path in report_all(out, docs=docs, console=console()):
        print(path)
    return 0


def _launcher(asked: StudyCommand, slurm: dict[str, Any]) -> Launcher:
    from duolect.studies.stages.launchers import Local
    from duolect.studies.stages.slurm import Slurm

    if asked.slurm:
        return Slurm(places=16 if asked.jobs is None else asked.jobs, settings=slurm)
    if slurm:
        raise ConfigError("--slurm.…: belongs to --slurm, which is not given.")
    return Local(places=1 if asked.jobs is None else asked.jobs, gpus=asked.gpus)


def _slurm_settings(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The arguments without `--slurm.NAME VALUE`, and these as parameters of submitit's executor."""
    rest: list[str] = []
    found: dict[str, Any] = {}
    tokens = iter(arguments)
    for token in tokens:
        if not token.startswith(_SLURM):
            rest.append(token)
            continue
        name, equals, value = token.removeprefix(_SLURM).partition("=")
        values = [value] if equals else list(itertools.islice(tokens, 1))
        if not name or not values:
            raise ConfigError(f"{token}: a value is missing; an example is --slurm.partition gpu.")
        name = name.replace("-", "_").removeprefix("slurm_")
        found[name if name in _ANY_EXECUTOR else f"slurm_{name}"] = _value(values[0])
    return rest, found


def _numbers(texts: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(number) for text in texts for number in text.split(",") if number)
    except ValueError as error:
        raise ConfigError(f"--seeds: expected whole numbers as in 1,2,3, not {' '.join(texts)!r}.") from error


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise ConfigError(f"{option}: expected NAME=VALUE, not {text!r}.")
        found[name.replace("-", "_")] = value
    return found


def _value(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text
