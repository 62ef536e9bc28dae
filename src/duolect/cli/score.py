"""`duolect score`: word error rates, or BLEU and chrF of translations, with intervals and a paired test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from duolect.cli.arguments import PathOption, parse
from duolect.errors import ConfigError

Metric = Literal["auto", "wer", "bleu", "chrf"]
Normaliser = Literal["plain", "none"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Word error rates of hypothesis files on the same utterances, or BLEU and chrF of translations, as one table.

    95 % intervals by the bootstrap, a paired test against the first file, and speed and memory where the file that
    `duolect recognize` writes beside each is there. Utterances that were skipped in recognition count as deleted, or as
    empty translations.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="HYPS.jsonl...")]
    """Hypothesis files; the first is the baseline."""
    manifest: PathOption = None
    """Take the references from here rather than from the files; every utterance of it must have been recognised."""
    metric: Metric = "auto"
    """auto: what the file beside each says, wer for transcripts, bleu and chrf (sacreBLEU) for translations."""
    normaliser: Normaliser = "plain"
    """Applied to both sides for the WER: plain lower-cases and drops punctuation, none only splits at spaces.
    Translations are scored as they are."""
    by: Annotated[str | None, tyro.conf.arg(metavar="FIELD")] = None
    """A field of the utterances (corpus, speaker …): one more table for each of its values."""
    blocks: Annotated[str | None, tyro.conf.arg(metavar="FIELD")] = None
    """A field of the utterances (speaker, session …) that says which depend on one another: intervals and tests of
    word errors draw all with the same value together."""
    panel: bool = False
    """Also print the hallucination panel: how often each system writes what nobody said. Utterances without a word in
    their reference, which have no word error rate, are in it as non-speech."""
    panel_list: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With the panel, list the N utterances of each file that show most signs of hallucination."""
    markdown: bool = False
    """Print Markdown."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Score`."""
    asked = parse("score", Score, arguments)
    if not asked.files:
        raise ConfigError("no hypothesis file is given.")
    from duolect.reports import compare_files, markdown_table, print_table

    panel = asked.panel or asked.panel_list > 0
    tables = compare_files(
        asked.files,
        manifest=asked.manifest,
        by=asked.by,
        normaliser=asked.normaliser,
        metric=asked.metric,
        blocks=asked.blocks,
        allow_empty=panel,
    )
    for number, table in enumerate(tables):
        if asked.markdown:
            print(f"{'' if len(tables) == 1 else f'### {table.title}' + chr(10) * 2}{markdown_table(table)}")
        else:
            print("\n" if number else "", end="")
            print_table(table)
    _print_cost(asked)
    if panel:
        print("\n" if tables else "", end="")
        _print_panel(asked)
    return 0


def _print_cost(asked: Score) -> None:
    from rich.console import Console

    from duolect.reports import cost_markdown, cost_table, measured_runs

    runs = measured_runs(asked.files)
    if runs and asked.markdown:
        print(f"\n### What recognition cost\n\n{cost_markdown(runs)}")
    elif runs:
        print()
        console = Console()
        console.print(cost_table(runs, console.width))


def _print_panel(asked: Score) -> None:
    from duolect.reports import panel_files, panels_markdown, print_panels, worst_utterances

    panels = panel_files(
        asked.files, manifest=asked.manifest, by=asked.by, normaliser=asked.normaliser, blocks=asked.blocks
    )
    if asked.markdown:
        print(panels_markdown(panels, asked.by), end="")
    else:
        print_panels(panels, asked.by)
    for system in panels[0].systems if asked.panel_list > 0 else ():
        print()
        print("\n".join(worst_utterances(system, asked.panel_list)))
