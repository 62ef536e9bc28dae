"""Speed of every kind of system on a GPU: `python -m bench.gpu` (under 8 minutes; `--device cpu --tiny`: seconds).

An encoder of about 100 M parameters and an LLM of Qwen2-0.5B's shape, both with random weights, really run: on noise.
With random weights nothing is peaked and nothing ends; so the CTC head runs too, but the searches read made posteriors
(3 labels a second; their entropy and share of blank stand beside the table), and searches over labels end at that
number of labels. An LM that prefers nothing would make a search prefer few labels: a uniform prior, as heavy as the LM,
undoes it.

Needs torch and transformers, nothing else that is not in this repository: PYTHONPATH=src python -m bench.gpu
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch

from bench import common
from bench.gpu_systems import CTC_WEIGHT, FULL, LM_WEIGHT, SYSTEMS, TINY, Bench, Shape, System, Watch
from duolect.search import SearchStatistics

COMMAND = "python -m bench.gpu"


def measure(
    shape: Shape, device: torch.device, *, systems: Sequence[System] = SYSTEMS, turns: int = 3, seconds: float = 420.0
) -> dict[str, Any]:
    """Each system: a run to warm up, timed turns (fewer when the seconds run out), a watched one for the split."""
    begin = time.perf_counter()
    common.progress("models and posteriors")
    bench = Bench(shape, device)
    rows = []
    for system in systems:
        common.progress(f"{system.name}, beam {system.beam}")
        bench.run(system)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        found, statistics = [], SearchStatistics()
        taken: list[float] = []
        while not taken or (len(taken) < turns and time.perf_counter() - begin < seconds):
            started = time.perf_counter()
            found, statistics = bench.run(system)
            taken.append(time.perf_counter() - started)
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        watch = Watch(device)
        started = time.perf_counter()
        bench.run(system, watch)
        whole = time.perf_counter() - started
        parts = {part: watch.seconds.get(part, 0.0) / whole for part in ("encoder", "ctc", "llm")}
        times = common.Times(tuple(taken))
        rows.append(
            {
                "system": system.name,
                "beam": system.beam,
                "rtfx": bench.audio_seconds / times.median,
                "wanted_rtfx": system.wanted,
                **times.as_json(),
                "split": {**parts, "bookkeeping": 1 - sum(parts.values())},
                "llm_forwards": statistics.forwards,
                "llm_rows": statistics.rows,
                "llm_labels": statistics.labels,
                "labels_found": sum(len(h.labels) for h in found) / len(found),
                "peak_bytes": peak,
            }
        )
    return {
        "facts": common.machine(str(device)),
        "batch": {"utterances": shape.utterances, "seconds": shape.seconds, "labels_per_utterance": shape.labels},
        "parameters": {
            "encoder": sum(p.numel() for p in bench.speech.speech.parameters()),
            "llm": sum(p.numel() for p in bench.language.parameters()),
        },
        "labels_per_frame": shape.labels_per_frame,
        "posteriors": bench.posteriors.facts(),
        "rows": rows,
        "whole_seconds": time.perf_counter() - begin,
    }


def table(results: dict[str, Any]) -> str:
    """One line for each system."""
    head = ["System", "beam", "RTFx", "wanted", "encoder", "CTC", "LLM", "bookkeeping"]
    head += ["LLM calls", "rows a call", "labels into the LLM", "labels found", "peak GiB"]
    lines = []
    for row in results["rows"]:
        calls = row["llm_forwards"]
        lines.append(
            [
                row["system"],
                str(row["beam"]),
                f"**{row['rtfx']:.0f}**",
                f"{row['wanted_rtfx'] or ''}",
                *(f"{share:.0%}" for share in row["split"].values()),
                f"{calls or ''}",
                f"{row['llm_rows'] / calls:.0f}" if calls else "",
                f"{row['llm_labels'] or ''}",
                f"{row['labels_found']:.1f}",
                f"{row['peak_bytes'] / 2**30:.1f}" if row["peak_bytes"] else "",
            ]
        )
    return common.markdown_table(head, lines)


def setting(results: dict[str, Any]) -> str:
    """What was measured, in words."""
    batch, posteriors, sizes = results["batch"], results["posteriors"], results["parameters"]
    turns = max(len(row["seconds"]) for row in results["rows"])
    return common.paragraph(
        f"""
        Random weights: a Conformer of {sizes["encoder"] / 1e6:.0f} M parameters and an LLM of Qwen2-0.5B's shape over
        {posteriors["labels_in_vocabulary"]} labels ({sizes["llm"] / 1e6:.0f} M), for the LM as for the speech LLM. One
        batch of {batch["utterances"]} utterances of {batch["seconds"]} s, from samples in memory to the best label
        sequences; RTFx is seconds of audio in a second, the median of up to {turns} runs after one to warm up. The
        encoder, the CTC head and the LLM really run; the searches read made posteriors ({posteriors["frames"]} frames,
        {batch["labels_per_utterance"]} labels an utterance, entropy of a frame {posteriors["entropy_nats"]} nats, blank
        {posteriors["blank"]:.0%}), and those over labels end at {batch["labels_per_utterance"]} labels. Searches over
        frames try the {results["labels_per_frame"]} best labels of a frame; LM and a uniform prior weigh {LM_WEIGHT};
        CTC beside the speech LLM weighs {CTC_WEIGHT}, on all labels. The shares are those of a run in which every part
        waits for the device."""
    )


def main() -> None:
    """Print the table; on a GPU write bench/results/gpu.json and the section of docs/benchmarks.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to see that everything runs")
    parser.add_argument("--turns", type=int, default=3, help="timed runs of each system")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cpu" and not arguments.tiny:
        parser.error("the full sizes need a GPU; --tiny runs everything on a CPU.")
    results = measure(TINY if arguments.tiny else FULL, device, turns=arguments.turns)
    print(setting(results), table(results), f"whole run: {results['whole_seconds']:.0f} s", sep="\n")
    if device.type == "cuda" and not arguments.tiny:
        common.write_results("gpu", results)
        common.write_section(
            "gpu", "Every kind of system on a GPU", f"{setting(results)}\n{table(results)}", command=COMMAND,
            facts=results["facts"],
        )  # fmt: skip


if __name__ == "__main__":
    main()
