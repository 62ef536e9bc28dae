"""The scale of the demo: the synthetic corpus of 4.5 hours or the user's own data, models of three million parameters,
minutes on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from duolect.data.synthetic import Size
from duolect.recipes.aed import demo_aed
from duolect.recipes.demo import demo_acoustic, demo_language, demo_speech_llm
from duolect.studies.scales.own import OwnScale, Recipes
from duolect.studies.study import ScaleName

_USUAL = "3 layers of 160"


@dataclass(frozen=True, kw_only=True)
class DemoScale(OwnScale):
    """As `duolect demo`, so that its figures and those of the studies belong together.

    Steps are for the demo's corpus; with other data set them (`--set acoustic_steps=…`).
    """

    name: ClassVar[ScaleName] = "demo"
    tuning_rounds: ClassVar[int] = 2
    tuning_lists: ClassVar[int] = 32
    recipes: ClassVar[Recipes] = Recipes(
        acoustic=demo_acoustic, language=demo_language, speech_llm=demo_speech_llm, aed=demo_aed, several=False
    )
    networks: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "2 layers of 96": {"width": 96, "layers": 2, "intermediate": 256},
        _USUAL: {},
        "4 layers of 256": {"width": 256, "layers": 4, "intermediate": 704},
    }
    llm_sizes: ClassVar[Mapping[str, float]] = {"2 layers of 96": 0.25, _USUAL: 1.0, "4 layers of 256": 3.3}
    own_pieces: ClassVar[int] = 1000

    size: Size = "demo"
    acoustic_steps: int = 1400
    language_steps: int = 400
    speech_llm_steps: int = 500
    sampled: int = 4000
    pretrained_steps: int = 900
    adaptation_steps: int = 100
    aed_steps: int = 1400
    translation_steps: int = 600
