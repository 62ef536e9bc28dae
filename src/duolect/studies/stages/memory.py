"""The stage that measures what the audio costs an LLM in memory: keys and values of a beam of hypotheses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console

from duolect.audio.files import SAMPLE_RATE
from duolect.data import load_manifest
from duolect.data.loader import collate
from duolect.errors import DuolectError
from duolect.models import SpeechLLM, key_value_bytes
from duolect.storage import write_json
from duolect.studies.stages.base import Stage
from duolect.studies.stages.training import SYSTEM
from duolect.studies.study import FACTS
from duolect.systems import load


@dataclass(frozen=True, kw_only=True)
class KeyValues(Stage):
    """Keys and values that a speech LLM holds for each second of audio, in KiB, as FACTS: those of `beam` hypotheses of
    so many `labels` for the first `utterances` of test."""

    kind: ClassVar[str] = "key-values"
    rooms: ClassVar[tuple[str, ...]] = ("audio", "data", "nn", "models")

    system: Stage
    corpus: Stage
    beam: int = 4
    labels: int = 16
    utterances: int = 16

    def uses(self) -> Mapping[str, Stage]:
        """System and test set."""
        return {"system": self.system, "corpus": self.corpus.part("test")}

    def settings(self) -> Any:
        """Of what they are counted."""
        return {"beam": self.beam, "labels": self.labels, "utterances": self.utterances}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Count them. Raises DuolectError where the system has no speech LLM."""
        component = load(inputs["system"] / SYSTEM).speech_llm
        if component is None:
            raise DuolectError(f"{self.name}: {self.system.name} has no speech LLM.")
        model = component.model
        assert isinstance(model, SpeechLLM)
        batch = collate(load_manifest(inputs["corpus"] / "test.jsonl")[: self.utterances], None)
        with torch.inference_mode():
            encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
            _, state = model.start(encoded, len(encoded))
            state = model.select(state, torch.arange(len(encoded)).repeat_interleave(self.beam))
            for _ in range(self.labels):
                _, state = model.step(state, torch.full((self.beam * len(encoded), 1), model.eos_id))
        seconds = float(batch.sample_lengths_B.sum()) / SAMPLE_RATE
        write_json(folder / FACTS, {"KV/s": f"{key_value_bytes(state) / 1024 / seconds:.1f}"})
