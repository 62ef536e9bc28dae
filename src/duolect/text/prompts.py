"""Prompts: the text around the audio of a speech LLM, by name or written out, and spelled in its units."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from duolect.errors import ConfigError, UnitsError
from duolect.text.huggingface import HuggingFaceUnits
from duolect.text.units import Units

AUDIO = "<audio>"
"""Where the audio stands in a prompt that is written as one text."""


@dataclass(frozen=True)
class Prompt:
    """The text before and after the audio, exactly as it is to be spelled: its case and its spaces count.

    `tag`: of a model with several targets (languages to translate into, say), the one this prompt asks for.
    """

    before: str = ""
    after: str = ""
    tag: str | None = None

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            if AUDIO in getattr(self, name):
                raise ConfigError(f"prompt: {name} must not hold {AUDIO}, which stands for the audio itself.")

    def __str__(self) -> str:
        return f"{self.before}{AUDIO}{self.after}"


PROMPTS: Mapping[str, Prompt] = {
    "none": Prompt(),
    "instruction": Prompt(after="Transcribe speech to text."),
    "role-tagged": Prompt("USER: ", "Transcribe speech to text. ASSISTANT: "),
}
"""The prompts that have names; "role-tagged" is that of arXiv 2603.15045."""


def find_prompt(name: str, tag: str | None = None) -> Prompt:
    """The prompt of that name, or the one that `name` writes out with <audio> in its midst: "USER: <audio> Write!".

    A space beside <audio> is part of the prompt. Raises ConfigError for what is neither.
    """
    if name in PROMPTS:
        return dataclasses.replace(PROMPTS[name], tag=tag)
    if name.count(AUDIO) == 1:
        before, after = name.split(AUDIO)
        return Prompt(before, after, tag)
    near = difflib.get_close_matches(name, PROMPTS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the names are {', '.join(PROMPTS)}."
    raise ConfigError(f"prompt: {name!r} is not the name of a prompt, nor a text with one {AUDIO} in it; {hint}")


@dataclass(frozen=True)
class SpelledPrompt:
    """A prompt and its labels: what a speech LLM is trained and used with. The default is no prompt at all."""

    text: Prompt = field(default_factory=Prompt)
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def tag(self) -> str | None:
        """The target it asks for."""
        return self.text.tag

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


def spell_prompts(prompts: Sequence[Prompt], units: Units, where: str = "prompts") -> tuple[SpelledPrompt, ...]:
    """The prompts in `units`, as they are written: units that lower-case what is spoken leave a prompt alone.

    (SentencePiece units have no label for a space at the end, nor for the lack of one at the beginning.)
    Raises UnitsError that names the field (`where`, its place, before or after) and the character that has no label.
    """
    spelled = []
    for place, prompt in enumerate(prompts):
        labels = {
            side: tuple(_spell(getattr(prompt, side), units, f"{where}[{place}].{side}"))
            for side in ("before", "after")
        }
        spelled.append(SpelledPrompt(prompt, **labels))
    return tuple(spelled)


def _spell(text: str, units: Units, where: str) -> list[int]:
    try:
        return units.encode_as_written(text) if isinstance(units, HuggingFaceUnits) else units.encode(text)
    except UnitsError as error:
        raise UnitsError(f"{where}: {error}") from error


def check_prompts(prompts: Sequence[Prompt | SpelledPrompt], tags: Sequence[str], where: str) -> None:
    """Raise ConfigError unless every tag has a prompt, and every prompt one of the tags where there are any."""
    if len(set(tags)) < len(tags) or not all(tags):
        raise ConfigError(f"{where}: the tags must be different names, not {', '.join(map(repr, tags))}.")
    for place, prompt in enumerate(prompts):
        if prompt.tag not in (tags or (None,)):
            expected = f"one of the tags {', '.join(map(repr, tags))}" if tags else "none, for the model has no tags"
            raise ConfigError(f"{where}: prompts[{place}] has the tag {prompt.tag!r}; expected {expected}.")
    for tag in tags:
        if not any(prompt.tag == tag for prompt in prompts):
            raise ConfigError(f"{where}: there is no prompt for the tag {tag!r}; each tag needs one of its own.")
