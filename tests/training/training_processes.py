"""Helpers for tests of real processes: starting them, and comparing what came out with a run of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from duolect.storage import load_tensors


def torchrun(*arguments: object, script: str = "training_toy.py", processes: int = 2) -> subprocess.CompletedProcess:
    """Run a script of this folder under the real torchrun with gloo."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += [f"--master-port={port}", str(Path(__file__).parent / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def assert_same_run(one: Path, two: Path, steps: int) -> None:
    """Losses, dev losses, gradient norms and all tensors of the last checkpoint agree up to the order of summation."""
    lines = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, two)]
    assert len(lines[0]) == len(lines[1]) == steps + len([1 for line in lines[0] if "dev_loss" in line])
    for a, b in zip(*lines, strict=True):
        for key in set(a) & {"loss", "labels", "first", "gradient_norm", "padded", "dev_loss"}:
            torch.testing.assert_close(b[key], a[key], rtol=1e-5, atol=0, msg=f"{key} of step {a['step']}")
    for file in ("model", "optimiser"):
        first, second = (
            load_tensors(run / f"checkpoints/step-{steps:08d}" / f"{file}.safetensors") for run in (one, two)
        )
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            torch.testing.assert_close(second[name], tensor, rtol=1e-5, atol=1e-7, msg=f"{file}: {name}")
