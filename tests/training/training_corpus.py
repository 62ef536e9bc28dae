"""A corpus of tones, tiny recipes over it, and a script that trains some, one after the other:

python training_corpus.py '[[FUNCTION, {its keywords}, FOLDER], ...]'
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from duolect.audio import FeatureConfig
from duolect.data import BatchConfig, SpecAugmentConfig, WaveAugmentConfig
from duolect.models import AcousticConfig, DecoderConfig, LanguageConfig, LLMConfig, LoraSettings, SpeechLLMConfig
from duolect.nn.conformer import ConformerConfig
from duolect.nn.frontend import FrontEndConfig
from duolect.recipes.interfaces import InterfaceName, interface_config
from duolect.recipes.pretrained import pretrained_acoustic
from duolect.text import Prompt, UnitsConfig
from duolect.training import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    LoopConfig,
    OptimiserConfig,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
    train_recipe,
)

WORDS = ("so", "la", "mi", "do", "re")
PROMPTS = (Prompt("do re"), Prompt("", "mi so la"))


def make_corpus(folder: Path, utterances: int = 14) -> Path:
    """Manifests train.jsonl and dev.jsonl of tones (a word each, its pitch says which), and text lm.txt."""
    folder.mkdir(parents=True)
    made = np.random.default_rng(3)
    lines: list[str] = []
    for number in range(utterances):
        words = made.integers(0, len(WORDS), made.integers(2, 5)).tolist()
        times = np.arange(int(16000 * made.uniform(0.25, 0.35))) / 16000
        tones = [0.3 * np.sin(2 * np.pi * 250 * (word + 1) * times) for word in words]
        samples = np.concatenate(tones) + made.normal(0, 0.01, len(words) * len(times))
        soundfile.write(folder / f"{number}.wav", samples.astype(np.float32), 16000)
        text = " ".join(WORDS[word] for word in words)
        entry = {"audio_filepath": f"{number}.wav", "duration": len(samples) / 16000, "text": text, "id": f"u{number}"}
        lines.append(json.dumps(entry) + "\n")
    (folder / "train.jsonl").write_text("".join(lines[:-3]))
    (folder / "dev.jsonl").write_text("".join(lines[-3:]))
    (folder / "lm.txt").write_text("".join(json.loads(line)["text"] + "\n" for line in lines))
    return folder


def encoder(dropout: float) -> ConformerConfig:
    return ConformerConfig(
        layers=2,
        width=16,
        heads=2,
        feed_forward=32,
        kernel=5,
        dropout=dropout,
        front_end=FrontEndConfig(channels=(4, 4, 4)),
    )


def acoustic_recipe(corpus: Path, *, dropout: float = 0.1, augment: bool = True, eps: float = 1e-8, **loop) -> Recipe:
    """CTC at both layers and a decoder over characters, batch norm in every layer, SpecAugment from the second step.

    eps: Adam's. A bias before a batch norm, or of keys, has a gradient of rounding alone; much smaller than `eps` it
    moves nothing, else as much as any other, and in other directions where sums are rounded otherwise.
    """
    return Recipe(
        task=AcousticTask(
            model=AcousticConfig(
                **FROM_UNITS,
                vocabulary=1,
                features=FeatureConfig(mels=16),
                encoder=encoder(dropout),
                ctc_layers=(1, 2),
                decoder=DecoderConfig(layers=1, width=16, heads=2, dropout=dropout),
                spec_augment=SpecAugmentConfig(steps=(1, 3, 5)) if augment else None,
            ),
            units=UnitsConfig(kind="characters"),
            train=(str(corpus / "train.jsonl"),),
            dev=str(corpus / "dev.jsonl"),
            batches=BatchConfig(max_seconds=4, buckets=2),
            wave_augment=WaveAugmentConfig(noise_snr=(10, 20)) if augment else None,
        ),
        optimiser=OptimiserConfig(lr=0.003, eps=eps),
        loop=_loop(**loop),
    )


def pretrained_recipe(corpus: Path, source: Path, **loop) -> Recipe:
    """CTC and a decoder on a pre-trained encoder, SpecAugment from the second step."""
    recipe = pretrained_acoustic(train=(corpus / "train.jsonl",), dev=corpus / "dev.jsonl", encoder=str(source))
    task = recipe.task
    assert isinstance(task, AcousticTask)
    decoder = DecoderConfig(layers=1, width=16, heads=2, dropout=0.0)
    model = replace(task.model, decoder=decoder, spec_augment=SpecAugmentConfig(steps=(1, 3, 5)))
    units, batches = UnitsConfig(kind="characters"), BatchConfig(max_seconds=4, buckets=2)
    return replace(recipe, task=replace(task, model=model, units=units, batches=batches), loop=_loop(**loop))


def language_recipe(corpus: Path, units: Path, **loop) -> Recipe:
    """A small Qwen2 over the units of another run."""
    return Recipe(
        task=LanguageTask(
            model=LanguageConfig(llm=_llm(), **FROM_UNITS),
            units=UnitsFrom(folder=str(units)),
            train=(str(corpus / "lm.txt"),),
            dev=str(corpus / "lm.txt"),
            max_tokens=200,
        ),
        optimiser=OptimiserConfig(lr=0.003),
        loop=_loop(**loop),
    )


def speech_llm_recipe(
    corpus: Path,
    acoustic: Path,
    language: Path,
    *,
    dropout: float = 0.1,
    lora: bool = False,
    prompts: tuple[Prompt, ...] = PROMPTS,
    interface: InterfaceName = "prefix",
    **loop,
) -> Recipe:
    """The encoder of one run before the language model of another, which is frozen, or trained by LoRA.

    With LoRA, this and the encoder wait for two steps.
    """
    return Recipe(
        task=SpeechLLMTask(
            model=SpeechLLMConfig(
                **FROM_UNITS,
                llm=_llm(),
                features=FeatureConfig(mels=16),
                encoder=encoder(dropout),
                interface=interface_config(interface),
                ctc_layers=(2,),
                finetune="lora" if lora else "frozen",
                lora=LoraSettings(rank=2, alpha=8) if lora else None,
            ),
            units=UnitsFrom(folder=str(acoustic)),
            train=(str(corpus / "train.jsonl"),),
            dev=str(corpus / "dev.jsonl"),
            batches=BatchConfig(max_seconds=4, buckets=2),
            prompts=prompts,
            initialise_encoder=str(acoustic),
            initialise_llm=str(language / "system"),
        ),
        optimiser=OptimiserConfig(
            lr=0.003,
            learning_rate_scales={"^speech": 0.5},
            freeze_until={"lora_": 2, r"^speech\.encoder\.": 2} if lora else {},
        ),
        loop=_loop(**loop),
    )


def _llm() -> LLMConfig:
    return LLMConfig(vocabulary=1, width=16, layers=2, heads=2)


def _loop(**settings) -> LoopConfig:
    defaults = {"checkpoint_every": 4, "evaluate_every": 8, "log_every": 1, "tensorboard": False, "threads": 1}
    return LoopConfig(**{"steps": 8, **defaults, **settings})


if __name__ == "__main__":
    for name, arguments, folder in json.loads(sys.argv[1]):
        paths = {key: Path(value) for key, value in arguments.items() if isinstance(value, str) and "/" in value}
        train_recipe(globals()[name](**arguments | paths), folder, device="cpu")
