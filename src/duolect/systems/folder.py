"""A system on disk: `system.json` beside one folder for each component. Whole or not at all, and never unpickled.

system.json                format, components with their fingerprints, search, tuned scales and where they come from
acoustic/ language/ speech_llm/     each: config.json, model.safetensors, (llm_config.json,) units/, (ctc_units/,)
                                    (prior.safetensors,) (training.json)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from duolect import __version__
from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, SystemFolderError
from duolect.models import load_model, save_model
from duolect.storage import atomic_folder, load_tensors, read_json, save_tensors, write_json
from duolect.systems.components import KINDS, TITLES, Component, check_kind
from duolect.systems.config import SearchConfig
from duolect.systems.provenance import TuningRecord
from duolect.text import load_units

Parsed = TypeVar("Parsed")

FORMAT = 1
SETTINGS = "system.json"
PRIORS = "prior.safetensors"
TRAINING = "training.json"


@dataclass(frozen=True)
class Contents:
    """What a system folder holds."""

    parts: dict[str, Component]
    search: SearchConfig | None
    method: str | None
    tuned: dict[str, TuningRecord]


def system_folder(path: str | os.PathLike[str]) -> Path:
    """The system folder that `path` stands for: itself, or what the run folder `path` has exported.

    Raises SystemFolderError for a run that has exported nothing yet; what is neither is left to the reader to refuse.
    """
    path = Path(path)
    if (path / SETTINGS).is_file() or not (path / "recipe.json").is_file():
        return path
    if not (path / "system" / SETTINGS).is_file():
        raise SystemFolderError(f"{path}: this training run is not finished; go on with `duolect train {path}` first.")
    return path / "system"


def component_folder(path: str | os.PathLike[str], name: str) -> Path:
    """The folder of the trained model `name`, given a run folder, a system folder or that folder itself.

    Raises SystemFolderError when it is none of them.
    """
    path = Path(path)
    for candidate in (path / "system" / name, path / name, path):
        if (candidate / "config.json").is_file():
            return candidate
    raise SystemFolderError(
        f"{path}: has no trained model; expected a run folder or a system folder with a component {name!r}, or the "
        "folder of such a component."
    )


def trained_components(path: str | os.PathLike[str]) -> dict[str, Path]:
    """The folder of each trained model of a run or system folder, by its name; empty where it is neither."""
    for candidate in (Path(path) / "system", Path(path)):
        if found := {each.parent.name: each.parent for each in sorted(candidate.glob("*/config.json"))}:
            return found
    return {}


def write_folder(folder: str | os.PathLike[str], contents: Contents, *, overwrite: bool = True) -> None:
    """Write a system folder, or only its `system.json` where it has these very components already.

    Weights that lie unchanged in another system folder are hard-linked (copied where that is impossible).
    Raises SystemFolderError rather than replace a folder that holds anything else; and, unless `overwrite`, one with
    models or tuned scales that are not among `contents`. Nor does it write what was rounded.
    """
    folder = Path(folder)
    _require_whole(contents)
    prints = {name: component.fingerprint() for name, component in contents.parts.items()}
    settings = _settings(contents, prints)
    if not overwrite:
        _require_nothing_lost(folder, settings)
    if _stored_prints(folder) == prints:
        write_json(folder / SETTINGS, settings)
        return
    _check_replaceable(folder)
    with atomic_folder(folder) as partial:
        for name, component in contents.parts.items():
            _write_component(partial / name, name, component, prints[name])
        write_json(partial / SETTINGS, settings)


def _require_whole(contents: Contents) -> None:
    for name, component in contents.parts.items():
        if component.rounded:
            raise SystemFolderError(
                f"{TITLES[name]} was rounded to bfloat16 when it was loaded, and cannot be saved; load it with the "
                "precision 'stored' for that."
            )


def require_nothing_lost(folder: str | os.PathLike[str], contents: Contents, method: str) -> None:
    """Raise SystemFolderError where `contents`, with other scales for `method`, cannot be written to `folder`, or that
    would lose a model there, or scales that were tuned for another method."""
    folder = Path(folder)
    _check_replaceable(folder)
    if folder.exists():  # else there is no need to read all weights for their fingerprints
        prints = {name: component.fingerprint() for name, component in contents.parts.items()}
        _require_nothing_lost(folder, _settings(contents, prints), method)


def write_settings(folder: str | os.PathLike[str], contents: Contents) -> None:
    """Write only the `system.json` of a folder that holds the components of `contents` already."""
    prints = {name: component.fingerprint() for name, component in contents.parts.items()}
    write_json(Path(folder) / SETTINGS, _settings(contents, prints))


def read_folder(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Contents:
    """Read a system folder onto `device`.

    Raises SystemFolderError for what is missing, of another format, or mixed up; ModelError for damaged weights.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    where = str(folder / SETTINGS)
    parts = {}
    for name, stored in settings["components"].items():
        if name not in KINDS:
            raise SystemFolderError(f"{where}: unknown component {name!r}; known are {', '.join(KINDS)}.")
        component = read_component(folder / name, name, device)
        for field, units in (("units", component.units), ("ctc_units", component.ctc_or_units)):
            if stored.get(field) != units.fingerprint:
                raise SystemFolderError(
                    f"{folder / name / field}: these are not the units the system was saved with (fingerprint"
                    f" {units.fingerprint}, {where} has {stored.get(field)})."
                )
        parts[name] = component
    search = settings.get("search")
    tuned = settings.get("tuned") or {}
    return Contents(
        parts=parts,
        search=None if search is None else _parsed(SearchConfig, search, where, "search"),
        method=settings.get("method"),
        tuned={name: _parsed(TuningRecord, record, where, f"tuned.{name}") for name, record in tuned.items()},
    )


def _parsed(cls: type[Parsed], stored: Any, where: str, field: str) -> Parsed:
    try:
        return from_json(cls, stored, f"{where}: {field}")
    except ConfigError as error:  # of settings that do not go together, which say no place
        said = str(error)
        raise ConfigError(said if said.startswith(where) else f"{where}: {said}") from error


def read_settings(folder: Path) -> dict[str, Any]:
    """The checked `system.json` of a system folder, as plain values; no model is loaded."""
    where = folder / SETTINGS
    if not folder.is_dir():
        raise SystemFolderError(f"{folder}: there is no such system folder.")
    if not where.is_file():
        raise SystemFolderError(f"{folder}: is not a system folder, for it has no {SETTINGS}.")
    try:
        settings = read_json(where)
    except ConfigError as error:
        raise SystemFolderError(str(error)) from error
    if not isinstance(settings, dict) or settings.get("kind") != "duolect-system":
        raise SystemFolderError(f'{where}: expected an object with "kind": "duolect-system".')
    if settings.get("format") != FORMAT:
        raise SystemFolderError(
            f"{where}: has format {settings.get('format')!r}, but duolect {__version__} reads format {FORMAT}."
        )
    components = settings.get("components")
    if not isinstance(components, dict) or not all(isinstance(c, dict) for c in components.values()) or not components:
        raise SystemFolderError(f"{where}: 'components' must be an object with at least one component.")
    return settings


def read_component(folder: Path, name: str, device: str | torch.device = "cpu") -> Component:
    """One component from its folder. Raises SystemFolderError naming the part that is missing."""
    for part in ("config.json", "model.safetensors", "units"):
        if not (folder / part).exists():
            raise SystemFolderError(f"{folder}: the component {name!r} lacks its {part}.")
    file = folder / PRIORS
    priors = load_tensors(file, device) if file.exists() else {}
    unknown = sorted(priors.keys() - {"log_prior", "log_counts"})
    if unknown or (file.exists() and not priors):
        found = repr(unknown[0]) if unknown else "none"
        raise SystemFolderError(f"{file}: expected a tensor 'log_prior' or 'log_counts', found {found}.")
    component = Component(
        model=load_model(folder, device),
        units=load_units(folder / "units"),
        ctc_units=load_units(folder / "ctc_units") if (folder / "ctc_units").exists() else None,
        log_prior_V=priors.get("log_prior"),
        log_counts_V=priors.get("log_counts"),
        folder=folder,
        trained_seconds=_trained_seconds(folder / TRAINING),
    )
    check_kind(name, component)
    return component


def _settings(contents: Contents, prints: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": "duolect-system",
        "format": FORMAT,
        "created_by": f"duolect {__version__}",
        "components": {
            name: {
                "fingerprint": prints[name],
                "units": component.units.fingerprint,
                "ctc_units": component.ctc_or_units.fingerprint,
            }
            for name, component in contents.parts.items()
        },
        "method": contents.method,
        "search": to_json(contents.search),
        "tuned": to_json(contents.tuned),
    }


def _stored_prints(folder: Path) -> dict[str, str] | None:
    try:
        settings = read_settings(folder)
    except SystemFolderError:
        return None
    if not all((folder / name / "model.safetensors").is_file() for name in settings["components"]):
        return None
    return {name: stored.get("fingerprint") for name, stored in settings["components"].items()}


def _require_nothing_lost(folder: Path, settings: Mapping[str, Any], but: str | None = None) -> None:
    if lost := _lost(folder, settings, but):
        named = " and ".join(filter(None, [", ".join(lost[:-1]), lost[-1]]))
        raise SystemFolderError(
            f"{folder}: holds {named}, which would be lost; choose another folder, or replace it (--overwrite)."
        )


def _lost(folder: Path, settings: Mapping[str, Any], but: str | None) -> list[str]:
    """The models and tuned scales (`but` those of one method) in `folder` that a system of these settings has not; all
    where it is damaged."""
    try:
        there = read_settings(folder)
    except SystemFolderError:
        there = {"components": {}}
    components, tuned = settings["components"], settings["tuned"]
    prints = {name: stored.get("fingerprint") for name, stored in there["components"].items()}
    kept = {name for name, stored in components.items() if prints.get(name) == stored["fingerprint"]}
    models = [title for name, title in TITLES.items() if name not in kept and (folder / name).exists()]
    records = {name: _as_of_today(record) for name, record in (there.get("tuned") or {}).items() if name != but}
    methods = [name for name, record in records.items() if record is None or tuned.get(name) != record]
    return [*models, f"the scales tuned for {', '.join(methods)}"] if methods else models


def _as_of_today(record: Any) -> Any:
    """A stored record with the fields that it has today, as JSON; None where it is damaged."""
    try:
        return to_json(from_json(TuningRecord, record))
    except ConfigError:
        return None


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise SystemFolderError(f"{folder}: is a file; a system is saved as a folder.")
    for entry in sorted(folder.iterdir()):
        if entry.name != SETTINGS and entry.name not in KINDS:
            raise SystemFolderError(f"{folder}: holds {entry.name!r}, which is no part of a system; save elsewhere.")


def _write_component(target: Path, name: str, component: Component, fingerprint: str) -> None:
    source = component.folder
    stored = _stored_prints(source.parent) if source is not None and source.name in KINDS else None
    if source is not None and stored is not None and stored.get(source.name) == fingerprint:
        shutil.copytree(source, target, copy_function=_link)
        return
    save_model(component.model, target)
    component.units.save(target / "units")
    if component.ctc_units is not None:
        component.ctc_units.save(target / "ctc_units")
    if component.priors:
        save_tensors(target / PRIORS, component.priors)
    if component.trained_seconds is not None:
        write_trained_seconds(target, component.trained_seconds)


def write_trained_seconds(folder: Path, seconds: float) -> None:
    """Write into a component's folder how long nearly all audio was at most that it was trained on."""
    write_json(folder / TRAINING, {"usual_seconds": seconds})


def _trained_seconds(file: Path) -> float | None:
    if not file.exists():
        return None
    stored = read_json(file)
    seconds = stored.get("usual_seconds") if isinstance(stored, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise SystemFolderError(f'{file}: expected an object with "usual_seconds", a number above 0.')
    return float(seconds)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
