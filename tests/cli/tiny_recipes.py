"""Recipes of models that train in a second, as a user would write them: FILE.py:acoustic, :language, :speech_llm."""

from pathlib import Path

from duolect.audio import FeatureConfig
from duolect.data import BatchConfig
from duolect.models import AcousticConfig, DecoderConfig, LanguageConfig, LLMConfig, SpeechLLMConfig
from duolect.nn import ConformerConfig, FrontEndConfig
from duolect.text import UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    LoopConfig,
    OptimiserConfig,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
)

FEATURES = FeatureConfig(mels=16)
ENCODER = ConformerConfig(
    width=16, layers=2, heads=2, feed_forward=32, kernel=5, front_end=FrontEndConfig(channels=(4, 4, 4))
)
LLM = LLMConfig(vocabulary=1, width=16, layers=2, heads=2, max_positions=512)
BATCHES = BatchConfig(max_seconds=12, buckets=2)


def acoustic(train: Path, dev: Path, steps: int = 4) -> Recipe:
    """CTC and a decoder over characters."""
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                features=FEATURES,
                encoder=ENCODER,
                ctc_layers=(1, 2),
                decoder=DecoderConfig(layers=1, width=16, heads=2),
            ),
            units=UnitsConfig(kind="characters"),
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
        ),
        optimiser=OptimiserConfig(lr=0.01),
        loop=loop(steps),
    )


recipe = acoustic


def language(text: Path, dev: Path, units: Path | None = None, steps: int = 4) -> Recipe:
    """A language model in the units of a run, or in characters of its own."""
    own = UnitsConfig(kind="characters") if units is None else UnitsFrom(folder=str(units))
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(**FROM_UNITS, llm=LLM), units=own, train=(str(text),), dev=str(dev), max_tokens=1000
        ),
        optimiser=OptimiserConfig(lr=0.01),
        loop=loop(steps),
    )


def speech_llm(train: Path, dev: Path, acoustic: Path, language: Path, steps: int = 2) -> Recipe:
    """The encoder of one run before the language model of another."""
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(**FROM_UNITS, llm=LLM, features=FEATURES, encoder=ENCODER, ctc_layers=(2,)),
            units=UnitsFrom(folder=str(language), component="language"),
            train=(str(train),),
            dev=str(dev),
            batches=BATCHES,
            initialise_encoder=str(acoustic),
            initialise_llm=str(language),
        ),
        loop=loop(steps),
    )


def loop(steps: int) -> LoopConfig:
    """Few steps, everything on the way."""
    return LoopConfig(steps=steps, evaluate_every=steps, checkpoint_every=2, log_every=1, tensorboard=False, threads=1)
