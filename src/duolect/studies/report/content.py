"""What a study's page says besides its table: verdicts, how it was made, what is missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from duolect.evaluation import Score, Timing
from duolect.evaluation.intervals import LEVEL
from duolect.reports.cells import each
from duolect.reports.comparison import Comparison, SystemResult
from duolect.studies.report.results import EntryResult, StudyResult
from duolect.studies.verdicts import Verdict, points, pooled


@dataclass(frozen=True)
class _Named:
    """A row's first run."""

    name: str
    host: str
    device: str
    threads: int | None


_TOGETHER = timedelta(hours=1)
_SINGULAR = {"holds": "holds", "does not hold": "does not hold", "not decidable here": "cannot be decided here"}
_PLURAL = {"holds": "hold", "does not hold": "do not hold", "not decidable here": "cannot be decided here"}


@dataclass(frozen=True)
class Finding:
    """A published finding, whether it holds here, and the figures that say so."""

    verdict: str
    text: str
    source: str
    figures: str


def findings(result: StudyResult) -> list[Finding]:
    """The study's claims with their verdicts, "not run" where a row is missing."""
    return [
        Finding(
            verdict.decision if verdict else "not run",
            claim.text,
            claim.source,
            _figures(result, claim.better, claim.worse, verdict),
        )
        for claim, verdict in result.verdicts
    ]


def _figures(result: StudyResult, better: str, worse: str, verdict: Verdict | None) -> str:
    digits = 2 if result.study.metric == "wer" else 1
    rows = [result.row(better), result.row(worse)]
    both = rows[0].runs.keys() & rows[1].runs.keys()  # the seeds that the verdict is of

    def rate(row: EntryResult) -> str:
        runs = [run.score for seed, run in row.runs.items() if seed in both or not both]
        return f"{points(pooled(runs)):.{digits}f}" if runs else "–"

    said = " against ".join(f"{row.entry.name} {rate(row)}" for row in rows)
    return said if verdict is None else f"{said}: {verdict.reason}"


def lead(result: StudyResult) -> str:
    """How many findings hold, in a sentence; of a study without any, the best row."""
    decided = [verdict.decision for _, verdict in result.verdicts if verdict is not None]
    if decided:
        if len(result.verdicts) == 1:
            return f"The published finding: {decided[0]}."
        counts = {kind: decided.count(kind) for kind in dict.fromkeys(decided)}
        counted = [f"{count} {_PLURAL[kind] if count > 1 else _SINGULAR[kind]}" for kind, count in counts.items()]
        return f"Of {len(result.verdicts)} published findings {', '.join(counted)}."
    if not result.standing:
        return "Nothing has been recognised yet."
    low = result.study.metric == "wer"
    best = min(result.standing, key=lambda row: _value(row) if low else -_value(row))
    unit = " % WER" if low else " BLEU"
    said = f"Best: {best.entry.name}, {_value(best):.{2 if low else 1}f}{unit}"
    alike = [row.entry.name for row in result.standing if _alike(result, best, row)]
    return f"{said}; not to be told from it: {' · '.join(alike)}." if alike else f"{said}."


def _alike(result: StudyResult, best: EntryResult, row: EntryResult) -> bool:
    """Whether one of the two is tested against the other, and nothing was found."""
    pairs = ((best, row), (row, best))
    found = (one.p_holm for one, base in pairs if result.study.base(one.entry) is base.entry)
    return any(p is not None and p >= 1 - LEVEL for p in found)


def _value(row: EntryResult) -> float:
    return points(row.score) if row.score is not None else float("nan")


def making(result: StudyResult, command: str) -> list[tuple[str, str]]:
    """How the numbers were made, as titles and texts."""
    study, records = result.study, list(result.records.values())
    found = [("Command", command)] if command else []
    found.append(("Scale", study.scale))
    seeds = dict.fromkeys(seed for entry in study.entries for seed in entry.runs)
    found.append(("Seeds", ", ".join(map(str, seeds))))
    if records:
        days = sorted(record.date[:10] for record in records)
        found.append(("Date", days[-1] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"))
        kinds = dict.fromkeys(record.kind for record in records)
        spent = {kind: sum(r.seconds for r in records if r.kind == kind) for kind in kinds}
        parts = ", ".join(f"{kind} {duration_text(seconds)}" for kind, seconds in spent.items())
        found.append(("Time", f"{duration_text(sum(spent.values()))} ({parts})"))
        found.append(("Made with", f"duolect {', '.join(dict.fromkeys(record.duolect for record in records))}"))
    if result.standing:
        firsts = [_first(row) for row in result.standing]
        threads = each(firsts, lambda run: run.threads or "not stated")
        hardware = f"{each(firsts, lambda run: run.host)}; recognised on {each(firsts, lambda run: run.device)}"
        found.append(("Hardware", f"{hardware}, threads {threads}"))
    return found


def _first(row: EntryResult) -> _Named:
    run = next(iter(row.runs.values()))
    return _Named(row.entry.name, run.made.host, run.record.device or "a device not stated", run.record.threads)


def caveats(result: StudyResult) -> list[str]:
    """What a reader must know: runs that are missing, and stages that are not of today's code or inputs."""
    found = [
        f"{row.entry.name}, seed {seed}: {reason.rstrip('.')}."
        for row in result.rows
        for seed, reason in row.missing.items()
    ]
    if result.outdated:
        named = ", ".join(f"{stage.kind} · {stage.name}" for stage in result.outdated)
        found.append(
            "Made by other code than that of this report, or from inputs that were made anew since; --remake makes "
            f"them anew: {named}."
        )
    hours, spread = _timed(result)
    if len(hours) > 1:
        named = "; ".join(
            f"{moment:%Y-%m-%d %H:%M}: {', '.join(names) or 'no row with all its seeds'}" for moment, names in hours
        )
        found.append(
            "Rows were timed hours apart, and a machine is not as fast at all hours, so that speeds compare within "
            f"each of these groups; --retime measures all anew, one after another. From {named}."
            + (f" Their seeds stand in several groups: {', '.join(spread)}." if spread else "")
        )
    return found


def _timed(result: StudyResult) -> tuple[list[tuple[datetime, list[str]]], list[str]]:
    """When the rows were timed: those within an hour together, with the time of the first; and whose runs are apart."""
    made = {
        row.entry.name: [datetime.fromisoformat(run.made.date) for run in row.runs.values() if run.record.wall_seconds]
        for row in result.standing
    }
    starts: list[datetime] = []
    for moment in sorted(moment for moments in made.values() for moment in moments):
        if not starts or moment - starts[-1] > _TOGETHER:
            starts.append(moment)
    groups: dict[datetime, list[str]] = {start: [] for start in starts}
    spread = []
    for name, moments in made.items():
        within = {starts[bisect_right(starts, moment) - 1] for moment in moments}
        if len(within) == 1:
            groups[within.pop()].append(name)
        elif within:
            spread.append(name)
    return list(groups.items()), spread


def speed_comparison(result: StudyResult) -> Comparison | None:
    """The rows as a comparison, for the figure of WER and speed; None where there are no two word error rates."""
    rows = [row for row in result.standing if isinstance(row.score, Score) and row.timing is not None]
    if len(rows) < 2:
        return None
    systems = [_system(row, row.score, row.timing) for row in rows if isinstance(row.score, Score) and row.timing]
    return Comparison(title=result.study.title, systems=systems, baseline=systems[0].name)


def _system(row: EntryResult, score: Score, timing: Timing) -> SystemResult:
    record = next(iter(row.runs.values())).record
    kind = "accelerator" if record.device_memory is not None else "host"
    measured = {"memory": kind, "device": record.device, "threads": record.threads}
    return SystemResult(name=row.entry.name, score=score, timing=timing, peak_memory=row.memory, provenance=measured)


def duration_text(seconds: float) -> str:
    """Seconds in the unit that fits: "45 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def raw_rows(result: StudyResult, folder: str) -> Sequence[dict]:
    """One JSON object for each run that stands: where its hypotheses are, what made them, and every figure.

    folder: what the paths of hypotheses are relative to.
    """
    import os

    return [
        {
            "study": result.study.name,
            "scale": result.study.scale,
            "entry": row.entry.name,
            "value": row.entry.value,
            "seed": seed,
            "hypotheses": os.path.relpath(run.hypotheses, folder),
            "stage": run.stage.place,
            "code": run.made.code,
            "made": run.made.date,
            "seconds": run.made.seconds,
            "config": run.record.config_hash,
            "run": run.record.hash,
            "method": run.record.method,
            "search": run.record.search,
            "score": run.score.summary(),
            "rtfx": run.record.timing.rtfx if run.record.wall_seconds else None,
            "device": run.record.device,
            "threads": run.record.threads,
            "host_memory": run.record.host_memory,
            "device_memory": run.record.device_memory,
            "flops": sum(run.record.flops.values()) if run.record.flops else None,
            "trained": {name: summary.trainable for name, summary in run.trained.items()},
            "training_seconds": {name: summary.seconds for name, summary in run.trained.items()},
            "panel": run.panel.summary()["rates"] if run.panel is not None else None,
            "facts": dict(row.facts),
        }
        for row in result.rows
        for seed, run in row.runs.items()
    ]
