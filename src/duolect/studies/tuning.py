"""Tune on dev, several methods or settings side by side; what stands for the same models and set is taken up again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console

from duolect.data import load_manifest
from duolect.errors import DuolectError
from duolect.reports.progress import StageBar
from duolect.systems import METHODS, NBEST, ROUNDS, SearchConfig, System, TuningRecord, load, tune, utterance_set_hash


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is tuned: a method, with other settings of its search than its own and without some terms, where given."""

    method: str
    search: SearchConfig | None = None
    without: tuple[str, ...] = ()
    rounds: int = ROUNDS
    nbest: int = NBEST


def tune_side_by_side(
    folder: Path, wanted: Mapping[str, Tuning], dev: Path, console: Console, workers: int
) -> Iterator[tuple[str, TuningRecord]]:
    """The record of each, by its name, as they are ready: the system in `folder` tuned on the manifest `dev`.

    Each of the `workers` processes holds the models and has one core to itself.
    """
    if not wanted:
        return
    with (
        StageBar(console, f"tuning {', '.join(wanted)}") as advance,
        ProcessPoolExecutor(min(workers, len(wanted)), mp_context=get_context("spawn")) as pool,
    ):
        jobs = {pool.submit(_tune, folder, tuning, dev): name for name, tuning in wanted.items()}
        for done, job in enumerate(as_completed(jobs), 1):
            name, record = jobs[job], job.result()
            scales = "  ".join(
                f"{term} {getattr(record.search.scales, term):.2f}" for term in record.search.scales.active
            )
            console.print(
                f"  {name}: {scales}; WER on dev {100 * record.wer_before:.1f} → {100 * record.wer_after:.1f} %"
                f" in {len(record.rounds) - 1} rounds",
                highlight=False,
            )
            advance(done, len(wanted))
            yield name, record


def tuned_system(
    system: System,
    methods: Sequence[str],
    dev: Path,
    folder: Path,
    console: Console,
    rounds: int = ROUNDS,
    nbest: int = NBEST,
) -> System:
    """`system` with the scales of every method of `methods` that has some, tuned on the manifest `dev`.

    It is saved in `folder` after each method; records there that belong to these models and this set are kept. There is
    a process for each core: a search of models so small that all of them are tuned here does not fill two.
    """
    kept = _records(system, folder, utterance_set_hash(load_manifest(dev)))
    names = [name for name in methods if METHODS[name].tuned]
    for name in names:
        if name in kept:
            system = system.with_tuning(kept[name])
    system.save(folder)
    missing = {name: Tuning(method=name, rounds=rounds, nbest=nbest) for name in names if name not in kept}
    for _, record in tune_side_by_side(folder, missing, dev, console, os.cpu_count() or 1):
        system = system.with_tuning(record)
        system.save(folder)
    for name in names:  # whichever was ready first, the folder is the same
        system = system.with_tuning(system.tuned[name])
    system.save(folder)
    return dataclasses.replace(system, folder=folder)


def _tune(folder: Path, tuning: Tuning, dev: Path) -> TuningRecord:
    """In a process of its own."""
    torch.set_num_threads(1)
    return tune(
        load(folder),
        load_manifest(dev),
        tuning.method,
        search=tuning.search,
        without=tuning.without,
        rounds=tuning.rounds,
        nbest=tuning.nbest,
        set_name=str(dev),
    ).record


def _records(system: System, folder: Path, set_hash: str) -> Mapping[str, TuningRecord]:
    if not (folder / "system.json").exists():
        return {}
    try:
        saved = load(folder)
    except DuolectError:
        return {}
    if {n: p.fingerprint() for n, p in saved.parts.items()} != {n: p.fingerprint() for n, p in system.parts.items()}:
        return {}
    return {name: record for name, record in saved.tuned.items() if record.set_hash == set_hash}
