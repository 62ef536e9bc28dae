"""Two real processes equal one that accumulates two micro-batches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from training_toy import make_trainer

from duolect.storage import load_tensors


def torchrun(*arguments: object, script: str = "training_toy.py", processes: int = 2) -> subprocess.CompletedProcess:
    """Run a script of this folder under the real torchrun with gloo."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += [f"--master-port={port}", str(Path(__file__).parent / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_two_processes_equal_one_that_accumulates(tmp_path: Path) -> None:
    make_trainer(tmp_path / "one", 12, accumulate=2, dropout=0.0, log_every=1).run()
    done = torchrun(tmp_path / "two", 12, "--dropout", 0)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(lines[0]) == len(lines[1]) == 12
    for one, two in zip(*lines, strict=True):
        for key in ("loss", "labels", "gradient_norm"):
            torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=0)
    weights = [load_tensors(tmp_path / n / "checkpoints/step-00000012/model.safetensors") for n in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-7)
