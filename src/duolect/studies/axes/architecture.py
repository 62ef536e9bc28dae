"""Cross-attention, the audio before the labels, or a decoder alone: three ways to let a decoder hear, two encoders."""

from __future__ import annotations

from typing import Any

from duolect.studies.axes.attending import NAMES, PUBLISHED, SIZES, TABLE_1, attending
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.study import ALIKE, Claim, Study


def architecture(scale: Scale) -> Study:
    """All six, trained from scratch to transcribe."""

    def said(one: Architecture, other: Architecture) -> str:
        rates = " and ".join(PUBLISHED[each, False].transcribed for each in (one, other))
        return f"{TABLE_1}: {rates}"

    def better(text: str, one: Architecture, other: Architecture, **fields: Any) -> Claim:
        return Claim(text=text, source=said(one, other), better=NAMES[one], worse=NAMES[other], **fields)

    def as_good(text: str, one: Architecture, other: Architecture) -> Claim:
        return better(text, one, other, margin=ALIKE, one_sided=True)

    return Study(
        name="architecture",
        title="Prepending or cross-attention",
        question="Should a decoder attend to the audio or have it before its labels, and does it need an encoder?",
        scale=scale.name,
        entries=[
            attending(scale, each, published=f"{PUBLISHED[each, False].transcribed} ({TABLE_1})") for each in NAMES
        ],
        claims=[
            as_good(
                "Prepending to a Conformer's states is as good as cross-attention.",
                "prepend-conformer",
                "cross-conformer",
            ),
            as_good(
                "Prepending to a Transformer's states is as good as cross-attention on MuST-C.",
                "prepend-transformer",
                "cross-transformer",
            ),
            better("Cross-attention is better than a decoder alone.", "cross-transformer", "decoder-only"),
            better("Prepending with an encoder is better than without.", "prepend-transformer", "decoder-only"),
            better("A Conformer is better than a decoder of its size.", "prepend-conformer", "decoder-only-large"),
        ],
        notes=[
            SIZES,
            "Audio before the labels is causal behind an encoder and bidirectional without, as published.",
            (
                "Behind a Transformer cross-attention is published as better on CoVoST 2 (23.7 and 24.7 %, significant "
                "for each of four languages): study languages."
            ),
        ],
    )
