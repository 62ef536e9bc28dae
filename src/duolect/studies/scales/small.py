"""The scale of tens of hours: the synthetic corpus of 25 hours or the user's own data, models of ten million
parameters, on one GPU or, in days, a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from duolect.data.synthetic import Size
from duolect.recipes.aed import small_aed
from duolect.recipes.small import small_acoustic, small_language, small_speech_llm
from duolect.studies.scales.own import OwnScale, Recipes
from duolect.studies.study import ScaleName

_USUAL = "6 layers of 256"


@dataclass(frozen=True, kw_only=True)
class SmallScale(OwnScale):
    """The recipes small-…, three seeds where effects are small.

    Trainings checkpoint ten times and go on from there, so that a study fits pieces of any length (`--until`). With
    `gpus=0` all runs on the CPU.
    """

    name: ClassVar[ScaleName] = "small"
    tuning_rounds: ClassVar[int] = 4
    tuning_lists: ClassVar[int] = 64
    recipes: ClassVar[Recipes] = Recipes(
        acoustic=small_acoustic, language=small_language, speech_llm=small_speech_llm, aed=small_aed, several=True
    )
    networks: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "4 layers of 160": {"width": 160, "layers": 4, "intermediate": 480},
        _USUAL: {},
        "10 layers of 384": {"width": 384, "layers": 10, "intermediate": 1152},
    }
    llm_sizes: ClassVar[Mapping[str, float]] = {"4 layers of 160": 1.4, _USUAL: 5.2, "10 layers of 384": 19.4}
    own_pieces: ClassVar[int] = 2000

    seeds: tuple[int, ...] = (1, 2, 3)
    size: Size = "small"
    acoustic_steps: int = 6000
    language_steps: int = 4000
    speech_llm_steps: int = 4000
    sampled: int = 20_000
    pretrained_steps: int = 4000
    adaptation_steps: int = 1000
    aed_steps: int = 6000
    translation_steps: int = 3000
    gpus: int = 1
