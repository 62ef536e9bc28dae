"""`duolect tune`: a system's scales, on a development set only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from duolect.cli.arguments import (
    Device,
    ManifestPath,
    NameOption,
    PathOption,
    SystemPath,
    load_system,
    parse,
    progress_bar,
    require_writable,
    say,
)
from duolect.cli.overrides import override_search, search_options
from duolect.errors import ConfigError

_OF_DECODING = ("nbest", "rounds", "batch_seconds")


@dataclass(frozen=True)
class Tune:
    """Find the scales of a system's search on a development set and keep them, with their provenance, in its folder.

    Never tune on the set that is to be reported: recognising it afterwards is marked in the results. Any other setting
    of the search, which is kept with the scales: --search.FIELD VALUE, such as --search.beam 32.
    """

    system: SystemPath
    """System folder, or the run folder of a finished training."""
    manifest: ManifestPath
    """The development set."""
    method: NameOption = None
    """The method whose scales are tuned (default: the system's own)."""
    out: PathOption = None
    """Write the tuned system to this folder and leave SYSTEM as it is."""
    overwrite: bool = False
    """Replace a system at OUT that has other models, or scales tuned for other methods, which are lost."""
    lists: PathOption = None
    """Choose the scales on the n-best lists of this file (--write-lists, or recognize --nbest) and run no model. Lists
    of a search without a prior give the prior no scale."""
    write_lists: PathOption = None
    """Keep the n-best lists, every term of every hypothesis, in this file."""
    without: tuple[Literal["decoder", "speech_llm", "lm", "prior"], ...] = ()
    """Terms of the method that are left out, such as the prior."""
    nbest: int = 64
    """Hypotheses of CTC alone that each list begins with; where all scales are of terms that are added after the first
    pass, the lists are those that it hands on."""
    rounds: int = 6
    """At most so often are scales chosen and the set decoded with them, which lengthens the lists."""
    batch_seconds: float = 60.0
    """Seconds of audio recognised at once, padding included; 0 for one utterance at a time."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    normaliser: Literal["plain", "none"] = "plain"
    """Applied to both sides before words are compared."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Tune`."""
    rest, settings = search_options(arguments)
    asked = parse("tune", Tune, rest)
    from duolect.data import load_manifest
    from duolect.systems import read_lists, system_folder, tune, tune_lists, write_lists

    if asked.lists is not None:
        for name in _OF_DECODING:
            if getattr(asked, name) != getattr(Tune, name):
                raise ConfigError(f"--{name.replace('_', '-')}: does not go with --lists, where nothing is decoded.")
    own = system_folder(asked.system)
    out = asked.out or own
    in_place = out.exists() and out.samefile(own)
    require_writable(out, folder=True, replaced=not in_place)
    if asked.write_lists is not None:
        require_writable(asked.write_lists, reads=[asked.manifest])
    utterances = load_manifest(asked.manifest)
    system = load_system(asked.system, asked.device)
    if not asked.overwrite and not in_place:
        system.require_nothing_lost(out, asked.method or system.method or "")
    search = None
    if settings:
        name = asked.method or system.method
        untuned = system if name is None else system.with_search(system.search_of(name, tuned=False), name)
        search = override_search(untuned, settings).search
    if asked.lists is not None:
        lists, name = read_lists(asked.lists), str(asked.manifest)
        found = tune_lists(
            system,
            utterances,
            lists,
            asked.method,
            search=search,
            without=asked.without,
            set_name=name,
            normaliser=asked.normaliser,
        )
    else:
        with progress_bar(f"tuning {asked.method or system.method}") as progress:
            found = tune(
                system,
                utterances,
                asked.method,
                search=search,
                without=asked.without,
                set_name=str(asked.manifest),
                nbest=asked.nbest,
                rounds=asked.rounds,
                batch_seconds=asked.batch_seconds,
                normaliser=asked.normaliser,
                progress=progress,
            )
    if asked.write_lists is not None:
        write_lists(asked.write_lists, found.lists, {u.id: u.text for u in utterances})
    record, tuned = found.record, system.with_tuning(found.record)
    if system.search is not None and system.method != record.method:
        tuned = tuned.with_search(system.search, system.method)  # the other is used where --method names it
    scales = "  ".join(f"{term} {getattr(found.scales, term):.3g}" for term in found.scales.active)
    print(f"{record.method}: {scales}")
    what = "the search" if record.rounds else "the lists"
    print(
        f"WER of {what} on {record.utterances} utterances: {100 * found.wer_before:.2f} % before,"
        f" {100 * found.wer:.2f} % after; {100 * record.oracle_wer:.2f} % if the best of each list were chosen"
    )
    for number, each in enumerate(record.rounds[1:], 1):
        scales = "  ".join(f"{term} {getattr(each.scales, term):.3g}" for term in each.scales.active)
        promised = 100 * (each.list_wer or 0.0)
        print(f"  round {number}: {scales}: lists {promised:.2f} %, search {100 * each.wer:.2f} %, {each.new} new")
    tuned.save(out)
    print(f"written to {out}")
    if record.at_edge:
        say("The best scales lie at the edge of the grid; better ones may lie beyond it.")
    for term in found.lacking:
        say(f"No list of {asked.lists} has the term {term!r}: it has no scale; lists of --write-lists have every term.")
    if found.skipped:
        name, reason = next(iter(found.left_out.items()))
        say(f"Utterances left out: {found.skipped}, such as {name}: {reason.rstrip('.')}.")
    return 0
