"""Tiny random models of the real classes, sharp enough that hypotheses are not ties, and sounds made with NumPy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from duolect.audio import write_audio
from duolect.audio.features import FeatureConfig
from duolect.data import Utterance
from duolect.models import (
    AcousticConfig,
    AcousticModel,
    DecoderConfig,
    LanguageConfig,
    LanguageModel,
    LLMConfig,
    SpeechLLM,
    SpeechLLMConfig,
)
from duolect.nn.conformer import ConformerConfig
from duolect.nn.frontend import FrontEndConfig
from duolect.systems import Component, System, estimate_prior
from duolect.text import CharacterUnits, Prompt, spell_prompts

RATE = 16_000
ENCODER = ConformerConfig(
    width=16, layers=2, heads=2, kernel=5, dropout=0.0, front_end=FrontEndConfig(channels=(4, 4, 4))
)
FEATURES = FeatureConfig(mels=20)


def sound(seconds: float, seed: int) -> np.ndarray:
    """A tone that wanders, with noise: any two stretches of it differ."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    steps = np.repeat(random.uniform(150, 3000, 40), RATE // 10)[: len(time)]
    pitch = np.pad(steps, (0, len(time) - len(steps)), mode="edge")
    return (0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + 0.01 * random.normal(size=len(time))).astype(np.float32)


def sharpen(model: torch.nn.Module, names: tuple[str, ...], factor: float) -> None:
    """Larger output weights: random models are otherwise so unsure that every hypothesis is nearly a tie."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names):
                parameter.mul_(factor)


@pytest.fixture(scope="session")
def units() -> CharacterUnits:
    return CharacterUnits("abcdefgh ")


def make_acoustic(units: CharacterUnits, seed: int = 1, decoder: bool = True) -> Component:
    torch.manual_seed(seed)
    config = AcousticConfig(
        vocabulary=units.size,
        bos_id=units.bos_id,
        eos_id=units.eos_id,
        features=FEATURES,
        encoder=ENCODER,
        ctc_layers=(1, 2),
        decoder=DecoderConfig(width=16, layers=1, heads=2, dropout=0.0) if decoder else None,
    )
    model = AcousticModel(config)
    sharpen(model, ("ctc_heads",), 6.0)
    sharpen(model, ("decoder.embedding",), 4.0)
    return Component(model, units)


def make_language(units: CharacterUnits, seed: int = 2, positions: int = 512) -> Component:
    torch.manual_seed(seed)
    llm = LLMConfig(vocabulary=units.size, width=16, layers=1, heads=2, max_positions=positions)
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=units.bos_id, eos_id=units.eos_id))
    sharpen(model, ("embed_tokens",), 40.0)
    return Component(model, units)


def make_speech_llm(units: CharacterUnits, seed: int = 3) -> Component:
    torch.manual_seed(seed)
    config = SpeechLLMConfig(
        llm=LLMConfig(vocabulary=units.size, width=16, layers=1, heads=2, max_positions=512),
        bos_id=units.bos_id,
        eos_id=units.eos_id,
        features=FEATURES,
        encoder=ENCODER,
        prompts=spell_prompts([Prompt("cd", "e")], units),
        ctc_layers=(2,),
    )
    model = SpeechLLM(config)
    sharpen(model, ("ctc_heads",), 6.0)
    sharpen(model, ("embed_tokens",), 40.0)
    return Component(model, units)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Six utterances of very different length."""
    folder = tmp_path_factory.mktemp("sounds")
    texts = ["a bad cab", "face", "bead", "a cage", "deaf", "had a fad"]
    made = []
    for i, (seconds, text) in enumerate(zip([0.9, 0.35, 1.6, 0.6, 1.2, 0.2], texts, strict=True)):
        path = folder / f"u{i}.wav"
        write_audio(path, sound(seconds, seed=i))
        made.append(Utterance(audio_filepath=path, duration=seconds, text=text, id=f"u{i}"))
    return made


@pytest.fixture(scope="session")
def system(units: CharacterUnits, corpus: list[Utterance]) -> System:
    """All three components in the same units, with priors."""
    acoustic = estimate_prior(make_acoustic(units), corpus)
    return System(acoustic=acoustic, language=make_language(units), speech_llm=make_speech_llm(units))


@pytest.fixture(scope="session")
def make() -> dict[str, Callable[..., Component]]:
    """Further components, by kind, from units and a seed."""
    return {"acoustic": make_acoustic, "language": make_language, "speech_llm": make_speech_llm}


@pytest.fixture
def voice(tmp_path: Path) -> Callable[[float, str], Path]:
    """A sound file of so many seconds and that name."""

    def write(seconds: float, name: str) -> Path:
        write_audio(tmp_path / name, sound(seconds, seed=7))
        return tmp_path / name

    return write
