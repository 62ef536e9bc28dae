"""What is to be compared, as a user names it: system folders, `FOLDER:METHOD`, hypothesis files, each with a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from duolect.errors import ConfigError
from duolect.evaluation.results import bare_name
from duolect.systems import METHODS, find_method, system_folder
from duolect.systems.lines import runnable_methods

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One thing to compare: a system folder under a method (None: its own), or a file of hypotheses."""

    name: str
    path: Path
    method: str | None = None
    file: bool = False

    @property
    def slug(self) -> str:
        """The name as a part of a file name."""
        return re.sub(r"[^\w.+-]+", "-", self.name).strip("-.") or "system"


def distinct_slugs(sources: Sequence[Source]) -> dict[str, str]:
    """Source name → its slug, with a number where others have the same, so that no two share a file.

    Upper and lower case are the same here, as they are to some file systems.
    """
    times = Counter(source.slug.lower() for source in sources)
    taken = {slug for slug, often in times.items() if often == 1}
    found = {}
    for source in sources:
        slug = source.slug
        if times[slug.lower()] > 1:
            numbered = (f"{source.slug}-{number}" for number in count(1))
            slug = next(each for each in numbered if each.lower() not in taken)
            taken.add(slug.lower())
        found[source.name] = slug
    return found


def sources_of(
    specs: Sequence[str], methods: Sequence[str] = (), runnable: Callable[[Path], list[str]] = runnable_methods
) -> list[Source]:
    """The sources that `specs` name: FOLDER, FOLDER:METHOD, HYPS.jsonl, each with NAME= before it if wished.

    methods: for folders without one, a source each; ("all",): those the system can run, as `runnable` finds them.
    Names are made of folders and methods, as short as they can be told apart. Raises ConfigError for what is neither
    folder nor file, for an unknown method, and for something named twice.
    """
    if not specs:
        raise ConfigError("there is nothing to compare; name system folders or hypothesis files.")
    for method in methods:
        if method != ALL:
            find_method(method)
    found: list[Source] = []
    given: list[bool] = []
    for spec in specs:
        name, path, method = _parse(spec)
        if path.is_file():
            found.append(Source(name=name or bare_name(path), path=path, file=True))
            given.append(bool(name))
            continue
        path = system_folder(path)
        wanted: Sequence[str | None] = [method] if method else list(methods) or [None]
        if ALL in wanted:
            able = runnable(path)
            wanted = [each for each in METHODS if each in able]
        for each in wanted:
            own = name if name and len(wanted) == 1 else f"{name or _label(path)}:{each}" if each else _label(path)
            found.append(Source(name=own, path=path, method=each))
            given.append(bool(name))
    return _distinct(found, given)


def _parse(spec: str) -> tuple[str, Path, str | None]:
    """(name or "", path, method or None)."""
    if Path(spec).exists():
        return "", Path(spec), None
    name, equals, rest = spec.partition("=")
    if equals and name and "/" not in name:
        return name, *_parse(rest)[1:]
    folder, colon, method = spec.rpartition(":")
    if colon and Path(folder).is_dir():
        find_method(method)
        return "", Path(folder), method
    raise ConfigError(f"{spec}: there is no such system folder or hypothesis file.")


def _label(path: Path, parents: int = 0) -> str:
    """The folder's name, without a last "system", with `parents` folders above it."""
    parts = [part for part in path.absolute().parts if part != path.anchor]
    if len(parts) > 1 and parts[-1] == "system":
        parts = parts[:-1]
    return "/".join(parts[-1 - parents :])


def _distinct(found: Sequence[Source], given: Sequence[bool]) -> list[Source]:
    twice = [key for key, times in Counter((s.path.resolve(), s.method) for s in found).items() if times > 1]
    if twice:
        path, method = twice[0]
        raise ConfigError(f"{path}{f':{method}' if method else ''}: is to be compared with itself; name it once.")
    sources = list(found)
    for parents in range(1, 12):
        names = Counter(source.name for source in sources)
        if max(names.values()) == 1:
            return sources
        for n, source in enumerate(sources):
            if names[source.name] > 1 and not given[n]:
                label = _label(source.path.with_name(bare_name(source.path)) if source.file else source.path, parents)
                sources[n] = replace(source, name=f"{label}:{source.method}" if source.method else label)
    again = next(name for name, times in Counter(s.name for s in sources).items() if times > 1)
    raise ConfigError(f"two of the systems are named {again!r}; give them others with NAME=….")
