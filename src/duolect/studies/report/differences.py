"""In which settings the systems of a table differ, each from the row that it is tested against."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from duolect.studies.report.results import EntryResult, StudyResult
from duolect.studies.stages import Stage
from duolect.studies.study import Entry

_LONGEST = 60
Settings = dict[str, Any]


def differences(result: StudyResult) -> dict[str, list[str]]:
    """Entry → sentences "field: value of the one it is tested against → its own"; empty lists where nothing but the
    name differs."""
    settings = {row.entry.name: _settings(row) for row in result.rows}
    bases = {row.entry.name: result.study.base(row.entry) for row in result.rows}
    return {name: list(_against(settings[base.name], settings[name])) for name, base in bases.items() if base}


def differences_title(result: StudyResult) -> str:
    """What the rows are shown against, in a sentence."""
    bases = result.study.bases
    return f"Each row against {bases[0] if len(bases) == 1 else 'the one it is tested against'}."


def _settings(row: EntryResult) -> Settings:
    """Of its first seed, by dotted names; and those of the search that was run, where it was."""
    found = settings_of(row.entry)
    run = next(iter(row.runs.values()), None)
    if run is not None:
        # How scales were found is in the settings of the stage that tuned them; here they are as they were used.
        searched = {name: value for name, value in run.record.search.items() if name != "tuning"}
        found |= dict(_flat(searched, "search"))
    return found


def settings_of(entry: Entry) -> Settings:
    """The settings of the stages of an entry's first run: of the nearest stage where a part has several."""
    found: Settings = {}
    waiting: list[tuple[str, Stage]] = [("", next(iter(entry.runs.values())))]
    seen: set[str] = set()
    while waiting:  # the nearest first
        role, stage = waiting.pop(0)
        label = stage.kind if role in ("", "system") else role
        if label not in seen:
            seen.add(label)
            found |= dict(_flat(stage.settings(), label))
        waiting += stage.uses().items()
    return found


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    else:
        yield path, value


def _against(first: Settings, own: Settings) -> Iterator[str]:
    """Parts that only one of the two has are named, not listed."""
    parts, others = ({name.partition(".")[0] for name in settings} for settings in (first, own))
    for part in sorted(parts - others):
        yield f"{part}: not here"
    for part in sorted(others - parts):
        yield f"{part}: only here"
    common = parts & others
    for name in dict.fromkeys([*first, *own]):
        if name.partition(".")[0] in common and first.get(name) != own.get(name):
            yield f"{name}: {_shown(first, name)} → {_shown(own, name)}"


def _shown(settings: Settings, name: str) -> str:
    if name not in settings:
        return "–"
    text = json.dumps(settings[name], ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
