"""Run studies: make what is missing of their stages, then write what was found.

OUT/stages/<kind>/<key>/   what was made, shared by all studies and scales
OUT/<scale>/<study>/       report.md, report.html, figures, rows.jsonl, and study.json: what was asked
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from duolect.configs import to_json
from duolect.errors import ConfigError, DuolectError
from duolect.storage import write_json
from duolect.studies.catalogue import build_scale, build_study, find_study, only
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage, Store, in_order
from duolect.studies.stages.interrupts import terminated_as_interrupted
from duolect.studies.stages.launchers import Call, Launcher
from duolect.studies.stages.runner import Outcome, run_stages
from duolect.studies.study import Study

STAGES = "stages"
ASKED = "study.json"
_SOURCE = "duolect.studies.catalogue:stages_of"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which studies, and how: at a scale, with seeds (the scale's own where there are none), the user's data (part →
    path), fields of the scale changed by `settings`, and of the entries `only` those named (all where none is)."""

    names: tuple[str, ...]
    scale: str = "demo"
    seeds: tuple[int, ...] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    def placed(self) -> Asked:
        """The same from whatever folder it is asked again: paths that are there made absolute (a name of the hub is
        none)."""
        data = {part: Path(os.path.abspath(path)) if path.exists() else path for part, path in self.data.items()}
        return dataclasses.replace(self, data=data)

    def build(self, *, planned: bool = False) -> Scale:
        """The scale."""
        return build_scale(self.scale, seeds=self.seeds, data=self.data, settings=self.settings, planned=planned)

    def studies(self, *, planned: bool = False) -> tuple[list[Study], dict[str, str]]:
        """The studies that can be run, and of the others name → why not, such as data that lack.

        Raises ConfigError for a name that there is not, and where `only` names no entry of any study.
        """
        scale = self.build(planned=planned)
        found: list[Study] = []
        faults: dict[str, str] = {}
        for name in dict.fromkeys(self.names):
            find_study(name)
            try:
                study = build_study(name, scale)
                in_order(study.stages)  # keys are hashes of data, which may lack
                found.append(study)
            except DuolectError as error:
                faults[name] = str(error)
        return _chosen(found, self.only), faults

    def call(self, root: Path, studies: Sequence[Study]) -> Call:
        """How a worker finds the stages of these studies again: in the first study that has it."""
        data = {part: str(path) for part, path in self.data.items()}
        given = {"scale": self.scale, "seeds": list(self.seeds), "data": data, "settings": dict(self.settings)}

        def arguments(*names: str) -> str:
            return json.dumps({"names": names, **given})

        of = {stage.key: study.name for study in reversed(studies) for stage in in_order(study.stages)}
        fewer = {key: arguments(name) for key, name in of.items()}
        return Call(root / STAGES, _SOURCE, arguments(*(study.name for study in studies)), fewer)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a call: the studies, their stages (key → outcome), and name → why a study could not be run."""

    studies: Sequence[Study]
    outcomes: Mapping[str, Outcome]
    faults: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Whether a study could not be run or a stage failed."""
        return bool(self.faults) or any(o.state in ("failed", "held up") for o in self.outcomes.values())

    @property
    def unfinished(self) -> bool:
        """Whether time was up before all was begun, or a stage was interrupted."""
        return any(outcome.state == "not begun" for outcome in self.outcomes.values())


def run_studies(
    asked: Asked,
    out: Path,
    launcher: Launcher,
    console: Console,
    *,
    seconds: float | None = None,
    remake: bool = False,
    retime: bool = False,
    command: str = "",
) -> Ran:
    """Make what is missing and write the reports, also where stages failed: they show what there is.

    seconds: begin nothing after that time. remake: make anew what was made by other code. retime: make anew whatever is
    timed. Raises ConfigError for names that there are not, and where none of the studies can be run.
    """
    from duolect.studies.report import write_report

    asked = asked.placed()
    studies, faults = asked.studies()
    if len(faults) == 1 and not studies:
        raise ConfigError(next(iter(faults.values())))
    for name, fault in faults.items():
        console.print(f"study {name}: {fault}", highlight=False, markup=False, style="red")
    if not studies:
        raise ConfigError("none of these studies can be run.")
    stages = stages_in_order(studies)
    call, store = asked.call(out, studies), Store(out / STAGES)
    if remake or retime:

        def unwanted(stage: Stage) -> bool:
            old = remake and (store.outdated(stage) or store.begun_otherwise(stage))
            return old or (retime and stage.needs.timed)

        for stage in store.discard(stages, unwanted, console):
            console.print(f"  to be made anew: {stage.kind} · {stage.name}", highlight=False)
    store.relocate(stages, console)
    with terminated_as_interrupted():
        outcomes = run_stages(stages, call, launcher, console, seconds=seconds)
    for study in studies:
        folder = out / asked.scale / study.name
        write_json(folder / ASKED, to_json(dataclasses.replace(asked, names=(study.name,))) | {"command": command})
        write_report(study, store, folder, console, command=command)
    return Ran(studies=studies, outcomes=outcomes, faults=faults)


def stages_in_order(studies: Sequence[Study]) -> list[Stage]:
    """All stages of the studies and what they use, each once and after those that it uses."""
    return in_order(stage for study in studies for stage in study.stages)


def _chosen(studies: Sequence[Study], entries: Sequence[str]) -> list[Study]:
    """With the entries that are named alone; a study that has none of them is left out, if another has."""
    if not entries or not studies:
        return list(studies)
    named = {study.name: [e for e in entries if e in [each.name for each in study.entries]] for study in studies}
    for entry in entries:
        if not any(entry in of_study for of_study in named.values()):
            only(studies[0], [entry])  # says what there is
            raise AssertionError
    return [only(study, named[study.name]) for study in studies if named[study.name]]
