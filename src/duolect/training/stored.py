"""What a run folder says of a model before it is trained: its config and units, as its recipe has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from duolect.configs import from_json
from duolect.errors import ConfigError, SystemFolderError
from duolect.storage import read_json
from duolect.systems import component_folder
from duolect.text import UnitsConfig
from duolect.training.checkpoint import RECIPE
from duolect.training.task import Recipe, UnitsFrom, read_recipe

Config = TypeVar("Config")


def stored_config(folder: str | Path, component: str, kind: type[Config]) -> Config:
    """The config of the model `component` of a run or system folder; of a run that is not finished, its recipe's.

    What only label units know (vocabulary, BOS, EOS) is not filled in there. Raises SystemFolderError where the folder
    is neither, ConfigError where the model is of another kind.
    """
    try:
        file = component_folder(folder, component) / "config.json"
    except SystemFolderError:
        recipe = _recipe(folder)
        if recipe is None or recipe.task.kind != component:
            raise
        assert isinstance(recipe.task.model, kind)
        return recipe.task.model
    stored: Any = read_json(file)
    if not isinstance(stored, dict) or stored.get("kind") != component:
        raise ConfigError(f"{file}: is not the config of a model of kind {component!r}.")
    return from_json(kind, stored.get("config"), str(file))


def planned_units(config: UnitsFrom) -> UnitsConfig | UnitsFrom | None:
    """The units that the run in that folder will have, by its recipe; None where it has no recipe."""
    recipe = _recipe(config.folder)
    if recipe is None:
        return None
    return (getattr(recipe.task, "ctc_units", None) if config.ctc else None) or recipe.task.units


def _recipe(folder: str | Path) -> Recipe | None:
    return read_recipe(folder) if (Path(folder) / RECIPE).is_file() else None
