"""Length normalisation: hypotheses are ranked by score / N^α (N labels); how α and the beam play together."""

from __future__ import annotations

from duolect.studies.axes.rows import ALONE, INTEGRATION, JOINT, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.study import ALIKE, Claim, Study

EXPONENTS = (0.0, 0.5, 1.0, 1.5)
BEAMS = (4, 12)
DECODER_BEAMS = (12, 64)


def length(scale: Scale) -> Study:
    """The speech LLM alone, exponents by beams; with CTC, without and with normalisation; the attention decoder."""
    alone = [
        row(
            scale,
            f"alone, beam {beam}, α {exponent:g}",
            scale.speech_llm,
            ALONE,
            small_effect=True,
            value=exponent,
            changes={"beam": beam, "nbest": beam, "length_exponent": exponent},
        )
        for beam in BEAMS
        for exponent in EXPONENTS
    ]
    joint = [
        row(
            scale,
            f"with CTC, beam {beam}, α {exponent:g}",
            scale.speech_llm,
            JOINT,
            small_effect=True,
            value=exponent,
            changes={"beam": beam, "nbest": beam, "length_exponent": exponent},
        )
        for beam in BEAMS
        for exponent in (0.0, 1.0)
    ]
    decoder = [
        row(
            scale,
            f"attention decoder with CTC, beam {beam}, α 0",
            scale.acoustic,
            "attention+ctc",
            small_effect=True,
            value=0.0,
            changes={"beam": beam, "nbest": beam},
        )
        for beam in DECODER_BEAMS
    ]
    few, many = BEAMS
    usual = next(entry for entry in alone if entry.name == f"alone, beam {few}, α 1")
    return Study(
        name="length",
        title="Length normalisation and beam",
        question="Which power of the length should scores be divided by, and does a wider beam then help?",
        scale=scale.name,
        axis="α",
        entries=grouped([[usual, *(entry for entry in alone if entry is not usual)], joint, decoder]),
        claims=[
            Claim(
                text="A speech LLM that is searched with CTC gains nothing from a beam above 4.",
                source=f"the authors' public recipes for {INTEGRATION}, a comment",
                better=f"with CTC, beam {few}, α 0",
                worse=f"with CTC, beam {many}, α 0",
                margin=ALIKE,
                one_sided=True,
            ),
            Claim(
                text="Beams of 12 to 64 make no difference to an attention decoder (here with CTC).",
                source=f"the authors' public recipes for {INTEGRATION}, a comment (LibriSpeech, no CTC named)",
                better="attention decoder with CTC, beam 64, α 0",
                worse="attention decoder with CTC, beam 12, α 0",
                margin=ALIKE,
            ),
        ],
        notes=[
            (
                f"In the recipes of {INTEGRATION} α is 1 for a speech LLM alone and 0 where CTC takes part. The "
                "weights of CTC and the models are alike in all rows."
            ),
        ],
        details=["errors"],
        panel=["short", "long"],
    )
