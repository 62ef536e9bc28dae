"""A manifest recognised into a hypothesis file, with everything that made it."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch

from duolect import __version__
from duolect.configs import to_json
from duolect.data import load_manifest
from duolect.errors import SystemFolderError
from duolect.evaluation import RunRecord, processor_name, write_run
from duolect.storage import file_hash
from duolect.systems.batches import LONGEST_SECONDS
from duolect.systems.components import spelling_units
from duolect.systems.config import SearchConfig
from duolect.systems.measurement import Measure
from duolect.systems.recognition import Progress, Recognition
from duolect.systems.system import BATCH_SECONDS, System


def recognize_manifest(
    system: System,
    manifest: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = LONGEST_SECONDS,
    nbest: bool = False,
    warm_up: bool = False,
    measure: Measure | None = None,
    target_language: str | None = None,
    progress: Progress | None = None,
    command: str | None = None,
    date: str | None = None,
) -> Recognition:
    """Recognise `manifest` and write `out` (hyps.jsonl) with its sidecar `.run.json`, each whole or not at all.

    `name`: what to call the system (None: its folder, else its method); `target_language` and `measure`
    are as for `System.recognize`.
    The manifest is checked to its end before any audio is read. Raises ManifestError for a bad line, DuolectError where
    `out` cannot be written.
    """
    utterances = load_manifest(manifest)
    recognition = system.recognize(
        utterances,
        batch_seconds=batch_seconds,
        max_seconds=max_seconds,
        nbest=nbest,
        warm_up=warm_up,
        measure=measure,
        target_language=target_language,
        progress=progress,
    )
    record = run_record(
        system,
        recognition,
        name=name,
        manifest=Path(manifest),
        batch_seconds=batch_seconds,
        max_seconds=max_seconds,
        warm_up=warm_up or measure is not None,
        command=command,
        date=date,
    )
    rows = recognition.rows
    if recognition.tuned_on_this_set:
        rows = [dataclasses.replace(row, fields={**row.fields, "tuned_on_this_set": True}) for row in rows]
    write_run(out, rows, record)
    return recognition


def run_record(
    system: System,
    recognition: Recognition,
    *,
    name: str | None = None,
    manifest: Path | None = None,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = LONGEST_SECONDS,
    warm_up: bool = False,
    command: str | None = None,
    date: str | None = None,
) -> RunRecord:
    """Everything that made `recognition`: see `RunRecord`."""
    search = system.search
    if search is None:
        raise SystemFolderError("This system has no search, and so cannot have recognised anything.")
    settings: dict[str, Any] = {
        **to_json(search),
        "tuning": to_json(system.tuning),
        "tuned_on_this_set": recognition.tuned_on_this_set,
    }
    if max_seconds != LONGEST_SECONDS:
        settings["max_seconds"] = limit_name(max_seconds)
    if "speech_llm" in search.scales.active and system.speech_llm is not None:
        settings["prompts"] = to_json(system.speech_llm.model.prompts.first)
    timing = recognition.timing
    return RunRecord(
        system=name or (str(system.folder) if system.folder else system.method or "system"),
        config_hash=system.fingerprint(),
        target=recognition.target,
        method=system.method,
        search=settings,
        units=spelling_units(system.parts, search).fingerprint,
        manifest=None if manifest is None else str(manifest),
        manifest_hash=None if manifest is None else file_hash(manifest),
        batch=batch_name(batch_seconds),
        beam=search.beam,
        pruning=_pruning(search),
        device=device_name(system.device),
        precision=_precision(system, search),
        threads=torch.get_num_threads(),
        region=timing.region + ("; one warm-up batch before" if warm_up else "; no warm-up"),
        audio_seconds=timing.audio_seconds,
        wall_seconds=timing.wall_seconds,
        wall_seconds_with_files=recognition.timing_with_files.wall_seconds,
        stages=recognition.stages,
        flops=recognition.flops,
        latency=recognition.latency,
        parameters={part: sum(p.numel() for p in system.parts[part].model.parameters()) for part in search.parts()},
        host_memory=recognition.host_memory,
        device_memory=recognition.device_memory,
        statistics=recognition.statistics,
        skipped=tuple(recognition.skipped),
        command=command,
        date=date,
        versions={
            "duolect": __version__,
            "torch": torch.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
    )


def _precision(system: System, search: SearchConfig) -> str:
    """The types of the matrices that are multiplied: an LLM in bfloat16 may stand beside an encoder in float32."""
    models = [system.parts[part].model for part in search.parts()]
    kinds = {str(p.dtype).removeprefix("torch.") for model in models for p in model.parameters() if p.ndim > 1}
    return " + ".join(sorted(kinds))


def _pruning(search: SearchConfig) -> str:
    parts = [
        f"{'all' if search.labels_per_frame is None else search.labels_per_frame} labels a frame",
        f"{'all' if search.candidates is None else search.candidates} candidates for CTC",
    ]
    if search.no_repeat_ngram is not None:
        parts.append(f"no {search.no_repeat_ngram} labels in a row twice")
    if search.keep_labels is not None:
        parts.append(f"{search.keep_labels} labels an utterance, by the {search.keep_labels_by} of CTC")
    if search.collapse is not None:
        parts.append(f"frames collapsed at {search.collapse:g}, {search.collapse_how}")
    return ", ".join(parts)


def batch_name(batch_seconds: float) -> str:
    """What a record calls batches of that size."""
    return f"{batch_seconds:g} s of padded audio"


def limit_name(max_seconds: float) -> float | str:
    """What a record calls the longest utterance that is recognised; JSON has no infinity."""
    return max_seconds if math.isfinite(max_seconds) else "inf"


def device_name(device: torch.device) -> str:
    """What a record calls the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device} ({processor_name()})"
