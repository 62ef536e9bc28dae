"""What every benchmark needs: interleaved timing, peers in processes of their own, JSON results, a section of a page.

Two sides are never timed one after the other but in turns (A B A B …), so that a machine which grows slower or busier
does so for both; a ratio is the median over these turns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from duolect.evaluation import processor_name
from duolect.storage import atomic_file

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "bench" / "results"
PEERS = ROOT / ".venv-peers"
PAGE_HEAD = "# Benchmarks\n\nEach section is written by the command it names; `make bench` renews those of the CPU.\n"


@dataclass(frozen=True)
class Times:
    """Seconds of one side, in the order of the turns."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def faster_than(self, other: Times) -> tuple[float, float, float]:
        """How many times faster than `other`: median, least and largest over the turns."""
        ratios = [theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)

    def as_json(self) -> dict[str, Any]:
        return {"median_s": self.median, "seconds": list(self.seconds)}


def timed(work: Callable[[], object], device: torch.device | None = None) -> Callable[[], float]:
    """A function that does `work` and returns its wall-clock seconds, a GPU's queue emptied before and after."""

    def run() -> float:
        synchronise(device)
        begin = time.perf_counter()
        work()
        synchronise(device)
        return time.perf_counter() - begin

    return run


def interleave(sides: Mapping[str, Callable[[], float]], repetitions: int, *, warm_ups: int = 1) -> dict[str, Times]:
    """Every side once per turn, `repetitions` turns after `warm_ups` that do not count; sides return their seconds."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_ups + repetitions):
        for name, side in sides.items():
            seconds = side()
            if turn >= warm_ups:
                taken[name].append(seconds)
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}


class PeerMissingError(RuntimeError):
    """The peer's environment has not been built."""


class Peer:
    """A worker script run by a peer's own Python; one JSON object a line each way, until the context ends.

    name: folder below `.venv-peers`; script: path of the worker; path: further folders of its PYTHONPATH.
    A reply with the key "error" is raised.
    """

    def __init__(self, name: str, script: Path, *, path: Sequence[Path] = (), threads: int = 1) -> None:
        python = PEERS / name / "bin" / "python"
        if not python.exists():
            raise PeerMissingError(
                f"{python.relative_to(ROOT)} does not exist; build the peers with `make bench-peers`."
            )
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        }
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def call(self, **request: Any) -> dict[str, Any]:
        """The worker's answer to one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer {self._process.args!r} ended with code {self._process.wait()}.")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"the peer {self._process.args!r}: {reply['error']}")
        return reply


def peer_version(environment: str, package: str) -> str:
    """The version of a package in a peer's environment."""
    python = PEERS / environment / "bin" / "python"
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def machine(device: str = "cpu") -> dict[str, Any]:
    """What ran the benchmark: processor or GPU, threads, versions, date."""
    facts = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": processor_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.startswith("cuda"):
        facts["device"] = torch.cuda.get_device_name(device)
    return facts


def write_results(name: str, results: Mapping[str, Any]) -> Path:
    """The results as bench/results/NAME.json."""
    path = RESULTS / f"{name}.json"
    with atomic_file(path) as file:
        file.write(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return path


def repetition_arguments(description: str | None) -> argparse.Namespace:
    """`repetitions` and `dry` from the command line of a benchmark that takes nothing else."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print the table, keep nothing")
    return parser.parse_args()


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column left-aligned, the others right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def paragraph(text: str) -> str:
    """Running text in lines of at most 120 characters."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False) + "\n"


def write_section(name: str, title: str, body: str, *, command: str, facts: Mapping[str, Any]) -> None:
    """The section `name` of docs/benchmarks.md, in the place it had, or at the end; other sections stay as they are."""
    where = f"{facts['device']}, {facts['threads']} thread{'s' if facts['threads'] != 1 else ''}"
    known = {"date", "device", "threads", "python", "torch"}
    peers = "".join(f", {name} {version}" for name, version in facts.items() if name not in known)
    versions = f"Python {facts['python']}, torch {facts['torch']}{peers}"
    text = f"## {title}\n\n`{command}` · {facts['date']} · {where} · {versions}\n\n{body.strip()}\n"
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    section = f"{begin}\n{text}{end}"
    page = PAGE.read_text() if PAGE.exists() else PAGE_HEAD
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    with atomic_file(PAGE) as file:
        file.write(page)


def ratio_text(ratio: tuple[float, float, float]) -> str:
    """`3.1 × (2.9–3.4)`: median, least and largest."""
    middle, least, largest = (f"{value:.0f}" if value >= 20 else f"{value:.1f}" for value in ratio)
    return f"{middle} × ({least}–{largest})"


@contextmanager
def threads(count: int) -> Generator[None]:
    """So many threads for torch inside, and as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def progress(text: str) -> None:
    """A line for whoever waits; on stderr."""
    print(text, file=sys.stderr, flush=True)


def synchronise(device: torch.device | None) -> None:
    """Wait until a GPU has done what it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
