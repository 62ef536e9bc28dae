"""Calling `duolect` from tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from duolect.cli import main

RECIPES = Path(__file__).with_name("tiny_recipes.py")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of a command that refused its input; fails where there is more, or less."""
        assert self.status == 2, (self.status, self.err)
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if not line.endswith(" ...")]
        assert len(lines) == 1, self.err
        assert re.match(r"duolect \w+: .*[.?]$", lines[0]), lines[0]
        return lines[0].partition(": ")[2]


Call = Callable[..., Result]


def train(name: str, *arguments: object) -> int:
    """Train a tiny recipe in this process, on the CPU."""
    return main(["train", f"{RECIPES}:{name}", *map(str, arguments), "--device", "cpu"])


def process(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """`python -m duolect` as a process of its own."""
    return _started([sys.executable, "-m", "duolect", *map(str, arguments)], environment)


def toy_process(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The same with the studies of tests.studies.toy_study."""
    code = "import sys; from tests.studies import toy_study; toy_study.main(sys.argv[1:])"
    return _started([sys.executable, "-c", code, *map(str, arguments)], environment)


def _started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200", **environment}
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
