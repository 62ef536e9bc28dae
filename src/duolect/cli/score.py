"""`duolect score`: word error rates, or BLEU and chrF of translations, with intervals and a paired test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from duolect.cli.arguments import NameOption, PathOption, parse, require_writable, say
from duolect.errors import ConfigError

Metric = Literal["auto", "wer", "bleu", "chrf"]
Normaliser = Literal["auto", "plain", "none", "whisper-english", "open-asr-2026-03", "open-asr-2026-08"]


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
    normaliser: Normaliser = "auto"
    """Applied to both sides for the WER, and with it the whole scoring regime: plain lower-cases and drops punctuation,
    none only splits at spaces, whisper-english is Whisper's, open-asr-2026-03 and open-asr-2026-08 are the Open ASR
    leaderboard's (the latter merges compounds). auto: plain; with --leaderboard and --submit open-asr-2026-08.
    Translations are scored as they are."""
    by: Annotated[str | None, tyro.conf.arg(metavar="FIELD")] = None
    """A field of the utterances (corpus, speaker …): one more table for each of its values."""
    blocks: Annotated[str, tyro.conf.arg(metavar="FIELD|auto|none")] = "auto"
    """A field of the utterances that says which depend on one another: intervals and tests of word errors draw all with
    the same value together. auto: session, meeting, call … or speaker, where there are at least ten of them."""
    panel: bool = False
    """Also print the hallucination panel: how often each system writes what nobody said. Utterances without a word in
    their reference, which have no word error rate, are in it as non-speech."""
    panel_list: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With the panel, list the N utterances of each file that show most signs of hallucination."""
    leaderboard: PathOption = None
    """Instead of hypothesis files: a folder of the Open ASR leaderboard's result files (MODEL_..._DATASET_....jsonl).
    A table for each model, with the leaderboard's average."""
    submit: PathOption = None
    """Write the hypothesis files, of the leaderboard's test sets, as its result files into this folder, with the lines
    of a model card, and print the leaderboard's table of them."""
    model_id: NameOption = None
    """With --submit, whose results they are: ORGANISATION/NAME. With --leaderboard, only this model."""
    markdown: bool = False
    """Print Markdown."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Score`."""
    asked = parse("score", Score, arguments)
    _check(asked)
    if asked.leaderboard is not None:
        return _leaderboard(asked, asked.leaderboard)
    if asked.submit is not None:
        return _submit(asked, asked.submit)
    from duolect.reports import compare_files, markdown_table, print_table

    panel = asked.panel or asked.panel_list > 0
    tables = compare_files(
        asked.files,
        manifest=asked.manifest,
        by=asked.by,
        normaliser="plain" if asked.normaliser == "auto" else asked.normaliser,
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


def _check(asked: Score) -> None:
    if asked.leaderboard is not None and asked.files:
        raise ConfigError("--leaderboard: scores a folder of result files; hypothesis files are scored without it.")
    if asked.leaderboard is not None and asked.submit is not None:
        raise ConfigError("--submit: writes hypothesis files as result files; those of --leaderboard are some already.")
    if asked.leaderboard is None and not asked.files:
        raise ConfigError("no hypothesis file is given.")
    if asked.submit is not None and asked.model_id is None:
        raise ConfigError("--submit: --model-id ORGANISATION/NAME is missing, whose results they are.")
    other = "--leaderboard" if asked.leaderboard is not None else "--submit" if asked.submit is not None else None
    if other is not None:
        given = {
            "--by": asked.by is not None,
            "--blocks": asked.blocks != "auto",
            "--metric": asked.metric != "auto",
            "--panel": asked.panel or asked.panel_list > 0,
            "--manifest": asked.manifest is not None and asked.submit is None,
        }
        for option in (name for name, there in given.items() if there):
            raise ConfigError(f"{option}: does not go with {other}.")
    if asked.panel_list < 0:
        raise ConfigError(f"--panel-list: must be 0 or more, not {asked.panel_list}.")
    if asked.submit is None and asked.leaderboard is None and asked.model_id is not None:
        raise ConfigError("--model-id: belongs to --submit and --leaderboard.")


def _leaderboard(asked: Score, folder: Path) -> int:
    from duolect.evaluation.leaderboard import CURRENT, score_leaderboard
    from duolect.reports import print_leaderboard

    results = score_leaderboard(
        folder, CURRENT if asked.normaliser == "auto" else asked.normaliser, model=asked.model_id
    )
    for number, result in enumerate(results):
        print("\n" if number else "", end="")
        print_leaderboard(result, markdown=asked.markdown)
    return 0


def _submit(asked: Score, folder: Path) -> int:
    from duolect.evaluation.leaderboard import CURRENT
    from duolect.evaluation.score import manifest_references
    from duolect.evaluation.submission import write_submission
    from duolect.reports import print_leaderboard

    require_writable(folder, folder=True)
    references = manifest_references(asked.manifest) if asked.manifest is not None else None
    written = write_submission(
        asked.files,
        folder,
        asked.model_id or "",
        CURRENT if asked.normaliser == "auto" else asked.normaliser,
        references=references,
    )
    print_leaderboard(written.result, markdown=asked.markdown)
    for path in written.files:
        say(f"{path}: written.")
    for note in written.notes:
        say(f"Note: {note}")
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
        asked.files,
        manifest=asked.manifest,
        by=asked.by,
        normaliser="plain" if asked.normaliser == "auto" else asked.normaliser,
        metric=asked.metric,
        blocks=asked.blocks,
    )
    if asked.markdown:
        print(panels_markdown(panels, asked.by), end="")
    else:
        print_panels(panels, asked.by)
    for system in panels[0].systems if asked.panel_list > 0 else ():
        print()
        print("\n".join(worst_utterances(system, asked.panel_list)))
