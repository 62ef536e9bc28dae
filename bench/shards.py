"""Training on parquet shards in place: does anything grow with the hours?

    python -m bench.shards [--shards 20 200 2000] [--write]

Corpora of more and more shards with the same row groups; in each: how long the first batch takes, how long the next
batch takes when a run is taken up in the middle of an epoch, how large its state is, and the most memory of a process
that goes through half an epoch. Each figure comes from processes of their own; the sizes take turns. The shards are a
few files under many names (hard links), so they are read from the system's memory: no disk is measured.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.common import machine, markdown_table, paragraph, progress, write_results, write_section

ROWS, GROUP, SECONDS = 400, 100, 10.0
DISTINCT = 4  # shards with content of their own
SOUNDS = 16  # different ones in a shard
BUFFER, OPEN, BATCH_SECONDS = 4000, 8, 400.0


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="renew the section of docs/benchmarks.md")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "STATE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(_measure(*asked.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpora = make_corpora(Path(folder), asked.shards)
        middles = {}
        for count, corpus in corpora.items():
            progress(f"half an epoch of {count} shards")
            middles[count] = _in_a_process(corpus, "half")
        turns: dict[int, list[dict[str, Any]]] = {count: [] for count in corpora}
        for turn in range(asked.repetitions):
            for count, corpus in corpora.items():
                progress(f"{count} shards, turn {turn + 1}")
                start = _in_a_process(corpus, "null")
                resumed = _in_a_process(corpus, json.dumps(middles[count]["state"]))
                turns[count].append({"start": start, "resumed": resumed})
    facts = machine()
    results = [_row(count, middles[count], turns[count]) for count in corpora]
    body = markdown_table(HEAD, [_shown(row) for row in results]) + "\n" + paragraph(NOTE)
    print(body)
    if asked.write:
        write_results("shards", {"machine": facts, "rows": results})
        write_section(
            "shards", "Training on parquet shards", body, command="python -m bench.shards --write", facts=facts
        )


HEAD = ("shards", "hours", "first batch", "batch behind the middle", "state", "memory, start", "memory, half an epoch")
NOTE = f"""Medians. Shards of {ROWS} utterances of {SECONDS:g} s on average, in row groups of {GROUP}; a buffer of
{BUFFER} utterances, {OPEN} shards open at a time, batches of {BATCH_SECONDS:g} s. Times are from nothing to tensors,
Python's modules imported, the shards in the system's memory; memory is the process's peak, interpreter and torch
included."""


def make_corpora(folder: Path, counts: Sequence[int]) -> dict[int, Path]:
    """For each number of shards a folder with that many: hard links to a few files."""
    import pyarrow
    from pyarrow import parquet

    made = np.random.default_rng(0)
    originals = []
    for number in range(DISTINCT):
        sounds = [_encoded(made, SECONDS * made.uniform(0.5, 1.5)) for _ in range(SOUNDS)]
        chosen = made.integers(0, SOUNDS, ROWS).tolist()
        table = pyarrow.table(
            {
                "ID": [f"{number}-{row}" for row in range(ROWS)],
                "duration": [sounds[i][1] for i in chosen],
                "wav": [{"bytes": sounds[i][0], "path": None} for i in chosen],
                "spk_id": [f"speaker{row % 9}" for row in range(ROWS)],
                "sex": ["female"] * ROWS,
                "text": ["and what is said in it is of no importance here"] * ROWS,
            }
        )
        originals.append(folder / f"original-{number}.parquet")
        parquet.write_table(table, originals[-1], row_group_size=GROUP)
    corpora = {}
    for count in counts:
        corpora[count] = folder / str(count)
        corpora[count].mkdir()
        for number in range(count):
            os.link(originals[number % DISTINCT], corpora[count] / f"train-{number:05d}.parquet")
    return corpora


def _encoded(made: np.random.Generator, seconds: float) -> tuple[bytes, float]:
    """A quiet sound as FLAC, a tenth of what it is as samples, and its seconds."""
    import soundfile

    samples = made.integers(-1, 2, round(seconds * 16_000)).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="FLAC", subtype="PCM_16")
    return file.getvalue(), len(samples) / 16_000


def _in_a_process(corpus: Path, state: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.shards", "--measure", str(corpus), state]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(corpus: str, state: str) -> dict[str, Any]:
    """Seconds to the first batch of an epoch, or to the next one from a state; for "half", through half an epoch."""
    import torch

    from duolect.data import BatchConfig, SpeechLoader
    from duolect.data.shards import ShardBatches, Shards, ShardsConfig, list_shards

    torch.set_num_threads(1)
    config = BatchConfig(max_seconds=BATCH_SECONDS)
    shards = ShardsConfig(buffer=BUFFER, open_shards=OPEN)
    begun = time.perf_counter()
    paths = list_shards([corpus])
    batches = ShardBatches(Shards(paths, shards), config)
    if state == "half":
        due, seconds = len(paths) * ROWS / 2, 0.0
        for batch in batches:
            due -= len(batch.utterances)
            seconds += sum(utterance.duration for utterance in batch.utterances)
            if due <= 0:
                break
        return {"state": batches.state_dict(), "memory": _peak(), "hours": seconds / 1800}
    if (place := json.loads(state)) is not None:
        batches.load_state_dict(place)
    next(iter(SpeechLoader(batches, None)))
    return {"seconds": time.perf_counter() - begun, "memory": _peak()}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _row(count: int, middle: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "shards": count,
        "hours": middle["hours"],
        "first_batch_s": median(turn["start"]["seconds"] for turn in turns),
        "resumed_batch_s": median(turn["resumed"]["seconds"] for turn in turns),
        "state_bytes": len(json.dumps(middle["state"])),
        "memory_start": median(turn["start"]["memory"] for turn in turns),
        "memory_half": middle["memory"],
    }


def _shown(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['shards']:,}",
        f"{row['hours']:,.0f}",
        f"{row['first_batch_s']:.2f} s",
        f"{row['resumed_batch_s']:.2f} s",
        f"{row['state_bytes']} bytes",
        f"{row['memory_start'] / 1e6:,.0f} MB",
        f"{row['memory_half'] / 1e6:,.0f} MB",
    ]


if __name__ == "__main__":
    main()
