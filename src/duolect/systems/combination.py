"""Systems out of parts: which search suits which parts, and several trained systems joined into one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from duolect.errors import SystemFolderError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.systems.components import KINDS, TITLES, Component, written
from duolect.systems.config import SearchConfig
from duolect.systems.folder import read_component, read_settings, system_folder, write_settings
from duolect.systems.system import System
from duolect.text import HuggingFaceUnits

PREFERRED = ("ctc+lm-rescoring", "attention+ctc", "attention", "speech-llm", "ctc-greedy")
"""The search a system gets when none is chosen: the first of these that its parts can run."""

Part = Component | System | str | os.PathLike[str]


def combine(
    *,
    acoustic: Part | None = None,
    language: Part | None = None,
    speech_llm: Part | None = None,
    search: SearchConfig | str | None = None,
    device: str = "cpu",
) -> System:
    """One system out of trained parts: components, systems, or system and run folders (whose like-named component is
    taken).

    `search`: settings, the name of a method, or None for `default_method`. Scales tuned for a part's own system are
    left behind, since they belong to its models. Raises UnitsError where models that must share their units (all those
    inside the first pass) do not, SystemFolderError where a part lacks its component.
    """
    given = {"acoustic": acoustic, "language": language, "speech_llm": speech_llm}
    parts = {name: _component(name, part, device) for name, part in given.items() if part is not None}
    return make_system(parts, search)


def pretrained_language(source: str | os.PathLike[str], *, lowercase: bool = False) -> Component:
    """A Hugging Face causal LM, by folder or hub name, as it is: a language model in its own units.

    `lowercase`: its tokeniser gets text in lower case. Raises UnitsError or ModelError where it cannot be loaded.
    """
    units = HuggingFaceUnits(source, lowercase=lowercase)
    llm = LLMConfig(vocabulary=units.size, source=str(source))
    return Component(
        model=LanguageModel(LanguageConfig(llm=llm, bos_id=units.bos_id, eos_id=units.eos_id)), units=units
    )


def make_system(parts: Mapping[str, Component], search: SearchConfig | str | None = None) -> System:
    """A system of components; `search` as in `combine`."""
    system = System.of(parts)
    if isinstance(search, str):
        return system.with_method(search)
    if search is not None:
        return system.with_search(search)
    name = default_method(parts)
    return system if name is None else system.with_method(name)


def default_method(parts: Mapping[str, Component]) -> str | None:
    """The first method of `PREFERRED` that the parts can run; None where nothing listens.

    Where a part translates, the first that does so.
    """
    system = System.of(parts)
    methods = system.methods()
    able = [name for name in PREFERRED if name in methods]
    translating = [name for name in able if written(parts, system.search_of(name)) == "translation"]
    return next(iter(translating or able), None)


def write_single(folder: str | os.PathLike[str], kind: str, search: SearchConfig | str | None = None) -> System:
    """Turn `folder`, which holds one trained component in its subfolder `kind`, into a system folder; give that system.

    `search`: as in `combine`. Raises SystemFolderError where the component is incomplete.
    """
    if kind not in KINDS:
        raise SystemFolderError(f"{folder}: unknown component {kind!r}; known are {', '.join(KINDS)}.")
    system = make_system({kind: read_component(Path(folder) / kind, kind)}, search)
    write_settings(folder, system.contents)
    return system


def _component(name: str, part: Part, device: str) -> Component:
    if isinstance(part, Component):
        return part
    if isinstance(part, System):
        component = getattr(part, name)
        if component is None:
            raise SystemFolderError(
                f"{name}: the given system has no component {name!r}; it has {', '.join(part.parts)}."
            )
        return component
    folder = system_folder(part)
    stored = read_settings(folder)["components"]
    if name not in stored:
        raise SystemFolderError(f"{folder}: holds no {TITLES[name][4:]}, only {', '.join(stored)}.")
    return read_component(folder / name, name, device)
