"""Arguments that reach any field of a config: of a recipe, `--loop.steps 100 --task.batches.max-seconds 80`, or of a
search, `--search.beam 32 --search.inside.lm 0.4`.

A value is JSON where it is JSON that fits the field (numbers, true, null, [1, 2], {"kind": …}), else text; several
values make a list. Where a field is a dictionary, the rest of the name, as it is typed, is one key of it:
`--optimiser.freeze-until.^llm\\. 50`.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from duolect.configs import UNSET, class_of, fits, from_json, other_kind, to_json
from duolect.errors import ConfigError

if TYPE_CHECKING:
    from duolect.systems import System

Config = TypeVar("Config")

_SEARCH = "--search."
_PYTHON = {"True": True, "False": False, "None": None}


@dataclass(frozen=True)
class Option:
    """An option as typed: its name without dashes, with underscores, and the values that follow it."""

    name: str
    values: tuple[str, ...]
    tokens: tuple[str, ...]


def options(arguments: Sequence[str]) -> list[Option]:
    """Group arguments by option. Raises ConfigError for a value before the first option."""
    groups: list[list[str]] = []
    for argument in arguments:
        if argument.startswith("--") or argument == "-h":
            groups.append([argument])
        elif groups:
            groups[-1].append(argument)
        else:
            raise ConfigError(f"{argument!r} belongs to no option; options begin with two dashes.")
    return [_option(group) for group in groups]


def _option(tokens: list[str]) -> Option:
    name, equals, value = tokens[0].partition("=")
    values = [value, *tokens[1:]] if equals else tokens[1:]
    return Option(name.lstrip("-").replace("-", "_"), tuple(values), tuple(tokens))


def is_override(option: Option, taken: Iterable[str]) -> bool:
    """Whether it names a field of the recipe; `taken`: the names that mean something else."""
    from duolect.training import Recipe

    return "." in option.name or (option.name in {f.name for f in fields(Recipe)} and option.name not in taken)


def override(config: Config, given: Iterable[Option], what: str = "recipe") -> Config:
    """The config with these fields changed. Raises ConfigError naming the field that is unknown or does not fit.

    A part that is given another `kind` has the defaults of that kind; its fields may be set beside it.
    """
    return from_json(type(config), _changed(config, given, what), what)


def search_options(arguments: Sequence[str]) -> tuple[list[str], list[Option]]:
    """The arguments without `--search.FIELD VALUE`, and these as options that are named by the field."""
    rest: list[str] = []
    found: list[Option] = []
    tokens = iter(arguments)
    for token in tokens:
        if not token.startswith(_SEARCH):
            rest.append(token)
            continue
        group = [token] if "=" in token else [token, *itertools.islice(tokens, 1)]
        option = _option(group)
        found.append(dataclasses.replace(option, name=option.name.removeprefix("search.")))
    return rest, found


def override_search(system: System, given: Sequence[Option]) -> System:
    """The system with these fields of its search changed; scales that were tuned stay, and are tuned ones no more where
    they are changed. A beam that is set narrower than the n-best list shortens that.

    Raises ConfigError where there is no search, or a field is unknown, does not fit, or has no effect on the search.
    """
    if not given:
        return system
    from duolect.systems.effects import require_effect

    if system.search is None:
        raise ConfigError("--search: the system has no search whose fields could be set; name a --method.")
    settings = _changed(system.search, given, "search")
    if not any(option.name == "nbest" for option in given) and isinstance(settings["beam"], int):
        settings["nbest"] = min(settings["nbest"], max(settings["beam"], 1))
    search = from_json(type(system.search), settings, "search")
    require_effect(search, (option.name for option in given))
    return system.with_search(search, system.method)


def flat(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every field of a recipe's JSON form."""
    if isinstance(settings, dict) and settings:
        for key, value in settings.items():
            yield from flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, settings


def _changed(config: Any, given: Iterable[Option], what: str) -> dict[str, Any]:
    """The config as JSON values, these fields changed."""
    settings = to_json(config)
    # Kinds come first, from the outside to the inside: the other fields are theirs.
    for option in sorted(given, key=lambda option: option.name.count(".") if _names_kind(option) else math.inf):
        place, key, hint = _place(type(config), settings, option, what)
        value = _value(option.values, hint)
        if _names_kind(option) and (fields := other_kind(type(config), settings, option.name.split(".")[:-1], value)):
            place.clear()
            place.update(fields)
        place[key] = value
    return _without_unset(settings)


def _names_kind(option: Option) -> bool:
    return option.name.endswith(".kind")


def _without_unset(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {key: _without_unset(value) for key, value in settings.items() if value is not UNSET}


def _place(cls: Any, settings: dict[str, Any], option: Option, what: str) -> tuple[dict[str, Any], str, Any]:
    """The object that an option's field is of, the field's key in it, and its declared type."""
    if not option.values:
        raise ConfigError(f"{option.tokens[0]}: a value is missing.")
    path, place, hint = option.name.split("."), settings, cls
    for number, key in enumerate(path):
        mapping = next((a for a in _alternatives(hint) if (get_origin(a) or a) in (dict, Mapping, Any)), None)
        if mapping is not None and isinstance(place, dict):  # its keys are the user's own
            typed = option.tokens[0].partition("=")[0].split(".")
            return place, ".".join(typed[number - len(path) :]), (*get_args(mapping), Any, Any)[1]
        _require_field(place, key, ".".join(path[:number]), what, option)
        classes = [a for a in _alternatives(hint) if dataclasses.is_dataclass(a)]
        inner = get_type_hints(class_of(classes, place)).get(key, Any)
        if number == len(path) - 1:
            return place, key, inner
        place, hint = place[key], inner
    raise AssertionError("a name has at least one part")


def _require_field(place: Any, key: str, where: str, whole: str, option: Option) -> None:
    what, typed = where or f"a {whole}", option.tokens[0].split("=")[0]
    if not isinstance(place, dict):
        now = "not given" if place is UNSET else json.dumps(place)
        raise ConfigError(f"{typed}: {what} is {now} and has no fields; give it whole, as JSON, first.")
    if key not in place:
        near = difflib.get_close_matches(key, place, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(place)}."
        raise ConfigError(f"{typed}: {what} has no field {key!r}; {hint}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union; the type itself where it is none."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _value(texts: Sequence[str], hint: Any) -> Any:
    lists = next((a for a in _alternatives(hint) if get_origin(a) in (tuple, list)), None)
    if lists is None:
        return _read(texts[0], hint) if len(texts) == 1 else [_read(text, Any) for text in texts]
    each, *others = get_args(lists)
    endless = not others or others == [...]
    hints = itertools.repeat(each) if endless else itertools.chain((each, *others), itertools.repeat(Any))
    entries = [_read(text, hint) for text, hint in zip(texts, hints, strict=False)]
    if len(texts) > 1:
        return entries
    value = _read(texts[0], hint)
    if value is None:  # no list of that word
        return value
    return entries if not fits(value, hint) and (fits(entries, hint) or not isinstance(value, list)) else value


def _read(text: str, hint: Any) -> Any:
    """The text as JSON where that fits the type, or the text itself does not."""
    if hint is str:
        return text
    try:
        value = _PYTHON[text] if text in _PYTHON else json.loads(text)
    except ValueError:
        return text
    return text if fits(text, hint) and not fits(value, hint) else value
