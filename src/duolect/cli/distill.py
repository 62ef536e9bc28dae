"""`duolect distill`: a translation model writes the targets that a speech translation model is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from duolect.cli.arguments import Device, ManifestPath, parse, progress_bar, require_writable, say, torch_device


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Translate the transcripts of a manifest with a translation model (sequence-level knowledge distillation).

    OUT gets every original row that has a translation and after it the distilled one, with `translation`, `target_lang`
    and `distilled_from`; OUT.distill.json what made it, OUT.skipped.jsonl what could not be translated and why. An
    interrupted call goes on where it was.
    """

    manifest: ManifestPath
    """JSON lines with audio_filepath, duration and text."""
    model: str
    """A hub name or folder of transformers: Marian, M2M100, NLLB, mBART, T5 …"""
    source: Annotated[str, tyro.conf.arg(metavar="LANG")]
    """The language that is spoken: "en", or the model's own code, such as "eng_Latn"."""
    target: Annotated[str, tyro.conf.arg(metavar="LANG")]
    """The language to translate into; it becomes the rows' target_lang as it is given."""
    out: Annotated[Path, tyro.conf.arg(metavar="OUT.jsonl")]
    """The manifest to write."""
    only_distilled: bool = False
    """Leave the original rows out; distilled ones then keep their ids."""
    beam: int = 4
    """Hypotheses that the search keeps."""
    batch: int = 32
    """Sentences translated at once."""
    prefix: str | None = None
    """Text before each sentence, for a model that is told so what to do; by default what is known of its kind."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Distill`."""
    asked = parse("distill", Distill, arguments)
    require_writable(asked.out)
    from duolect.training.distillation import distill
    from duolect.training.translator import TranslatorConfig

    config = TranslatorConfig(
        model=asked.model,
        source=asked.source,
        target=asked.target,
        beam=asked.beam,
        batch=asked.batch,
        prefix=asked.prefix,
    )
    with progress_bar(f"translating with {asked.model}") as progress:
        found = distill(
            asked.manifest,
            asked.out,
            config,
            only_distilled=asked.only_distilled,
            device=torch_device(asked.device),
            progress=progress,
        )
    if found.reused:
        say(f"{found.reused} of {found.sentences} sentences had been translated before.")
    if len(found.skipped):
        say(found.skipped.summary())
    print(f"{asked.out}: {found.originals} original and {found.distilled} distilled rows")
    return 0
