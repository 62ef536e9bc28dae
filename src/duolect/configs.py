"""Frozen, typed configs to JSON and back; whatever does not fit is one sentence that names the field."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from duolect.errors import ConfigError

Config = TypeVar("Config")

UNSET: Any = object()
"""Stands in for a field that has no default."""


def to_json(config: Any) -> Any:
    """A config (dataclass, tuple, dict or scalar) as plain JSON values, field order kept."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    if isinstance(config, Mapping):
        return {str(key): to_json(value) for key, value in config.items()}
    if isinstance(config, Path):
        return str(config)
    return config


def config_hash(config: Any) -> str:
    """16 hex digits that change whenever any value of the config changes."""
    text = json.dumps(to_json(config), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def from_json(cls: type[Config], mapping: Any, where: str = "config") -> Config:
    """Build `cls` from plain JSON values, strictly.

    `where` is the place named in messages (a file name, then dotted fields).
    Raises ConfigError for an unknown key (with the nearest known one), a missing key, or a value of the wrong type.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: expected an object with the fields of {cls.__name__}, found {_show(mapping)}.")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # ty: ignore[invalid-argument-type]
    for key in mapping:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}."
            raise ConfigError(f"{where}: unknown field {key!r}; {hint}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in mapping.items()}
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in values and no_default:
            raise ConfigError(f"{where}: the field {name!r} of {cls.__name__} is missing.")
    return cls(**values)


def other_kind(cls: Any, settings: Any, path: Sequence[str], kind: str) -> dict[str, Any] | None:
    """The fields that the part at `path` of `settings`, a `cls` as plain JSON values, would have if it were of `kind`.

    All have their defaults, and those that have none are `UNSET`. None where the part is of this kind already, or has
    no such kind.
    """
    classes: Sequence[Any] = (cls,)
    for key in path:
        hint = typing.get_type_hints(class_of(classes, settings))[key]
        classes = [a for a in (hint, *get_args(hint)) if dataclasses.is_dataclass(a)]
        settings = settings[key]
        if not isinstance(settings, Mapping) or not classes:
            return None
    found = [a for a in classes if kind in _kinds(a)]
    if not found or found[0] is class_of(classes, settings):
        return None
    fields: dict[str, Any] = {"kind": kind}
    for field in dataclasses.fields(found[0]):
        value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        fields.setdefault(field.name, UNSET if value is dataclasses.MISSING else to_json(value))
    return fields


def class_of(classes: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """The dataclass, of several, that an object of plain JSON values is one of by its kind; else the first."""
    return next((a for a in classes if settings.get("kind") in _kinds(a)), classes[0])


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain JSON value can be that of a field declared as `hint`."""
    try:
        _convert(hint, value, "")
    except ConfigError:
        return False
    return True


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} must be one of {', '.join(map(repr, arguments))}, not {_show(value)}.")
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, not {_show(value)}.")
        if origin is tuple and Ellipsis not in arguments:
            if len(value) != len(arguments):
                raise ConfigError(f"{where} must have {len(arguments)} entries, not {len(value)}.")
            return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))
        return origin(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict or origin is Mapping or hint is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be an object, not {_show(value)}.")
        return {k: _convert(arguments[1], v, f"{where}.{k}") if arguments else v for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_json(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    others = [a for a in arguments if a is not type(None)]
    tagged = {k: a for a in others if dataclasses.is_dataclass(a) for k in _kinds(a)}
    if isinstance(value, Mapping) and len(others) > 1 and tagged:
        kind = value.get("kind", _default_kind(others[0]))
        if kind not in tagged:
            known = ", ".join(map(repr, tagged))
            raise ConfigError(f"{where}: kind must be one of {known}, not {kind!r}.")
        return from_json(tagged[kind], value, where)
    for argument in others[:-1]:
        try:
            return _convert(argument, value, where)
        except ConfigError:
            continue
    return _convert(others[-1], value, where)


def _default_kind(cls: Any) -> str | None:
    """What an object without a kind is taken for: configs were written before there was more than one class."""
    return getattr(cls, "kind", None) if dataclasses.is_dataclass(cls) else None


def _kinds(cls: Any) -> tuple[str, ...]:
    hint = typing.get_type_hints(cls).get("kind")
    return get_args(hint) if get_origin(hint) is Literal else ()


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {hint.__name__}, not {_show(value)}.")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number, not {value}.")
    return value
