"""`duolect stress`: sound without speech, and speech under strain, to see what a system makes up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from duolect.cli.arguments import NumberOption, PathOption, parse, progress_bar, require_writable, say

Numbers = Annotated[tuple[float, ...], tyro.conf.arg(metavar="N...")]


@dataclass(frozen=True, kw_only=True)
class Stress:
    """Write a stress set: silence, noise, music, babble and sounds of surroundings, all made here, of which nothing is
    to be written; and, of the utterances of a manifest, recordings that are long, half silent or full of noise.

    DIR/stress.jsonl is a manifest like any other: recognise it with each system, then
    `duolect score A.jsonl B.jsonl --panel --by condition`. The same settings give the same files.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder to write: stress.jsonl, audio/ and skipped.jsonl."""
    speech: PathOption = None
    """A manifest: its utterances unchanged, with silence before, behind and inside, in noise, and joined."""
    sounds: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR...")] = ()
    """Folders of sound files without speech, such as musan/music and musan/noise; read where they are. Conditions are
    called after them, by as much of the path as tells them apart."""
    kinds: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME...")] = ("all",)
    """Sounds to make here: zeros, dither, room, white, pink, brown, hum, clicks, bursts, chords, plucked, drums, band,
    babble, backwards, wind, rain, waves, engine, telephone, birds; or all, or none."""
    seconds: Numbers = (1.0, 3.0, 10.0, 30.0)
    """Lengths of the sounds that are made."""
    takes: int = 1
    """Variants of each sound and length."""
    utterances: int = 50
    """Utterances drawn from the manifest."""
    snr: Numbers = (10.0, 0.0)
    """Speech over noise (pink, babble, music in turn), in dB."""
    silence: float = 10.0
    """Seconds of silence before, behind or inside an utterance."""
    joined: Numbers = (30.0, 60.0)
    """Utterances are joined to recordings of so many seconds: choose some beyond what the systems were trained on."""
    recordings: int = 10
    """Recordings of each such length."""
    seed: int = 0
    """Draws everything that is random."""
    workers: NumberOption = None
    """Processes; by default one for each core."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Stress`."""
    asked = parse("stress", Stress, arguments)
    from duolect.data.nonspeech import SOUNDS, StressConfig, make_stress_set

    config = StressConfig(
        seed=asked.seed,
        kinds={("all",): tuple(SOUNDS), ("none",): ()}.get(asked.kinds, asked.kinds),
        seconds=asked.seconds,
        takes=asked.takes,
        utterances=asked.utterances,
        snr=asked.snr,
        silence=asked.silence,
        joined=asked.joined,
        recordings=asked.recordings,
    )
    require_writable(asked.out, folder=True)
    with progress_bar("making sound") as progress:
        made = make_stress_set(
            asked.out, config, speech=asked.speech, sounds=asked.sounds, workers=asked.workers, progress=progress
        )
    if len(made.skipped):
        say(made.skipped.summary())
    for condition, hours in made.hours.items():
        print(f"{condition:<24}{hours * 60:>8.1f} min")
    print(f"{made.manifest}: {sum(made.hours.values()) * 60:.1f} min of sound")
    return 0
