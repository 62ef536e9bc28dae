"""Which way of searching with the same trained models is best: all systems of the comparison, and what each switch
costs and saves.

Question (arXiv 2603.15045): does label-wise fusion beat delayed fusion and rescoring, does the prior
help, and what do soft collapse and label pruning cost? Scales are tuned on dev for every line, the test set is only
scored.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from duolect.configs import from_json, to_json
from duolect.data import load_manifest
from duolect.errors import ConfigError, DuolectError
from duolect.evaluation import RunRecord
from duolect.reports import Comparison
from duolect.storage import read_json, write_json
from duolect.studies.comparison import Line, publish, results
from duolect.studies.tuning import Tuning, tune_side_by_side
from duolect.systems import System, TuningRecord, find_method, load, utterance_set_hash


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A line of the study: a method with some settings of its search changed.

    `without`: terms left out. `scales_of`: the name of an earlier line whose tuned scales it takes; else it is tuned
    itself, where its method has scales.
    """

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    scales_of: str | None = None


def _like(base: str, change: str, /, **settings: Any) -> Variant:
    """The line `base` with settings changed, under the scales tuned for it."""
    return Variant(name=f"{base}, {change}", method=base, settings=settings, scales_of=base)


_OVER_FRAMES: Mapping[str, Any] = {
    "first_pass": "frames",
    "candidates": None,
    "labels_per_frame": 16,
    "beam": 8,
    "nbest": 8,
}

VARIANTS: tuple[Variant, ...] = (
    Variant(name="ctc-greedy", method="ctc-greedy"),
    Variant(name="ctc-beam", method="ctc-beam"),
    Variant(name="ctc+lm-rescoring", method="ctc+lm-rescoring"),
    Variant(name="ctc+lm-rescoring, no prior", method="ctc+lm-rescoring", without=("prior",)),
    Variant(name="ctc+lm-delayed", method="ctc+lm-delayed"),
    _like("ctc+lm-delayed", "never", lm_interval="never"),
    _like("ctc+lm-delayed", "10 frames", lm_interval=10),
    _like("ctc+lm-delayed", "5 frames", lm_interval=5),
    _like("ctc+lm-delayed", "each frame", lm_interval=1),
    _like("ctc+lm-delayed", "shortest", lm_interval="shortest"),
    Variant(name="ctc+lm-labelwise", method="ctc+lm-labelwise"),
    Variant(name="ctc+lm-labelwise, no prior", method="ctc+lm-labelwise", without=("prior",)),
    _like("ctc+lm-labelwise", "best alignment", merge="max"),
    _like("ctc+lm-labelwise", "collapse 0.9", collapse=0.9),
    _like("ctc+lm-labelwise", "collapse 0.8", collapse=0.8),
    _like("ctc+lm-labelwise", "50 labels", keep_labels=50),
    Variant(name="attention", method="attention"),
    Variant(name="attention+ctc", method="attention+ctc"),
    Variant(name="attention+ctc, over frames", method="attention+ctc", settings=_OVER_FRAMES),
    _like("attention+ctc", "collapse 0.8", collapse=0.8),
    _like("attention+ctc", "50 labels", keep_labels=50),
    Variant(name="speech-llm", method="speech-llm"),
    Variant(name="speech-llm, greedy", method="speech-llm", settings={"beam": 1, "nbest": 1}),
    Variant(name="speech-llm-draft", method="speech-llm-draft"),
    Variant(name="speech-llm+ctc", method="speech-llm+ctc"),
    Variant(name="speech-llm+ctc, over frames", method="speech-llm+ctc", settings=_OVER_FRAMES),
    _like("speech-llm+ctc", "collapse 0.9", collapse=0.9),
    _like("speech-llm+ctc", "collapse 0.8", collapse=0.8),
    _like("speech-llm+ctc", "100 labels", keep_labels=100),
    _like("speech-llm+ctc", "50 labels", keep_labels=50),
    _like("speech-llm+ctc", "20 labels", keep_labels=20),
)
"""What the study compares, the baseline first."""

_EFFORT = (
    "Forwards/s, Labels/s: what language models and decoders were asked for per second of audio, forward passes (each "
    "for the hypotheses of a whole batch) and labels consumed."
)


def run_search_study(
    system: str | Path,
    dev: str | Path,
    test: str | Path,
    folder: str | Path = "runs/search",
    *,
    variants: Sequence[Variant] = VARIANTS,
    only: Sequence[str] = (),
    workers: int = 1,
    console: Console | None = None,
    command: str = "duolect study search",
) -> Comparison:
    """Tune every variant that the system can run on `dev`, recognise and score `test`; what stands is reused.

    Writes report.md, report.html, the hypotheses and the tuning records into `folder`. `only`: names of the variants
    wanted; `workers`: processes that tune side by side, each with the models and one core.

    Raises ConfigError for a name that there is not, or where the system can run none.
    """
    folder, console = Path(folder), console or Console(stderr=True)
    names = [variant.name for variant in variants]
    for name in only:
        if name not in names:
            raise ConfigError(f"study search: there is no variant {name!r}; known are {', '.join(names)}.")
    stored, dev_set = load(system), utterance_set_hash(load_manifest(dev))
    load_manifest(test)  # a bad line is found before any time is spent
    able = set(stored.methods())
    asked = [v for v in variants if v.method in able and (not only or v.name in only)]
    records = _tuned(stored, asked, Path(dev), dev_set, folder / "tuning", console, workers)
    lines = [_line(stored, variant, records) for variant in asked]
    if not lines:
        raise ConfigError(f"{system}: can run none of the variants of the study.")
    today = date.today().isoformat()
    found = results(lines, Path(test), folder / "hypotheses", console, command=command, date=today, details=effort)
    comparison = Comparison(
        title="Ways to search with the same models",
        systems=found,
        baseline=found[0].name,
        notes=[
            _EFFORT,
            f"Scales were tuned on {dev}: {_scales(lines)}.",
        ],
        provenance={"command": command, "date": today, "threads": torch.get_num_threads(), "system": str(system)},
    )
    publish(comparison, folder, console)
    return comparison


def effort(record: RunRecord) -> dict[str, str]:
    """What the language models were asked to do, per second of audio: forward passes (a batch of hypotheses each) and
    labels; empty for a search without one."""
    counted = {"LM": ("lm",), "speech LLM": ("speech_llm",), "decoder": ("decoder",)}
    asked = [t for terms in counted.values() for t in terms if record.statistics.get(f"{t}.forwards")]
    if not asked or not record.audio_seconds:
        return {}
    forwards = sum(record.statistics[f"{t}.forwards"] for t in asked) / record.audio_seconds
    labels = sum(record.statistics[f"{t}.labels"] for t in asked) / record.audio_seconds
    return {"Forwards/s": f"{forwards:.2f}", "Labels/s": f"{labels:.0f}"}


def _tuned(
    stored: System,
    variants: Sequence[Variant],
    dev: Path,
    dev_set: str,
    folder: Path,
    console: Console,
    workers: int,
) -> dict[str, TuningRecord]:
    """The records of the variants that have something to tune and do not take another's scales; kept in `folder`."""
    names = {variant.name for variant in variants}
    records: dict[str, TuningRecord] = {}
    wanted: dict[str, Tuning] = {}
    made_by: dict[str, dict[str, Any]] = {}
    models = {part: component.fingerprint() for part, component in stored.parts.items()}
    for variant in variants:
        name = variant.name
        if variant.scales_of in names or not set(find_method(variant.method).tuned) - set(variant.without):
            continue
        search = dataclasses.replace(stored.search_of(variant.method, tuned=False), **variant.settings)
        made_by[name] = {
            "models": models,
            "search": to_json(search),
            "without": list(variant.without),
            "set": dev_set,
        }
        record = _kept(_file(folder, name), made_by[name])
        if record is not None:
            records[name] = record
        else:
            wanted[name] = Tuning(method=variant.method, search=search, without=variant.without)
    assert stored.folder is not None
    for name, record in tune_side_by_side(stored.folder, wanted, dev, console, workers):
        write_json(_file(folder, name), {"made_by": made_by[name], "record": to_json(record)})
        records[name] = record
    return records


def _line(stored: System, variant: Variant, records: Mapping[str, TuningRecord]) -> Line:
    """The system under the variant's search, with the scales tuned for it, or for the line it takes them from."""
    record = records.get(variant.scales_of or "", records.get(variant.name))
    if record is None:
        system, search = stored, stored.search_of(variant.method, tuned=False)
    else:
        system, search = stored.with_tuning(record), record.search
    system = system.with_search(dataclasses.replace(search, **variant.settings), variant.method)
    own = not variant.settings and not variant.without  # what a method's description says is only true of itself
    return Line(name=variant.name, system=system, description=find_method(variant.method).description if own else "")


def _file(folder: Path, name: str) -> Path:
    return folder / f"{re.sub(r'[^a-z0-9+().-]+', '-', name)}.json"


def _kept(path: Path, made_by: Mapping[str, Any]) -> TuningRecord | None:
    """The record of an earlier call with the same models, settings and set."""
    if not path.exists():
        return None
    try:
        stored = read_json(path)
        return from_json(TuningRecord, stored["record"], str(path)) if stored["made_by"] == made_by else None
    except (DuolectError, KeyError, TypeError):
        return None


def _scales(lines: Sequence[Line]) -> str:
    def spoken(line: Line) -> str:
        search = line.system.search
        assert search is not None
        return ", ".join(f"{term} {value:.2f}" for term, value in search.scales.signed().items() if term != "ctc")

    return "; ".join(f"{line.name}: {text}" for line in lines if (text := spoken(line)))
