"""`duolect compare`: accuracy, speed, memory and hallucination of many systems on one manifest, as one report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import tyro

from duolect.cli.arguments import (
    Device,
    PathOption,
    PrecisionOption,
    command_line,
    console,
    parse,
    require_writable,
    torch_device,
)
from duolect.evaluation import Normaliser


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare systems and hypothesis files on one manifest; the first is the baseline.

    Systems recognise the manifest, each folder in a process of its own, unless the same hypotheses lie in OUT already.
    Prints a table and a recommendation, and writes OUT/report.html, a page that needs nothing else, report.md, and
    results.jsonl, a row for each system with everything that made it. The exit status is 1 where a system failed.
    """

    systems: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SYSTEM|HYPS...")]
    """System or run folders, FOLDER:METHOD, or hypothesis files; NAME= before one names it."""
    manifest: Annotated[Path, tyro.conf.arg(metavar="MANIFEST")]
    """What is recognised, with the references."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of hypotheses and report."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="METHOD...")] = ()
    """Run each system folder under these methods; all: those it can run (default: its own)."""
    normaliser: Normaliser = "plain"
    """Applied to both sides before words are compared; open-asr-… as that leaderboard does."""
    by: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD...")] = ()
    """Fields to break error rates down by, besides speaker, length, SNR and fields of few values."""
    blocks: Annotated[str, tyro.conf.arg(metavar="FIELD|auto|none")] = "auto"
    """A field whose utterances are drawn together for intervals and tests; auto: session, meeting, call … or speaker,
    where there are at least ten of them."""
    within: float = 5.0
    """Per cent above the best WER, relatively, that the system recommended for its speed may be."""
    nonspeech: PathOption = None
    """A manifest of sounds in which nobody speaks (empty texts), for the systems to be silent on."""
    train: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Manifests or texts of the training, for the recall of words that are new or rare."""
    rare: int = 5
    """How often a rare word occurs there at most."""
    utterances: int = 100
    """How many utterances the report shows."""
    embed_audio: int = 0
    """How many of these carry their recording within the page; the others link to it."""
    measure: bool = False
    """Also measure operations, and the latency of one utterance at a time."""
    title: str = ""
    """The report's heading."""
    batch_seconds: float = 60.0
    """Seconds of audio recognised at once, padding included; 0 for one utterance at a time."""
    max_seconds: float = 120.0
    """Longer utterances are skipped, and count as deleted."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    precision: PrecisionOption = "stored"


def run(arguments: list[str]) -> int:
    """Run the command; see `Compare`."""
    asked = parse("compare", Compare, arguments)
    require_writable(asked.out / "report.html")
    from duolect.reports.compare import CompareOptions, compare, sources_of, write_report
    from duolect.systems.measurement import Measure

    options = CompareOptions(
        title=asked.title,
        normaliser=asked.normaliser,
        by=asked.by,
        blocks=asked.blocks,
        within=asked.within / 100,
        nonspeech=asked.nonspeech,
        train=asked.train,
        rare=asked.rare,
        utterances=asked.utterances,
        embed_audio=asked.embed_audio,
        device=torch_device(asked.device),
        precision=asked.precision,
        batch_seconds=asked.batch_seconds,
        max_seconds=asked.max_seconds,
    )
    report = compare(
        sources_of(asked.systems, asked.methods),
        asked.manifest,
        asked.out,
        options,
        measure=Measure() if asked.measure else None,
        console=console(),
        command=command_line("compare", arguments),
        date=date.today().isoformat(),
    )
    write_report(report, asked.out, console())
    return 1 if report.failures else 0
