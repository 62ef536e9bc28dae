"""What the commands share: parsing by tyro, which device, and whether the output can be written.

Cheap to import, so that `--help` is quick: what needs torch is imported where it is used.
"""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from rich.console import Console

from duolect.errors import ConfigError, DuolectError

if TYPE_CHECKING:
    from duolect.systems import System

Parsed = TypeVar("Parsed")
Device = Literal["auto", "cpu", "cuda"]
WeightPrecision = Literal["stored", "bf16"]
PathOption = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
NameOption = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
PrecisionOption = Annotated[
    WeightPrecision,
    tyro.conf.arg(
        help="Of the models' weights: stored, as they are, or bf16, rounded to bfloat16: half the size, and for large "
        "models about twice the speed where the device is made for it. Now and then another word wins then "
        "(docs/cost.md)."
    ),
]
LanguageOption = Annotated[str | None, tyro.conf.arg(metavar="LANG")]
NumberOption = Annotated[int | None, tyro.conf.arg(metavar="N")]
SystemPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SYSTEM")]
ManifestPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MANIFEST")]
_PROBE = b"\0" * 65_536  # more than a file system gives away for nothing when it is full


def parse(command: str, target: Callable[..., Parsed], arguments: Sequence[str], **options: Any) -> Parsed:
    """Parse `arguments` into `target`, a dataclass whose docstrings are the help. Exits with 2 where they are wrong."""
    settings = (tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff)
    return tyro.cli(target, prog=f"duolect {command}", args=list(arguments), config=settings, **options)


def console(*, quiet: bool = False) -> Console:
    """Where progress and messages go: standard error, so that results on standard output can be piped."""
    return Console(stderr=True, quiet=quiet, width=None if sys.stderr.isatty() else 120)


def say(message: str) -> None:
    """One line to standard error, as it is."""
    print(message, file=sys.stderr)


def command_line(command: str, arguments: Sequence[str]) -> str:
    """The command as typed, for a result's provenance."""
    return shlex.join(["duolect", command, *arguments])


def load_system(
    path: Path, device: Device = "cpu", method: str | None = None, precision: WeightPrecision = "stored"
) -> System:
    """The system of a system or run folder on `device`, under the named method if one is given."""
    from duolect.systems import load

    system = load(path, torch_device(device), precision)
    return system if method is None else system.with_method(method)


def torch_device(device: Device) -> str:
    """What torch calls it; "auto" is a GPU where there is one. Raises ConfigError where "cuda" cannot be had."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: 'cuda' is asked for, but torch finds no GPU here; use 'cpu' or 'auto'.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def require_writable(path: Path, *, folder: bool = False, replaced: bool = False, reads: Sequence[Path] = ()) -> None:
    """Raise DuolectError now rather than after hours where `path`, a file or a `folder` to be, could not be written, or
    is one of the files that the command `reads`, which would be lost. `replaced`: a folder that stands gives place to a
    new one.

    A probe of 64 KiB is written where files will be and removed; so are the folders that had to be made for that.
    """
    if path.is_dir() and not folder:
        raise DuolectError(f"{path}: is a folder; a file name was expected.")
    if not folder and path.exists() and not path.is_file():  # writing would put a file in its place
        raise DuolectError(f"{path}: is a device or a pipe; the name of an ordinary file was expected.")
    if folder and path.exists() and not path.is_dir():
        raise DuolectError(f"{path}: is a file; a folder was expected.")
    if path.exists() and any(other.exists() and path.samefile(other) for other in reads):
        raise DuolectError(f"{path}: is what is read; another name was expected for what is written.")
    made = [parent for parent in path.parents if not parent.exists()]
    place = path if folder and path.is_dir() and not replaced else path.parent
    probe = place / f".{path.name}.{uuid.uuid4().hex[:8]}.probe"
    try:
        place.mkdir(parents=True, exist_ok=True)
        try:
            with open(probe, "wb") as handle:
                handle.write(_PROBE)
                handle.flush()
                os.fsync(handle.fileno())
        finally:
            probe.unlink(missing_ok=True)
            with suppress(OSError):  # another process has put something there
                for parent in made:
                    parent.rmdir()
    except OSError as error:
        raise DuolectError(f"{path}: nothing can be written there ({error.strerror or error}).") from error


@contextmanager
def progress_bar(title: str) -> Generator[Callable[[int, int], None]]:
    """A live bar on a terminal, fed by calls with (done, in all); one line elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    shown = console()
    if not shown.is_terminal:
        say(f"{title} ...")
        yield lambda done, total: None
        return
    described = TextColumn("{task.description}", markup=False)
    columns = (described, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=shown, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
