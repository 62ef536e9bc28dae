"""Every built-in recipe builds its model; the paper's ones with the paper's sizes, on the meta device."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import torch

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, UnitsError
from duolect.models import (
    AcousticConfig,
    LanguageConfig,
    LLMConfig,
    SpeechLLM,
    build_model,
    count_parameters,
    load_model,
    save_model,
)
from duolect.nn.adapters import build_adapter
from duolect.recipes import RECIPES, find_recipe
from duolect.recipes.adapters import AdapterName, adapter_config
from duolect.text import CharacterUnits, Prompt, UnitsConfig, load_units
from duolect.training import AcousticTask, LanguageTask, Recipe, SpeechLLMTask, UnitsFrom
from duolect.training.parts import make_model
from duolect.training.schedule import WarmupCosine

DATA = {"train": (Path("train.jsonl"),), "dev": Path("dev.jsonl")}
TEXT = {"text": (Path("lm.txt"),), "dev": Path("dev.txt")}


class Units:
    """Stands for any units of a given size."""

    kind, special_ids, fingerprint = "stand-in", frozenset({0}), "none"

    def __init__(self, size: int, eos_id: int = 0) -> None:
        self.size, self.eos_id, self.bos_id = size, eos_id, eos_id

    def encode(self, text: str) -> list[int]:
        """One label a word."""
        return [1] * len(text.split())


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The architecture of Qwen2-0.5B, without weights."""
    folder = tmp_path_factory.mktemp("qwen")
    sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    sizes |= {"num_key_value_heads": 2, "vocab_size": 151_936, "max_position_embeddings": 131_072}
    settings = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, **sizes}
    (folder / "config.json").write_text(json.dumps(settings))
    return str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Component folders of a small acoustic and a small language model, of unusual sizes."""
    folder, units = tmp_path_factory.mktemp("trained"), CharacterUnits("abcdef ")
    for name in ("acoustic", "language"):
        if name == "acoustic":
            recipe = find_recipe("small-acoustic")(**DATA)
            assert isinstance(recipe.task, AcousticTask)
            encoder = dataclasses.replace(recipe.task.model.encoder, width=16, layers=3, feed_forward=24)
            decoder = dataclasses.replace(recipe.task.model.decoder, width=16)
            model = dataclasses.replace(recipe.task.model, encoder=encoder, ctc_layers=(1, 3), decoder=decoder)
            task = dataclasses.replace(recipe.task, model=model)
        else:
            recipe = find_recipe("small-language")(**TEXT, units=folder)
            assert isinstance(recipe.task, LanguageTask)
            llm = LLMConfig(vocabulary=1, width=24, layers=1, heads=2)
            task = dataclasses.replace(recipe.task, model=dataclasses.replace(recipe.task.model, llm=llm))
        save_model(make_model(task, units, None), folder / name)
        units.save(folder / name / "units")
    return {name: folder / name for name in ("acoustic", "language")}


def millions(recipe: Recipe, units: Units) -> dict[str, tuple[float, float]]:
    """Part → parameters and trained ones, in millions, of the model on the meta device."""
    with torch.device("meta"):
        counts = count_parameters(make_model(recipe.task, cast(Any, units), None))
    return {part: (total / 1e6, trained / 1e6) for part, (total, trained) in counts.items()}


def without_weights(recipe: Recipe) -> Recipe:
    """The same recipe, its LLM's weights random and no model to start from."""
    task = recipe.task
    assert not isinstance(task, AcousticTask)
    llm = dataclasses.replace(task.model.llm, pretrained=False)
    task = dataclasses.replace(task, model=dataclasses.replace(task.model, llm=llm))  # ty: ignore[invalid-argument-type]
    if isinstance(task, SpeechLLMTask):
        task = dataclasses.replace(task, initialise_encoder=None, initialise_llm=None)
    return dataclasses.replace(recipe, task=task)


@pytest.mark.parametrize("name", ["paper-librispeech-acoustic", "paper-loquacious-acoustic"])
def test_the_papers_acoustic_model_has_561_million_parameters(name: str) -> None:
    recipe = find_recipe(name)(**DATA)
    counts = millions(recipe, Units(10_240))
    assert counts["total"][0] == pytest.approx(561, abs=0.5)
    assert counts["encoder"][0] == pytest.approx(402, rel=0.02)
    task = recipe.task
    assert isinstance(task, AcousticTask)
    assert task.model.decoder is not None
    assert (task.model.ctc_layers, task.model.decoder.auxiliary_layer) == ((4, 10, 16), 3)
    assert task.model.encoder.front_end.downsampling == 6
    assert (task.batches.max_seconds, task.batches.max_utterances, task.batches.longest) == (1000, 200, 19.5)
    assert (recipe.optimiser.eps, recipe.optimiser.weight_decay, recipe.loop.clip_norm) == (1e-16, 0.01, 5.0)
    peak = recipe.optimiser.lr
    rates = [
        peak * recipe.schedule.factor(round(part * recipe.loop.steps), recipe.loop.steps) for part in (0, 0.45, 0.9, 1)
    ]
    assert rates == pytest.approx([5e-6, 5e-4, 5e-6, 5e-7])
    speeds = (0.7, 0.8, 0.9, 1.0, 1.1)
    assert (task.wave_augment.speed if task.wave_augment else None) == (speeds if "librispeech" in name else None)
    assert recipe.loop.steps == (345_600 if "librispeech" in name else 1_800_000)


def test_smaller_batches_accumulate_to_the_same_step() -> None:
    recipe = find_recipe("paper-librispeech-acoustic")(**DATA, accumulate=4)
    assert isinstance(recipe.task, AcousticTask)
    assert recipe.task.batches.max_seconds * recipe.loop.accumulate == 1000
    assert recipe.loop.steps == 345_600


def test_the_papers_language_model(qwen: str) -> None:
    own = without_weights(find_recipe("paper-language")(**TEXT, llm=qwen))
    assert millions(own, Units(151_646, 151_643))["total"] == pytest.approx((494.0, 494.0), rel=0.01)
    replaced = without_weights(find_recipe("paper-language")(**TEXT, llm=qwen, units=Path("runs/am")))
    fresh = millions(replaced, Units(10_240))["total"]
    assert fresh == pytest.approx((367.1, 367.1), rel=0.01)  # 151,936 rows of 896 less, 10,240 more
    low = without_weights(find_recipe("paper-language")(**TEXT, llm=qwen, finetune="lora-language"))
    total, trained = millions(low, Units(151_646, 151_643))["total"]
    assert trained < 0.08 * total


def test_the_papers_own_language_model() -> None:
    recipe = find_recipe("paper-transformer-lm")(**TEXT, units=Path("runs/am"), accumulate=4)
    assert isinstance(recipe.task, LanguageTask)
    assert recipe.task.max_tokens * recipe.loop.accumulate == 20_000
    layer = 4 * 1024 * 1024 + 3 * 1024 * 2816 + 2 * 1024
    assert millions(recipe, Units(10_240))["total"][0] == pytest.approx((32 * layer + 10_241 * 1024) / 1e6, rel=1e-6)


def test_the_papers_speech_llm(qwen: str) -> None:
    recipe = without_weights(find_recipe("paper-speech-llm")(**DATA, acoustic=Path("runs/am"), llm=qwen))
    counts = millions(recipe, Units(151_646, 151_643))
    assert counts["llm"] == pytest.approx((494 + 21.6, 21.6), rel=0.01)
    assert counts["adapter"][0] == pytest.approx((2 * 1024 + 1) * 896 / 1e6)
    assert counts["encoder"][0] == counts["encoder"][1]
    assert counts["ctc"][0] == pytest.approx(1025 * 151_647 / 1e6)
    default = find_recipe("paper-speech-llm")(**DATA, acoustic=Path("runs/am"), llm=qwen)
    assert default.schedule == WarmupCosine(warmup=0.1, minimum=1e-3)
    shorter = find_recipe("paper-speech-llm")(**DATA, acoustic=Path("runs/am"), llm=qwen, lr=1e-5, epochs=0.5)
    assert shorter.schedule == WarmupCosine(warmup=0.2, minimum=1e-2)  # a tenth of an epoch, down to 1e-7


def test_the_small_acoustic_model_has_ten_million_parameters() -> None:
    assert millions(find_recipe("small-acoustic")(**DATA), Units(500))["total"][0] == pytest.approx(10, abs=0.5)


def test_the_small_acoustic_models_ctc_may_speak_phonemes() -> None:
    recipe = find_recipe("small-acoustic")(**DATA, ctc_phonemes="en-gb")
    assert isinstance(recipe.task, AcousticTask)
    assert recipe.task.units.kind == "sentencepiece"
    assert recipe.task.ctc_units == UnitsConfig(kind="phonemes", language="en-gb")
    task = find_recipe("small-acoustic")(**DATA).task
    assert isinstance(task, AcousticTask)
    assert task.ctc_units is None


def test_the_small_speech_llm_keeps_the_heads_of_the_acoustic_model_with_their_units(trained: dict[str, Path]) -> None:
    task = find_recipe("small-speech-llm")(**DATA, **trained, ctc="acoustic").task
    assert isinstance(task, SpeechLLMTask)
    assert task.ctc_units == UnitsFrom(folder=str(trained["acoustic"]), ctc=True)
    llm, heads = CharacterUnits("abcdef "), load_units(trained["acoustic"] / "units")
    model, theirs = make_model(task, llm, heads), load_model(trained["acoustic"])
    for name, head in model.speech.ctc_heads.items():
        assert torch.equal(head.weight, theirs.speech.ctc_heads[name].weight)
    other = make_model(dataclasses.replace(task, ctc_units=None), CharacterUnits("abcdef "), CharacterUnits("fedcbx "))
    for name, head in other.speech.ctc_heads.items():
        assert not torch.equal(head.weight, theirs.speech.ctc_heads[name].weight)


def test_the_small_language_model_starts_from_nothing_or_from_an_llm(qwen: str) -> None:
    recipe = find_recipe("small-language")
    assert millions(recipe(**TEXT, units=Path("am")), Units(500))["total"][0] == pytest.approx(5.2, abs=0.1)
    tuned = recipe(**TEXT, llm=qwen, finetune="lora")
    assert isinstance(tuned.task, LanguageTask)
    assert (tuned.task.units.kind, tuned.optimiser.lr) == ("huggingface", 1e-4)
    replaced = recipe(**TEXT, llm=qwen, units=Path("am"), replace_embeddings=True)
    assert isinstance(replaced.task, LanguageTask)
    assert replaced.task.model.llm.replace_embeddings
    for given in ({}, {"llm": qwen, "units": Path("am")}, {"llm": qwen, "replace_embeddings": True}):
        with pytest.raises(ConfigError, match="small-language: "):
            recipe(**TEXT, **given)
    with pytest.raises(ConfigError, match="belong to --llm"):
        recipe(**TEXT, units=Path("am"), finetune="lora")
    with pytest.raises(ConfigError, match="lr must be above 0, not 0"):
        recipe(**TEXT, units=Path("am"), lr=0)


def test_the_small_speech_llm_may_have_an_llm_that_is_given(trained: dict[str, Path]) -> None:
    acoustic = trained["acoustic"]
    task = find_recipe("small-speech-llm")(**DATA, acoustic=acoustic, llm="some/llm", random_llm=True).task
    assert isinstance(task, SpeechLLMTask)
    assert (task.model.llm.source, task.model.llm.pretrained, task.initialise_llm) == ("some/llm", False, None)
    assert task.units == UnitsConfig(kind="huggingface", source="some/llm")
    for wrong in ({}, {**trained, "llm": "some/llm"}, {**trained, "random_llm": True}):
        with pytest.raises(ConfigError, match="small-speech-llm: "):
            find_recipe("small-speech-llm")(**{**DATA, "acoustic": acoustic, **wrong})


def test_the_small_speech_llm_takes_the_sizes_of_its_parts(trained: dict[str, Path]) -> None:
    recipe = find_recipe("small-speech-llm")(**DATA, **trained, finetune="lora")
    assert isinstance(recipe.task, SpeechLLMTask)
    model = recipe.task.model
    assert (model.encoder.width, model.encoder.layers, model.ctc_layers, model.llm.width) == (16, 3, (1, 3), 24)
    assert make_model(recipe.task, CharacterUnits("abcdef "), None)  # the weights of both fit
    with pytest.raises(ConfigError, match="is not the config of a model of kind 'acoustic'"):
        find_recipe("small-speech-llm")(**DATA, acoustic=trained["language"], language=trained["language"])


def test_prompts_are_named_or_written_out(trained: dict[str, Path], qwen: str) -> None:
    task = find_recipe("small-speech-llm")(**DATA, **trained, prompts=("none", "a <audio>b")).task
    assert isinstance(task, SpeechLLMTask)
    assert task.prompts == (Prompt(), Prompt("a ", "b"))
    model = make_model(task, CharacterUnits("abcdef "), None)
    assert isinstance(model, SpeechLLM)
    assert [(prompt.before, prompt.after) for prompt in model.config.prompts] == [((), ()), ((3, 2), (4,))]
    with pytest.raises(ConfigError, match=r"'role_tagged' is not the name of a prompt.*did you mean 'role-tagged'"):
        find_recipe("small-speech-llm")(**DATA, **trained, prompts=("role_tagged",))
    spoken = find_recipe("small-speech-llm")(**DATA, **trained, prompts=("none", "role-tagged")).task
    with pytest.raises(UnitsError, match=r"task: prompts\[1\]\.before: The character 'U'"):
        make_model(spoken, CharacterUnits("abcdef "), None)
    paper = find_recipe("paper-speech-llm")(**DATA, acoustic=Path("runs/am"), llm=qwen).task
    assert isinstance(paper, SpeechLLMTask)
    assert str(paper.prompts[0]) == "USER: <audio>Transcribe speech to text. ASSISTANT: "


@pytest.mark.parametrize("name", get_args(AdapterName))
def test_adapters_have_names(name: AdapterName, trained: dict[str, Path]) -> None:
    """Each makes one position of so many frames, CTC compression at most."""
    frames = torch.tensor([64])
    for factor in (1, 2, 4, 8):
        adapter = build_adapter(adapter_config(name, factor), 8, 6)
        assert int(adapter.output_lengths(frames)[0]) == 64 // factor
    default = int(build_adapter(adapter_config(name), 8, 6).output_lengths(frames)[0])
    assert default == (64 if name == "ctc" else 32)
    small = find_recipe("small-speech-llm")(**DATA, **trained, adapter=name).task
    demo = find_recipe("demo-speech-llm")(train=Path("t"), dev=Path("d"), **trained, adapter=name).task
    assert isinstance(small, SpeechLLMTask)
    assert isinstance(demo, SpeechLLMTask)
    assert small.model.adapter == demo.model.adapter == adapter_config(name)
    assert make_model(small, CharacterUnits("abcdef "), None)


def test_the_demos_speech_llm_takes_a_pretrained_llm_or_its_control(qwen: str, trained: dict[str, Path]) -> None:
    given: dict[str, Any] = {"train": Path("t"), "dev": Path("d"), "acoustic": trained["acoustic"]}
    recipe = find_recipe("demo-speech-llm")
    known = recipe(**given, llm=qwen, finetune="frozen", as_written=True)
    assert isinstance(known.task, SpeechLLMTask)
    assert known.task.model.llm == LLMConfig(vocabulary=1, source=qwen)
    assert known.task.units == UnitsConfig(kind="huggingface", source=qwen)
    assert (known.task.initialise_llm, known.task.normalise) == (None, False)
    assert millions(without_weights(known), Units(151_646))["llm"] == (pytest.approx(494.03, abs=0.01), 0)
    random = recipe(**given, llm=qwen, random_llm=True)
    assert isinstance(random.task, SpeechLLMTask)
    assert random.task.model.llm == LLMConfig(vocabulary=1, source=qwen, pretrained=False)
    assert random.task.normalise
    counts = millions(without_weights(random), Units(151_646))["llm"]
    assert counts[0] == counts[1] == pytest.approx(494.03, abs=0.01)
    for wrong in ({}, {"llm": qwen, "language": trained["language"]}):
        with pytest.raises(ConfigError, match="name either --language, the run of a language model, or --llm"):
            recipe(**given, **wrong)
    with pytest.raises(ConfigError, match="--random-llm belongs to --llm"):
        recipe(**given, language=trained["language"], random_llm=True)


def test_an_adapter_or_a_number_of_frames_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="adapter must be one of concat, conv, qformer, ctc, not 'cnn'"):
        adapter_config("cnn")  # ty: ignore[invalid-argument-type]
    for name in get_args(AdapterName):
        with pytest.raises(ConfigError, match="at least 1"):
            adapter_config(name, 0)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("demo")])
def test_the_demos_models_build(name: str, trained: dict[str, Path]) -> None:
    given = {
        "demo-acoustic": {"train": Path("t"), "dev": Path("d")},
        "demo-language": {**TEXT, "units": trained["acoustic"]},
        "demo-speech-llm": {"train": Path("t"), "dev": Path("d"), **trained},
        "demo-translation": {"train": Path("t"), "dev": Path("d"), "languages": ("de", "fr")},
        "demo-aed": {"train": Path("t"), "dev": Path("d"), "decoder": "prepend", "compress": True},
    }[name]
    recipe = find_recipe(name)(**given)
    if isinstance(recipe.task, SpeechLLMTask):
        recipe = without_weights(recipe)
    assert 0.5 < millions(recipe, Units(500))["total"][0] < 6


@pytest.mark.parametrize("size", ["demo", "small"])
def test_decoder_only_models_are_of_the_sizes_of_the_others(size: str) -> None:
    train = Path("t") if size == "demo" else (Path("t"),)
    given: dict[str, Any] = {"train": train, "dev": Path("d"), "decoder": "prepend"}
    for encoder, large in (("transformer", False), ("conformer", True)):
        deep = millions(find_recipe(f"{size}-aed")(**given, encoder=encoder), Units(256))["total"][0]
        alone = millions(find_recipe(f"{size}-aed")(**given, encoder="none", large=large), Units(256))["total"][0]
        assert alone == pytest.approx(deep, rel=0.04)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The architecture of Whisper small, without weights."""
    folder = tmp_path_factory.mktemp("whisper")
    sizes = {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072}
    sizes |= {"num_mel_bins": 80, "max_source_positions": 1500}
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", **sizes}))
    return str(folder)


def test_the_pretrained_recipes_take_everything_from_the_encoder(whisper: str, qwen: str) -> None:
    recipe = find_recipe("pretrained-acoustic")(**DATA, encoder=whisper, random=True, decoder=True)
    assert isinstance(recipe.task, AcousticTask)
    model = recipe.task.model
    assert (model.features.kind, model.features.mels, model.ctc_layers) == ("whisper", 80, (12,))
    counts = millions(recipe, Units(500))
    assert counts["encoder"][0] == pytest.approx(88.15, abs=0.05)  # as published, the decoder left behind
    assert counts["encoder"][1] == pytest.approx(counts["encoder"][0] - 1500 * 768 / 1e6)  # but for the positions
    frozen = find_recipe("pretrained-acoustic")(**DATA, encoder=whisper, random=True, train_encoder=False)
    assert millions(frozen, Units(500))["encoder"][1] == 0
    speech = find_recipe("pretrained-speech-llm")(**DATA, encoder=whisper, llm=qwen, random=True)
    assert isinstance(speech.task, SpeechLLMTask)
    assert (speech.task.model.adapter.factor, speech.task.batches.longest) == (6, 20.0)
    parts = millions(without_weights(speech), Units(151_646, 151_643))
    assert parts["adapter"][0] == pytest.approx((6 * 768 + 1) * 896 / 1e6)
    plain = find_recipe("pretrained-speech-llm")(**DATA, encoder=whisper, llm=qwen, ctc=False, concatenate=2)
    assert isinstance(plain.task, SpeechLLMTask)
    assert (plain.task.model.adapter.factor, plain.task.model.ctc_layers) == (2, ())


def test_every_recipe_survives_json(trained: dict[str, Path], qwen: str, whisper: str) -> None:
    for name, function in RECIPES.items():
        taken = inspect.signature(function).parameters
        given = dict(TEXT if "text" in taken else DATA)
        if name.startswith("demo") and "train" in given:
            given["train"] = Path("t")
        if "units" in taken and "text" in taken and name != "paper-language":
            given["units"] = Path("am")
        elif name.startswith("pretrained"):
            given |= {"encoder": whisper} | ({"llm": qwen} if name.endswith("llm") else {})
        elif name.endswith("speech-llm"):
            given |= {"acoustic": trained["acoustic"]} | ({} if "paper" in name else {"language": trained["language"]})
        recipe = function(**given)
        assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
        assert (function.__doc__ or "").strip().splitlines()[0].endswith(".")


def test_configs_of_both_kinds_are_found_by_their_folder(trained: dict[str, Path]) -> None:
    for name, kind in (("acoustic", AcousticConfig), ("language", LanguageConfig)):
        stored = json.loads((trained[name] / "config.json").read_text())
        assert build_model(from_json(kind, stored["config"]))
