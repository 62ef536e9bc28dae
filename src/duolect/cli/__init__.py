"""The command line: one file a command, which parses, calls and prints; nothing is decided here.

`duolect COMMAND --help` shows each command's arguments. A fault of the input prints one sentence and exits with 2;
anything else is a bug and keeps its traceback. A new command is a module with `run(arguments) -> int`, the exit status,
and a line in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import io
import keyword
import os
import sys

from duolect import __version__
from duolect.errors import DuolectError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "make a corpus, train, tune, recognise and compare: the whole way from sound to report",
    "transcribe": "text of audio files",
    "import": "manifests of a corpus, from its own layout",
    "train": "train from a recipe (built in, a Python file) or go on with a run folder",
    "distill": "translate a manifest's transcripts, to train speech translation on",
    "combine": "join trained models and a search into one system folder",
    "recognize": "hypotheses of a system for a manifest",
    "attend": "draw where a model looks in the audio as it writes",
    "tune": "find a system's scales on a development manifest",
    "study": "one question of the papers, answered with your systems and data",
    "stress": "make silence, noise, music and speech under strain, to see what systems make up",
    "score": "word error rates, or BLEU and chrF, with intervals and a paired test",
    "compare": "any number of systems and hypothesis files on one manifest: table and report",
    "perplexity": "how well language models foretell a text, per token and per word",
}


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
    """Run one command and return the exit status.

    0: all went well · 1: a part of the input failed · 2: the input is at fault · 130: interrupted · 141: nobody reads
    the output any more.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # results must not be lost for a letter that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except DuolectError as error:
        return _complain(arguments, str(error), 2)
    except KeyboardInterrupt:
        return _complain(arguments, "interrupted.", 130)
    except BrokenPipeError:
        # What is left in the buffer must not be written to the closed pipe when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(arguments, f"{place}{error.strerror or error}.", 2)


def _run(arguments: list[str]) -> int:
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
    module = f"{name}_" if keyword.iskeyword(name) else name
    return importlib.import_module(f"duolect.cli.{module}").run(rest) or 0


def _complain(arguments: list[str], sentence: str, status: int) -> int:
    print(f"duolect {arguments[0]}: {sentence}", file=sys.stderr)
    return status
