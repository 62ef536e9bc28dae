"""All studies by name, and the scales that they can be run at.

A study is one line of STUDIES: its name and the function in `studies.axes` that gives it at a scale.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from duolect.configs import from_json
from duolect.errors import ConfigError
from duolect.studies.axes.architecture import architecture
from duolect.studies.axes.beam import beam
from duolect.studies.axes.compression import compression
from duolect.studies.axes.cost import cost
from duolect.studies.axes.distillation import distillation
from duolect.studies.axes.downsampling import downsampling
from duolect.studies.axes.finetuning import finetuning
from duolect.studies.axes.fusion import fusion
from duolect.studies.axes.interface import interface
from duolect.studies.axes.joint_ctc import joint_ctc
from duolect.studies.axes.languages import into_english, languages
from duolect.studies.axes.leaderboard import leaderboard
from duolect.studies.axes.length import length
from duolect.studies.axes.llm_size import llm_size
from duolect.studies.axes.lm import lm
from duolect.studies.axes.mask import mask
from duolect.studies.axes.optimisations import optimisations
from duolect.studies.axes.overall import overall
from duolect.studies.axes.pretraining import pretraining
from duolect.studies.axes.prior import prior
from duolect.studies.axes.prompts import prompts
from duolect.studies.axes.translation import translation
from duolect.studies.axes.units import units
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage
from duolect.studies.study import Study

Axis = Callable[[Scale], Study]
"""A study at a scale. Raises DuolectError where the scale, or the data that it was given, do not suffice."""

STUDIES: dict[str, Axis] = {
    "units": units,
    "finetuning": finetuning,
    "llm-size": llm_size,
    "pretraining": pretraining,
    "interface": interface,
    "downsampling": downsampling,
    "prompts": prompts,
    "length": length,
    "joint-ctc": joint_ctc,
    "optimisations": optimisations,
    "lm": lm,
    "fusion": fusion,
    "prior": prior,
    "beam": beam,
    "overall": overall,
    "leaderboard": leaderboard,
    "architecture": architecture,
    "mask": mask,
    "compression": compression,
    "distillation": distillation,
    "translation": translation,
    "languages": languages,
    "into-english": into_english,
    "cost": cost,
}
"""What can be asked: name → axis. `Study.name` is the same name."""

SCALES: dict[str, str] = {"demo": "DemoScale", "small": "SmallScale", "paper": "PaperScale"}
"""Scale → its class, in the module of `studies.scales` that has the scale's name."""


def build_scale(
    scale: str,
    *,
    seeds: Sequence[int] = (),
    data: Mapping[str, str | Path] | None = None,
    settings: Mapping[str, Any] | None = None,
    planned: bool = False,
) -> Scale:
    """A scale with these seeds (its own where there are none), the user's `data` (part → path), and further fields.

    `planned`: data may be missing, since a plan is made and nothing else.

    Raises ConfigError for a scale, a part or a field that there is not.
    """
    if scale not in SCALES:
        raise ConfigError(f"study: there is no scale {scale!r}; known are {', '.join(SCALES)}.")
    kind: type[Scale] = getattr(importlib.import_module(f"duolect.studies.scales.{scale}"), SCALES[scale])
    data, settings = dict(data or {}), dict(settings or {})
    for part in data:
        if part not in kind.parts:
            known = "; ".join(f"{name}: {what}" for name, what in kind.parts.items()) or "none"
            raise ConfigError(f"study: scale {scale} takes no data called {part!r}; it takes {known}.")
    reserved = {"seeds", "data", "planned"} & settings.keys()
    if reserved:
        raise ConfigError(f"study: {min(reserved)} has an option of its own and is no further field of a scale.")
    fields = {name: str(path) for name, path in data.items()}
    given = {"data": fields, "planned": planned, **settings, **({"seeds": list(seeds)} if seeds else {})}
    return from_json(kind, given, f"scale {scale}")


def find_study(name: str) -> Axis:
    """The axis of that name. Raises ConfigError where there is none."""
    if name not in STUDIES:
        near = get_close_matches(name, STUDIES, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"there is no study {name!r}.{meant} Known are {', '.join(STUDIES)}.")
    return STUDIES[name]


def build_study(name: str, scale: Scale) -> Study:
    """The study of that name. Raises ConfigError for a name that there is not, DuolectError where data lack."""
    return find_study(name)(scale)


def only(study: Study, entries: Sequence[str]) -> Study:
    """The study with these entries alone, and the claims about them; the whole of it for no names.

    Raises ConfigError for an entry that it has not.
    """
    if not entries:
        return study
    names = [entry.name for entry in study.entries]
    for name in entries:
        if name not in names:
            known = ", ".join(repr(each) for each in names)
            raise ConfigError(f"study {study.name}: there is no entry {name!r}; known are {known}.")
    return dataclasses.replace(
        study,
        entries=[
            entry if entry.against in entries else dataclasses.replace(entry, against="")
            for entry in study.entries
            if entry.name in entries
        ],
        claims=[claim for claim in study.claims if {claim.better, claim.worse} <= set(entries)],
    )


def stages_of(names: Sequence[str], scale: str, **given: Any) -> list[Stage]:
    """All stages of studies, for the workers (`stages.worker`); `given` as for `build_scale`, all of it JSON."""
    built = build_scale(scale, **given)
    return [stage for name in names for stage in build_study(name, built).stages]
