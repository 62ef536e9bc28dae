"""The stage that gives hypotheses, hyps.jsonl and its record: a system recognises a part of a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.configs import from_json, to_json
from duolect.reports.progress import StageBar
from duolect.studies.stages.base import Needs, Stage
from duolect.studies.stages.devices import device_of
from duolect.studies.stages.training import SYSTEM
from duolect.systems import SearchConfig, load
from duolect.systems.files import recognize_manifest
from duolect.systems.measurement import Measure

HYPOTHESES = "hyps.jsonl"


@dataclass(frozen=True, kw_only=True)
class Recognition(Stage):
    """A system under a method, with its tuned scales where it has some, and some settings of the search changed.

    `timed`: its speed is a result; it then has the machine to itself.
    """

    kind: ClassVar[str] = "recognition"
    rooms: ClassVar[tuple[str, ...]] = ("audio", "text", "data", "nn", "models", "search", "systems")

    system: Stage
    corpus: Stage
    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of SearchConfig, and of its parts as nested mappings."""
    split: str = "test"
    batch_seconds: float = 60.0
    prompt: str | None = None
    target_language: str | None = None
    timed: bool = True
    gpus: int = 0
    measure: Measure | None = None
    """What is measured beside it, in passes of its own: operations, and the latency of one utterance at a time."""

    @property
    def needs(self) -> Needs:
        return Needs(timed=self.timed, gpus=self.gpus)

    def uses(self) -> Mapping[str, Stage]:
        """System and what it hears."""
        return {"system": self.system, "corpus": self.corpus.part(self.split)}

    def settings(self) -> Any:
        """All fields but what is used."""
        measured = {} if self.measure is None else {"measure": to_json(self.measure)}
        return measured | {
            "method": self.method,
            "changes": to_json(dict(self.changes)),
            "split": self.split,
            "batch_seconds": self.batch_seconds,
            "prompt": self.prompt,
            "target_language": self.target_language,
            "timed": self.timed,
            "gpus": self.gpus,
        }

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Recognise; a timed run begins with an untimed batch."""
        system = load(inputs["system"] / SYSTEM, device_of(self)).with_method(self.method)
        if system.search is not None:
            system = dataclasses.replace(system, search=self.searched(system.search))
        if self.prompt is not None:
            system = system.with_prompt(self.prompt)
        with StageBar(console, f"recognising: {self.name}") as advance:
            recognize_manifest(
                system,
                inputs["corpus"] / f"{self.split}.jsonl",
                folder / HYPOTHESES,
                name=self.name,
                batch_seconds=self.batch_seconds,
                warm_up=self.timed,
                measure=self.measure,
                target_language=self.target_language,
                progress=advance,
                date=date.today().isoformat(),
            )

    def searched(self, search: SearchConfig) -> SearchConfig:
        """The search with the `changes`. Raises ConfigError where they do not go together."""
        settings = _merged(to_json(search), to_json(dict(self.changes)))
        return from_json(SearchConfig, settings, f"{self.name}: search")


def _merged(settings: Any, changes: Any) -> Any:
    if not isinstance(settings, dict) or not isinstance(changes, dict):
        return changes
    return settings | {name: _merged(settings.get(name), value) for name, value in changes.items()}
