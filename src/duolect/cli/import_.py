"""`duolect import`: from a corpus' own layout to manifests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from duolect.cli.arguments import command_line, console, parse, say
from duolect.errors import ConfigError

if TYPE_CHECKING:
    from duolect.data.corpora import Corpus, Imported, Progress

_TELL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Import:
    """What all imports share."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """What the corpus is read from."""
    out: Path
    """Folder of the manifests; the same command again goes on with an interrupted import."""
    splits: tuple[str, ...] = ()
    """Only these splits."""
    workers: int = 8
    """Threads that read the headers of sound files."""
    trust_durations: bool = False
    """Do not open files whose duration the corpus tells: quicker where disks are slow, but missing files are not
    found."""
    restart: bool = False
    """Throw away what an earlier import of this corpus left in the folder, and begin anew."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers: must be at least 1, not {self.workers}.")


def run(arguments: list[str]) -> int:
    """Run the command; see `Import` and the options of each corpus."""
    from duolect.data.corpora import CORPORA, corpus_named, import_corpus

    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(CORPORA))
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise ConfigError(
            f"the corpus comes first, then the rest: duolect import CORPUS SOURCE --out DIR; "
            f"known are {', '.join(CORPORA)}."
        )
    corpus = corpus_named(arguments[0])
    asked, options = _parse(corpus, arguments[1:])
    with _progress() as progress:
        imported = import_corpus(
            corpus,
            asked.source,
            asked.out,
            options=options,
            splits=asked.splits,
            workers=asked.workers,
            trust_durations=asked.trust_durations,
            restart=asked.restart,
            progress=progress,
            command=command_line("import", arguments),
        )
    _print(imported)
    return 0


def _overview(corpora: dict[str, str]) -> str:
    width = max(map(len, corpora))
    lines = [f"  {name:<{width}}  {what}" for name, what in corpora.items()]
    return "\n".join(
        [
            "usage: duolect import CORPUS SOURCE --out DIR [options of the corpus]",
            "",
            "Writes a manifest for each split of a corpus into DIR. What was left out, and why, stands beside it.",
            "The same command again goes on with an interrupted import.",
            "",
            *lines,
            "",
            "duolect import CORPUS --help tells what SOURCE is, and the options.",
        ]
    )


def _parse(corpus: Corpus, arguments: list[str]) -> tuple[Import, Any]:
    """What all imports share, and the options of this corpus, from one line of arguments."""
    own = corpus.name.replace("-", "_")
    parts: dict[str, Any] = {"any_import": Import, own: corpus.options}
    fields: list[Any] = [(name, tyro.conf.OmitArgPrefixes[part]) for name, part in parts.items()]
    both = dataclasses.make_dataclass("Both", fields)
    asked: Any = parse(
        f"import {corpus.name}", both, arguments, description=f"Import {corpus.title}. SOURCE is {corpus.source}."
    )
    return asked.any_import, getattr(asked, own)


@contextmanager
def _progress() -> Generator[Callable[[Progress], None]]:
    """A live line for each split on a terminal; elsewhere, as in a log, a line a minute."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    shown = console()
    if not shown.is_terminal:
        told = time.monotonic()

        def tell(now: Any) -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL_SECONDS:
                say(f"  {now.split}: {now.utterances:,} utterances, {now.seconds / 3600:,.2f} h so far")
                told = time.monotonic()

        yield tell
        return
    tasks: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} utterances · {task.fields[hours]:,.2f} h · {task.fields[skipped]:,} skipped"),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
    ) as bar:

        def show(now: Any) -> None:
            if now.split not in tasks:
                tasks[now.split] = bar.add_task(now.split, total=now.total, hours=0.0, skipped=0)
            hours = now.seconds / 3600
            bar.update(tasks[now.split], completed=now.utterances, total=now.total, hours=hours, skipped=now.skipped)

        yield show


def _print(imported: Imported) -> None:
    """The manifests on standard output; on standard error what was left out, and what stood there already."""
    for split in imported.splits:
        print(f"{split.manifest}  {split.utterances:,} utterances, {split.hours:,.2f} h")
        if split.resumed == split.utterances:
            say(f"  {split.name}: was imported already")
        elif split.resumed:
            say(f"  {split.name}: went on after {split.resumed:,} utterances")
        if split.far_off:
            say(
                f"  {split.name}: the corpus is wrong by more than 0.5 s or 5 % about the length of {split.far_off:,} "
                f"file{'' if split.far_off == 1 else 's'}; the manifest has what was measured"
            )
        for reason, count in sorted(split.reasons.items(), key=lambda item: -item[1]):
            say(f"  {split.name}: {count:,} skipped: {reason}; see {split.skipped_file}")
    if imported.remark:
        say(imported.remark)
