"""What makes positions of the LLM from the encoder's frames, and how many frames a position stands for."""

from __future__ import annotations

from functools import partial
from typing import Any

from duolect.studies.axes.rows import HOW, INTEGRATION, KEY_VALUES, PREPENDING, UNTUNED, grouped, row
from duolect.studies.scales.base import Scale
from duolect.studies.study import ALIKE, Claim, Study

NONE, CTC = "1 frame side by side", "CTC compression"
ADAPTERS: dict[str, dict[str, Any]] = {
    "2 frames side by side": {"adapter": "concat", "concatenate": 2},
    NONE: {"adapter": "concat", "concatenate": 1},
    "4 frames side by side": {"adapter": "concat", "concatenate": 4},
    "8 frames side by side": {"adapter": "concat", "concatenate": 8},
    "convolution, stride 2": {"adapter": "conv", "concatenate": 2},
    "Q-Former, 2 frames a query": {"adapter": "qformer", "concatenate": 2},
    CTC: {"adapter": "ctc", "concatenate": 1},
}
PUBLISHED = {
    NONE: f"10.3 % (MuST-C en, {PREPENDING}, Table 1, line 5)",
    CTC: f"10.4 % (MuST-C en, {PREPENDING}, Table 1, line 5.1)",
}


def downsampling(scale: Scale) -> Study:
    """Frames put side by side in several numbers, and other adapters of about the same rate."""
    return Study(
        name="downsampling",
        title="Adapters and downsampling",
        question="How far, and by what, can the encoder's frames be reduced before the LLM reads them?",
        scale=scale.name,
        axis="frames a position",
        entries=grouped(
            [
                row(
                    scale,
                    f"{name}, {how}",
                    partial(scale.speech_llm, **adapter),
                    method,
                    small_effect=name in (NONE, CTC),
                    memory=True,
                    value=None if adapter["adapter"] == "ctc" else adapter["concatenate"],
                    published=PUBLISHED.get(name, "") if how == "alone" else "",
                )
                for name, adapter in ADAPTERS.items()
            ]
            for how, method in HOW.items()
        ),
        claims=[
            Claim(
                text="CTC compression costs a decoder that the audio is prepended to no accuracy.",
                source=f"{PREPENDING}, Table 1, lines 5 and 5.1",
                better=f"{CTC}, alone",
                worse=f"{NONE}, alone",
                margin=ALIKE,
                one_sided=True,
            )
        ],
        notes=[
            UNTUNED,
            KEY_VALUES,
            (
                "The published numbers are of decoders trained from scratch whose encoder compresses after layer 8 "
                f"of 12; here the adapter behind the encoder does. In the recipes of {INTEGRATION} 1 and 2 frames are "
                "seen, without error rates."
            ),
        ],
    )
