"""`duolect perplexity`: how well language models foretell a text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from duolect.cli.arguments import Device, PathOption, load_system, parse, require_writable, say
from duolect.errors import ConfigError

if TYPE_CHECKING:
    from duolect.evaluation import Interval
    from duolect.systems.perplexity import TextPerplexity

_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """Perplexities of language models on texts, per token and per word, several models side by side.

    All models are measured on the sentences that each of them can spell; the others are counted and listed. 95 %
    intervals of the perplexity per word by the bootstrap over sentences.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SYSTEM... TEXT...")]
    """System or run folders with a language model, and files: one sentence a line (.gz too), or manifests (.jsonl),
    whose texts are taken. The first system is the one that others are compared with."""
    normaliser: Literal["plain", "none"] = "plain"
    """What is done to the text: plain lower-cases and drops punctuation, as recipes do; none leaves it as it is."""
    out: PathOption = None
    """A JSON file to write with all figures and every sentence that was left out."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Perplexity`."""
    asked = parse("perplexity", Perplexity, arguments)
    for path in asked.paths:
        if not path.exists():
            raise ConfigError(f"{path}: the text cannot be read, nor a system, for there is no such file or folder.")
    folders, files = ([path for path in asked.paths if path.is_dir() == wanted] for wanted in (True, False))
    if not folders:
        raise ConfigError("no system is given; name the folder of one that has a language model.")
    if not files:
        raise ConfigError("no text is given; name a text file or a manifest.")
    if asked.out is not None:
        require_writable(asked.out, reads=files)
    from duolect.storage import write_json
    from duolect.systems.perplexity import CONVENTION, measure_perplexity

    systems = {str(folder): load_system(folder, asked.device) for folder in folders}
    report = measure_perplexity(systems, files, normaliser=asked.normaliser, progress=lambda name: say(f"{name} ..."))
    _print(report.rows)
    print(CONVENTION)
    if report.left_out:
        places = {entry.place for entry in report.left_out}
        say(f"{len(places)} sentence{'s were' if len(places) > 1 else ' was'} left out for all models:")
        for entry in report.left_out[:_LISTED]:
            say(f"  {entry.place}: {entry.system}: {entry.reason}")
        if len(report.left_out) > _LISTED:
            say(f"  … {'all are in ' + str(asked.out) if asked.out else 'with --out FILE all are listed'}")
    if asked.out is not None:
        write_json(asked.out, report.to_json())
    return 0


def _print(rows: tuple[TextPerplexity, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    texts = len({row.text for row in rows if not row.total})
    compared = any(row.ratio is not None for row in rows)
    numbers = ["Sentences", "Words", "Tokens", "log p", "PPL per token", "PPL per word", "95 % interval"]
    table = Table("Text", "System", box=box.SIMPLE_HEAD)
    for title in [*numbers, *(["to the first", "95 % interval"] if compared else [])]:
        table.add_column(title, justify="right")
    for row in rows:
        sums = row.sums
        cells = [f"{sums.sentences:,}", f"{sums.words:,}", f"{sums.tokens:,}", f"{sums.log_prob:,.1f}"]
        cells += [f"{sums.per_token:,.2f}", f"{sums.per_word:,.2f}", _interval(row.interval, 2)]
        if compared:
            cells += ["" if row.ratio is None else f"× {row.ratio:,.3f}", _interval(row.ratio_interval, 3)]
        table.add_row(Text(f"all {texts} texts" if row.total else row.text), Text(row.system), *cells)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _interval(interval: Interval | None, digits: int) -> str:
    return "" if interval is None else f"{interval.low:,.{digits}f}–{interval.high:,.{digits}f}"
