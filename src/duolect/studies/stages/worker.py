"""A process that makes one stage: `python -m duolect.studies.stages.worker ROOT SOURCE ARGUMENTS KEY`.

SOURCE, "module:function", gives the stages when it is called with the JSON object ARGUMENTS; the one with KEY is made
in the store ROOT. Stages travel by what makes them, not pickled: the other process may be on another machine.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from duolect.errors import DuolectError
from duolect.studies.stages.base import Stage, in_order
from duolect.studies.stages.interrupts import terminated_as_interrupted
from duolect.studies.stages.store import Store

INTERRUPTED = 130
"""Exit status of a worker that was told to end: what it has, the next one goes on from."""


def make_stage(root: str, source: str, arguments: str, key: str) -> None:
    """Make the stage of `key` and nothing else. Raises DuolectError where there is none, or it cannot be made."""
    module, _, function = source.partition(":")
    stages: Iterable[Stage] = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    wanted = next((stage for stage in in_order(stages) if stage.key == key), None)
    if wanted is None:
        raise DuolectError(f"{source}: gives no stage {key}; has the code of the study changed since it was started?")
    Store(Path(root)).make(wanted, Console(stderr=True))


def main() -> int:
    """Exit status 0 where the stage stands, INTERRUPTED where it was told to end, 1 with a sentence where it fails."""
    try:
        with terminated_as_interrupted():
            make_stage(*sys.argv[1:5])
    except DuolectError as error:
        from duolect.training import TrainingInterrupted  # no stage but a training has loaded that

        print(f"duolect: {error}", file=sys.stderr)
        return INTERRUPTED if isinstance(error, TrainingInterrupted) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
