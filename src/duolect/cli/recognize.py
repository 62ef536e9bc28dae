"""`duolect recognize`: hypotheses of a system for a manifest."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from duolect.cli.arguments import (
    Device,
    LanguageOption,
    ManifestPath,
    NameOption,
    NumberOption,
    PrecisionOption,
    SystemPath,
    command_line,
    load_system,
    parse,
    progress_bar,
    require_writable,
    say,
)
from duolect.cli.overrides import override_search, search_options
from duolect.errors import ConfigError, DuolectError, ScoringError

if TYPE_CHECKING:
    from duolect.data import Utterance
    from duolect.systems import Recognition, System


@dataclass(frozen=True)
class Recognize:
    """Recognise every utterance of a manifest and write one JSON line for each, and how they were made beside them.

    OUT gets id, reference, text, score, terms and flags; beside it what is called .run.json (hyps.run.json of
    hyps.jsonl) gets the system, search, device, times and what was skipped. The exit status is 1 where an utterance
    could not be recognised.

    Any setting of the search: --search.FIELD VALUE, such as --search.stop exact or --search.inside.lm 0.4.
    """

    system: SystemPath
    """System folder, or the run folder of a finished training."""
    manifest: ManifestPath
    """JSON lines with audio_filepath, duration and text, and translation where that is what the system writes."""
    out: Annotated[Path, tyro.conf.arg(metavar="HYPS.jsonl")]
    """The hypothesis file to write."""
    method: NameOption = None
    """A named method (default: the system's own), with its tuned scales where it has some."""
    beam: NumberOption = None
    """Hypotheses kept by the search."""
    nbest: NumberOption = None
    """Hypotheses that the first pass hands on (and rescoring sees), all written to OUT; at most the beam."""
    batch_seconds: float = 60.0
    """Seconds of audio recognised at once, padding included; 0 for one utterance at a time."""
    max_seconds: float = 120.0
    """Longer utterances are skipped; cut them at pauses first."""
    prompt: Annotated[str | None, tyro.conf.arg(metavar="PROMPT")] = None
    """For a speech LLM: not its own prompt but this one, by name (none, instruction, role-tagged) or written out as
    BEFORE<audio>AFTER."""
    warm_up: bool = False
    """Recognise the first batch once beforehand, untimed, so that the speed is that of a running system."""
    measure: bool = False
    """Find out what recognition costs, with a warm-up and in passes of their own afterwards: operations by part, and
    the latency of one utterance at a time. Prints where the time went; the hypotheses stay the same."""
    latency_utterances: NumberOption = None
    """With --measure: how many utterances are recognised one at a time (default: 32)."""
    target_language: LanguageOption = None
    """Write all utterances in this language, where the model was trained with several; by default each names its own
    (target_lang in the manifest, or lang where it is transcribed)."""
    explain: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID...")] = ()
    """Utterances of the manifest: print how each term voted for the words of the winner and of its rival."""
    rival: Annotated[Literal["runner-up", "reference"] | None, tyro.conf.arg(metavar="{runner-up,reference}")] = None
    """What --explain sets against the winner: the best hypothesis of another text (the default), or the reference."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    precision: PrecisionOption = "stored"


def run(arguments: list[str]) -> int:
    """Run the command; see `Recognize`."""
    rest, settings = search_options(arguments)
    asked = parse("recognize", Recognize, rest)
    require_writable(asked.out, reads=[asked.manifest])
    from duolect.data import load_manifest
    from duolect.systems import Measure, recognize_manifest

    measure = Measure() if asked.measure else None
    if asked.latency_utterances is not None:
        if measure is None:
            raise ConfigError("--latency-utterances: belongs to --measure.")
        measure = Measure(utterances=asked.latency_utterances)
    if asked.rival is not None and not asked.explain:
        raise ConfigError("--rival: belongs to --explain.")
    utterances = {u.id: u for u in load_manifest(asked.manifest)}  # a bad line is found before the models are loaded
    for name in asked.explain:
        if name not in utterances:
            raise ConfigError(f"--explain: {asked.manifest} has no utterance {name!r}.")
    system = override_search(load_system(asked.system, asked.device, asked.method, asked.precision), settings)
    system = _widened(system, asked.beam, asked.nbest)
    if asked.prompt is not None:
        system = system.with_prompt(asked.prompt)
        if system.search is not None and "speech_llm" not in system.search.scales.active:
            raise ConfigError(f"--prompt: {system.method or 'this search'} does not ask the speech LLM.")
    with progress_bar(f"recognising with {system.method or asked.system}") as progress:
        recognition = recognize_manifest(
            system,
            asked.manifest,
            asked.out,
            batch_seconds=asked.batch_seconds,
            max_seconds=asked.max_seconds,
            nbest=asked.nbest is not None,
            warm_up=asked.warm_up,
            measure=measure,
            target_language=asked.target_language,
            progress=progress,
            command=command_line("recognize", arguments),
            date=date.today().isoformat(),
        )
    for skipped in recognition.skipped:
        say(f"skipped {skipped.id}: {skipped.reason}")
    if recognition.tuned_on_this_set:
        say("The scales were tuned on this very set; its error rate says nothing about other data.")
    print(f"{asked.out}: {_summary(recognition)}")
    if asked.measure:
        _print_cost(asked.out)
    skipped = {each.id for each in recognition.skipped}
    failed = False
    for name in asked.explain:
        if name in skipped:
            continue
        try:
            _explain(system, utterances[name], asked)
        except DuolectError as error:  # of one utterance; the others can be explained all the same
            say(f"--explain {name}: {error}")
            failed = True
    return 1 if recognition.skipped or failed else 0


def _print_cost(out: Path) -> None:
    from rich.console import Console

    from duolect.evaluation.results import read_record
    from duolect.reports import stage_table

    console = Console(width=None if sys.stdout.isatty() else 120)
    if (record := read_record(out)) is not None:
        console.print(stage_table(record, console.width))


def _explain(system: System, utterance: Utterance, asked: Recognize) -> None:
    from rich.console import Console

    from duolect.reports.votes import votes_table
    from duolect.systems import explain

    explained = explain(
        system,
        utterance,
        rival=asked.rival or "runner-up",
        max_seconds=asked.max_seconds,
        target_language=asked.target_language,
    )
    Console(width=None if sys.stdout.isatty() else 120).print(votes_table(explained))


def _widened(system: System, beam: int | None, nbest: int | None) -> System:
    if (beam is None and nbest is None) or system.search is None:
        return system
    search = system.search
    if search.first_pass in ("greedy", "draft"):
        raise ConfigError(f"--beam and --nbest are for methods with a beam; {system.method or 'this one'} is greedy.")
    width = search.beam if beam is None else beam
    kept = (width if search.nbest == search.beam else min(search.nbest, width)) if nbest is None else nbest
    return system.with_search(dataclasses.replace(search, beam=width, nbest=kept), system.method)


def _summary(recognition: Recognition) -> str:
    parts = [f"{len(recognition.rows)} utterances"]
    if recognition.skipped:
        parts.append(f"{len(recognition.skipped)} skipped")
    with suppress(ScoringError):  # no reference to score against
        parts += [_word_errors(recognition)] if recognition.target == "text" else _translation_scores(recognition)
    timing = recognition.timing
    if timing.wall_seconds > 0:
        parts.append(f"RTFx {timing.rtfx:.1f} ({timing.audio_seconds:.0f} s of audio in {timing.wall_seconds:.1f} s)")
    return "; ".join(parts)


def _word_errors(recognition: Recognition) -> str:
    from duolect.evaluation import blocks_of_rows, score_run

    rows, skipped = recognition.rows, recognition.skipped
    score = score_run(rows, skipped=skipped, blocks=blocks_of_rows(rows, skipped))
    errors, interval = score.errors, score.interval
    bounds = f" [{100 * interval.low:.2f}, {100 * interval.high:.2f}]" if interval else ""
    bounds += f" by {score.blocks}" if interval and score.blocks else ""
    counts = f"{errors.substitutions} sub, {errors.deletions} del, {errors.insertions} ins"
    return f"WER {100 * score.wer:.2f} %{bounds} ({counts} of {errors.words} words)"


def _translation_scores(recognition: Recognition) -> list[str]:
    from duolect.evaluation import score_translations
    from duolect.evaluation.translation import TITLES

    found = score_translations(recognition.rows, skipped=recognition.skipped).metrics.items()
    bounds = {name: f" [{s.interval.low:.1f}, {s.interval.high:.1f}]" if s.interval else "" for name, s in found}
    return [f"{TITLES[name]} {score.value:.1f}{bounds[name]}" for name, score in found]
