"""`duolect train`: from a recipe to a trained system, or on with a run that was interrupted."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from duolect.cli.arguments import PathOption, console, parse, require_writable, say
from duolect.cli.overrides import Option, flat, is_override, options, override
from duolect.errors import ConfigError, DuolectError

if TYPE_CHECKING:
    from duolect.training import Recipe

USAGE = """usage: duolect train RECIPE [--out RUN] [--device D] [--show | --dry-run] [arguments of the recipe]
                              [--field value ...]
       duolect train RUN                 go on with an interrupted run (a finished one is left as it is)
       duolect train --list              the built-in recipes

RECIPE is a built-in recipe's name, a Python file (FILE.py, or FILE.py:FUNCTION; the function is `recipe` by default and
returns a duolect.training.Recipe), or a run folder.

  duolect train RECIPE --help            the recipe, and its arguments
  duolect train RECIPE ... --show        every field of the config with its value; nothing is trained
  duolect train RECIPE ... --dry-run     parameters by part, memory and operations of a step, what is missing

--train and --dev take manifests, or parquet shards in place: folders, files or patterns of them (docs/corpora.md).
Any field can be set by its dotted name: --loop.steps 100 --optimiser.lr 1e-3 --task.batches.max-seconds 80
Many processes: torchrun --nproc-per-node 8 -m duolect train RECIPE ...  (--loop.sharding fsdp2 divides the model)"""


@dataclass(frozen=True, kw_only=True)
class Train:
    """What every recipe takes."""

    out: PathOption = None
    """The run folder (default: runs/ and the recipe's name)."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    show: bool = False
    """Print every field of the config with its value, and train nothing."""
    dry_run: bool = False
    """Print parameters, memory and operations of a step, data and disk, and train nothing; data need not exist yet."""


_OWN = tuple(field.name for field in dataclasses.fields(Train))


def run(arguments: list[str]) -> int:
    """Run the command; see `USAGE`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--list":
        return _list()
    name, *rest = arguments
    if name.startswith("-"):
        raise ConfigError(f"the recipe comes before the options, but {name!r} came first; see `duolect train --help`.")
    given = options(rest)
    asked, recipe, out = _resume(name, given) if _is_folder(name) else _start(name, given)
    if asked.show:
        from duolect.configs import to_json

        print("\n".join(f"{field} = {_shown(value)}" for field, value in flat(to_json(recipe))))
        return 0
    if asked.dry_run:
        from duolect.cli.dry_run import lines
        from duolect.training import plan_training
        from duolect.training.distributed import compute_device

        print("\n".join(lines(plan_training(recipe, compute_device(cpu=asked.device == "cpu")))))
        return 0
    return _train(recipe, out, asked.device)


def _train(recipe: Recipe, out: Path, device: Literal["auto", "cpu"]) -> int:
    from duolect.training.run import is_finished

    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun has started
    # The probe makes folders and removes them, which must not happen to another process.
    if first and not is_finished(recipe, out):
        require_writable(out / "recipe.json")
    from duolect.training import TrainingInterrupted, train_recipe

    try:
        system = train_recipe(recipe, out, device=device, console=console(quiet=not first))
    except TrainingInterrupted as interrupted:
        say(f"duolect train: {interrupted}")
        return 130
    if first:
        print(f"system: {system}")
    return 0


def _list() -> int:
    from duolect.recipes import RECIPES

    width = max(map(len, RECIPES))
    for name, function in RECIPES.items():
        print(f"{name:<{width}}  {(inspect.getdoc(function) or '').splitlines()[0]}")
    return 0


def _is_folder(name: str) -> bool:
    from duolect.recipes import RECIPES

    return name not in RECIPES and Path(name).is_dir()


def _resume(name: str, given: Sequence[Option]) -> tuple[Train, Recipe, Path]:
    from duolect.training import read_recipe

    recipe = read_recipe(name)
    overrides = [option for option in given if is_override(option, _OWN)]
    rest = [token for option in given if option not in overrides for token in option.tokens]
    asked = parse(f"train {name}", Train, rest, description=f"Go on with the run {name}.")
    if asked.out is not None:
        raise ConfigError(f"{name} is a run folder, which is gone on with where it is; --out belongs to a new run.")
    return asked, override(recipe, overrides), Path(name)


def _start(name: str, given: Sequence[Option]) -> tuple[Train, Recipe, Path]:
    function = find_function(name)
    parameters = inspect.signature(function).parameters
    overrides = [option for option in given if is_override(option, [*_OWN, *parameters])]
    rest = [token for option in given if option not in overrides for token in option.tokens]
    taken = [parameter for parameter in parameters if parameter in _OWN]
    if taken:
        raise ConfigError(
            f"{name}: a recipe's argument cannot be named {taken[0]!r}, which `duolect train` itself takes."
        )
    values = dict(vars(parse(f"train {name}", _form(name, function), rest)))
    asked = Train(**{key: values.pop(key) for key in _OWN})
    recipe = _called(name, function, values)
    short = Path(name.rpartition(":")[0] or name).stem if ".py" in name else name
    return asked, override(recipe, overrides), asked.out or Path("runs") / short


def _form(name: str, function: Callable[..., Any]) -> type:
    """A dataclass with `Train`'s fields and the function's parameters, its docstring as description."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{name}: a recipe's arguments must have names, but it takes {parameter}.")
        kind = hints.get(parameter.name, str)
        has_default = parameter.default is not parameter.empty
        fields.append(
            (parameter.name, kind, dataclasses.field(default=parameter.default))
            if has_default
            else (parameter.name, kind)
        )
    form = dataclasses.make_dataclass("Arguments", fields, bases=(Train,), kw_only=True, frozen=True)
    form.__doc__ = inspect.getdoc(function) or name
    return form


def find_function(name: str) -> Callable[..., Recipe]:
    """The function behind a built-in recipe's name or FILE.py[:FUNCTION].

    Raises ConfigError where there is no such recipe or function, or the file cannot be run.
    """
    from duolect.recipes import RECIPES, find_recipe

    file, colon, function = name.rpartition(":")
    if not colon:
        file, function = name, "recipe"
    if name in RECIPES or not file.endswith(".py"):
        return find_recipe(name)
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such recipe file.")
    found = getattr(_loaded(path), function, None)
    if not callable(found):
        raise ConfigError(f"{path}: has no function {function!r}; name one as {path}:FUNCTION.")
    return found


def _loaded(path: Path) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except DuolectError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: not valid Python ({error.msg}).") from error
    except Exception as error:
        raise ConfigError(_fault(path, error)) from error
    return module


def _called(name: str, function: Callable[..., Any], values: dict[str, Any]) -> Recipe:
    from duolect.training import Recipe

    file = Path(inspect.getsourcefile(function) or name)
    built_in = function.__module__.startswith("duolect.")
    try:
        recipe = function(**values)
    except DuolectError:
        raise
    except Exception as error:
        if built_in:
            raise  # a bug of ours
        raise ConfigError(_fault(file, error)) from error
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{name}: must return a duolect.training.Recipe, not {type(recipe).__name__}.")
    return recipe


def _fault(path: Path, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    place = f"{path}:{lines[-1]}" if lines else str(path)
    return f"{place}: the recipe fails with {type(error).__name__}: {' '.join(str(error).split())}."


def _shown(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
