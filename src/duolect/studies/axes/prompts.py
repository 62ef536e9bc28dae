"""The text around the audio of a speech LLM: none, an instruction, the published one with roles; and another one in
recognition than in training."""

from __future__ import annotations

from functools import partial
from typing import Any

from duolect.studies.axes.rows import HOW, NO_TABLE, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.study import Entry, Study

ALONE = "alone"
ANY = "drawn from all three"
OTHERS = (
    ("none", "role-tagged"),
    ("role-tagged", "none"),
    ("role-tagged", "instruction"),
    (ANY, "instruction"),
    (ANY, "role-tagged"),
)
"""Trained with → recognised with; what is drawn from all is recognised with none by itself."""


def prompts(scale: Scale) -> Study:
    """Trained with each prompt and with all, recognised with the same and with others."""
    trained = {name: (name,) for name in scale.prompts} | {ANY: tuple(scale.prompts)}

    def entry(given: str, asked: str | None, how: str, **fields: Any) -> Entry:
        return row(
            scale,
            f"{given}{f', asked with {asked}' if asked else ''}, {how}",
            partial(scale.speech_llm, prompts=trained[given]),
            HOW[how],
            small_effect=True,
            facts={"Trained with": given, "Asked with": asked or trained[given][0]},
            prompt=scale.prompts[asked] if asked else None,
            **fields,
        )

    return Study(
        name="prompts",
        title="Text prompts",
        question="Does a prompt around the audio help, and must recognition ask with the one of the training?",
        scale=scale.name,
        entries=[
            *grouped([entry(given, None, how) for given in trained] for how in HOW),
            *(entry(given, asked, ALONE, against=f"{given}, {ALONE}") for given, asked in OTHERS),
        ],
        notes=[
            NO_TABLE,
            "The prompts: " + "; ".join(f"{name}: {text!r}" for name, text in scale.prompts.items() if name != text)
            if any(name != text for name, text in scale.prompts.items())
            else "The prompts are those of `duolect.text.PROMPTS`.",
        ],
    )
