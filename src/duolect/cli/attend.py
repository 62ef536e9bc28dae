"""`duolect attend`: where a model looks in the audio as it writes its text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from duolect.cli.arguments import Device, NameOption, SystemPath, load_system, parse, require_writable
from duolect.errors import ConfigError

_LAYERS = 4


@dataclass(frozen=True)
class Attend:
    """Draw the attention of a model to one recording, label by label, as a PNG or as a page.

    A speech LLM that has audio and text in one sequence: its self-attention, to prompt, audio and text. One with
    cross-attention, and the attention decoder of an acoustic model: the cross-attention to the audio over time.
    """

    system: SystemPath
    """System folder, or the run folder of a finished training."""
    audio: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="AUDIO")]
    """Any format that libsndfile reads: wav, flac, ogg, opus, mp3 …"""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png|.html")]
    """The figure to write."""
    text: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    """What is written (default: what the system recognises)."""
    layers: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N...")] = ()
    """Layers, counted from 1 (default: four of them, evenly spread)."""
    heads: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N...")] = ()
    """Heads, counted from 1, each in a panel of its own (default: the mean over all)."""
    component: Literal["speech_llm", "acoustic"] | None = None
    """Whose model, speech_llm or acoustic (default: the speech LLM where there is one)."""
    method: NameOption = None
    """A named method to recognise with (default: the system's own)."""
    prompt: Annotated[str | None, tyro.conf.arg(metavar="PROMPT")] = None
    """For a speech LLM: not its own prompt but this one, by name or written out as BEFORE<audio>AFTER."""
    target_language: NameOption = None
    """What to write, where the model has a choice."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Attend`."""
    asked = parse("attend", Attend, arguments)
    if asked.out.suffix.lower() not in (".png", ".html", ".htm"):
        raise ConfigError(f"--out: {asked.out} must end in .png or .html.")
    require_writable(asked.out)
    from duolect.reports import save_attention
    from duolect.systems import attend

    system = load_system(asked.system, asked.device, asked.method)
    if asked.prompt is not None:
        system = system.with_prompt(asked.prompt)
    found = attend(
        system,
        asked.audio,
        text=asked.text,
        layers=asked.layers or None,
        heads=asked.heads or None,
        component=asked.component,
        target_language=asked.target_language,
    )
    save_attention(found if asked.layers else found.spread(_LAYERS), asked.out)
    print(f"{asked.out}: {'recognised' if found.recognised else 'given'}: {found.text}")
    return 0
