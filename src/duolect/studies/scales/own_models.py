"""What scales with models of their own have besides: language models of the transcripts, attention models, German."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from duolect.data.synthetic import Size, synthetic_config
from duolect.models import LoraSettings
from duolect.recipes.aed import Coupling, EncoderKind
from duolect.recipes.settings import finetuning
from duolect.studies.scales.base import AEDModel, Architecture, Languages
from duolect.studies.scales.building import corpus_file, heard_of, training
from duolect.studies.scales.changes import with_loop, with_model, with_task
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.corpora import TRANSCRIPTS, Joined, SpokenTranslations, SyntheticCorpus
from duolect.studies.stages.training import Training
from duolect.training import OptimiserConfig, Recipe, UnitsFrom

_ARCHITECTURES: Mapping[Architecture, tuple[EncoderKind, Coupling]] = {
    "cross-transformer": ("transformer", "cross"),
    "prepend-transformer": ("transformer", "prepend"),
    "decoder-only": ("none", "prepend"),
    "cross-conformer": ("conformer", "cross"),
    "prepend-conformer": ("conformer", "prepend"),
    "decoder-only-large": ("none", "prepend"),
}
_LORA = LoraSettings(
    rank=8,
    alpha=16.0,
    targets=("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"),
    rank_stabilised=True,
)
ADAPTING_RATE = 5e-4
Further = Literal["new", "full", "frozen-embeddings", "lora"]
"""`Adaptation` by training."""


def adapted_language(
    llm: Training, corpus: Stage, seed: int, how: Further, *, steps: int, needs: Needs, said: Mapping[str, Any]
) -> Training:
    """The language model `llm` trained on the transcripts of a corpus for so many steps more; for "new" one like it,
    with random weights, in as many steps as it had. `said`: what its name tells besides."""

    def build(inputs: Mapping[str, Path]) -> Recipe:
        # The recipe of the LLM itself, made for its own inputs, tells sizes and batches.
        folder = inputs["llm"]
        base = llm.recipe({name: folder / name for name in llm.inputs})
        text = (str(corpus_file(corpus, inputs["corpus"], TRANSCRIPTS)),)
        units = UnitsFrom(folder=str(folder), component="language")
        recipe = with_task(base, train=text, dev=str(inputs["corpus"] / "dev.txt"), units=units)
        if how == "new":
            return recipe
        recipe = with_task(recipe, initialise_from=str(folder))
        trained = {"finetune": "lora", "lora": _LORA} if how == "lora" else finetuning(how)
        optimiser = OptimiserConfig(lr=ADAPTING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
        return with_loop(dataclasses.replace(with_model(recipe, **trained), optimiser=optimiser), steps=steps)

    return training(
        "language", seed, {"transcripts": how, **said}, build, {"corpus": heard_of(corpus), "llm": llm}, needs
    )


def english_and_german(size: Size) -> Languages:
    """The synthetic corpus in both languages; German is what is translated."""
    config = synthetic_config(size)
    english = SyntheticCorpus(name="synthetic corpus", config=config)
    german = SpokenTranslations(name="German speech", corpus=english, speaking=config.speaking)
    both = Joined(name="English and German", corpora={"en": english, "de": german})
    return Languages(transcribed=both, translated=german, test_transcribed=both, test_translated=german)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """How a scale trains the architectures of arXiv 2501.02370: its recipe, whether that takes several manifests, the
    steps to transcribe, those to translate after that, and the corpus of the model that a translating one starts
    from."""

    recipe: Callable[..., Recipe]
    several: bool
    steps: int
    translation_steps: int
    transcribed: Stage
    needs: Needs

    def train(self, seed: int, model: AEDModel, corpus: Stage) -> Training:
        """See `Scale.aed`."""
        encoder, decoder = _ARCHITECTURES[model.architecture]
        arguments: dict[str, Any] = {"encoder": encoder, "decoder": decoder, "compress": model.compress, "seed": seed}
        arguments |= {"large": model.architecture == "decoder-only-large", "causal_prefix": model.causal_prefix}
        arguments["steps"] = self.steps
        inputs = {"corpus": heard_of(corpus)}
        if model.translate:
            arguments |= {"target": "translation", "tags": model.languages}
            arguments["steps"] = self.translation_steps + (self.steps if model.from_scratch else 0)
            if not model.from_scratch:
                inputs["start"] = self.train(seed, model.transcribing, self.transcribed)

        def build(folders: Mapping[str, Path]) -> Recipe:
            train, dev = (corpus_file(corpus, folders["corpus"], part) for part in ("train", "dev"))
            data = {"train": (train,) if self.several else train, "dev": dev, "start": folders.get("start")}
            return self.recipe(**data, **arguments)

        said = {**model.said, "data": None if corpus == self.transcribed else corpus.name}
        return training(model.architecture, seed, said, build, inputs, self.needs)
