"""The command line: one file a command, which parses, calls and prints; nothing is decided here.

`duolect COMMAND --help` shows each command's arguments. A fault of the input prints one sentence and
exits with 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import importlib
import sys
from typing import Protocol

from duolect import __version__
from duolect.errors import DuolectError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "make a corpus, train, tune, recognise and compare: the whole way from sound to report",
    "transcribe": "text of audio files",
    "train": "train from a recipe (built in, a Python file) or go on with a run folder",
    "combine": "join trained models and a search into one system folder",
    "recognize": "hypotheses of a system for a manifest",
    "tune": "find a system's scales on a development manifest",
    "score": "word error rates with intervals and a paired test",
}


class Command(Protocol):
    """What a module of this room offers: `run(arguments)`, the exit status as its result."""

    def run(self, arguments: list[str]) -> int | None:
        """Parse `arguments` (without the command's name), do the work, print."""
        ...


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  duolect {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: duolect COMMAND [arguments]",
            "",
            *lines,
            "",
            "duolect COMMAND --help tells the rest; duolect --version.",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status (0 fine, 1 partly failed, 2 the input is at fault)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"duolect {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"duolect: there is no command {name!r}.\n{_overview()}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"duolect.cli.{name}").run(rest) or 0
    except DuolectError as error:
        print(f"duolect {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"duolect {name}: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return 141
