"""A pre-trained LLM by its local folder, in its own units: fine-tuned, before audio, and as a rescorer."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tiny_llm import SPARE, make_llm
from training_corpus import acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe
from transformers import AutoModelForCausalLM

from duolect.data import load_manifest
from duolect.errors import ModelError
from duolect.models import LORA_PRESETS, LLMConfig, LoraSettings
from duolect.recipes.small import small_language, small_speech_llm
from duolect.storage import load_tensors
from duolect.systems import Scales, SearchConfig, System, combine
from duolect.systems.perplexity import measure_perplexity
from duolect.text import CharacterUnits, UnitsConfig
from duolect.training import LoopConfig, train_recipe

STEPS = {"steps": 2, "evaluate_every": 2, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones") / "corpus")


@pytest.fixture(scope="module")
def llm(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llm(tmp_path_factory.mktemp("hub") / "llm", corpus / "lm.txt")


def test_its_embedding_may_have_more_rows_than_its_tokeniser(corpus: Path, llm: Path, tmp_path: Path) -> None:
    source = tmp_path / "llm"
    shutil.copytree(llm, source)
    train_recipe(acoustic_recipe(corpus, **STEPS), tmp_path / "am", device="cpu")
    recipe = language_recipe(corpus, tmp_path, **STEPS)
    model = dataclasses.replace(recipe.task.model, llm=LLMConfig(vocabulary=1, source=str(source)))
    own = UnitsConfig(kind="huggingface", source=str(source))
    recipe = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model, units=own))
    language = train_recipe(recipe, tmp_path / "lm", device="cpu")
    shutil.rmtree(source)  # what was trained needs it no more

    system = System.load(language)
    assert system.language is not None
    trained, units = system.language.model, system.language.units
    assert trained.vocabulary == units.size
    assert len(trained.llm.model.get_output_embeddings().weight) == units.size + SPARE
    rescoring = SearchConfig(first_pass="frames", after=Scales(lm=0.5), beam=4, nbest=4)
    joined = combine(acoustic=tmp_path / "am" / "system", language=language, search=rescoring)
    joined.save(tmp_path / "joined")
    again = System.load(tmp_path / "joined")
    assert again.fingerprint() == joined.fingerprint()
    rows = again.recognize(load_manifest(corpus / "dev.jsonl"), nbest=True).rows
    for entry in (entry for row in rows for entry in row.fields["nbest"]):
        ids = [units.bos_id, *units.encode(entry["text"])]
        with torch.no_grad():
            logits_NV = trained.llm.model(torch.tensor([ids])).logits[0, :, : units.size]
        following = torch.tensor([*ids[1:], units.eos_id])
        expected = logits_NV.log_softmax(-1).gather(1, following[:, None]).sum()
        assert entry["terms"]["lm"] == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize(
    ("finetune", "replaced"),
    [("full", False), ("full", True), ("lora", False), ("lora", True), ("frozen-embeddings", False)],
)
def test_it_is_fine_tuned_on_transcripts_in_its_own_units_or_in_others(
    finetune: str, replaced: bool, corpus: Path, llm: Path, tmp_path: Path
) -> None:
    source = tmp_path / "llm"
    shutil.copytree(llm, source)
    CharacterUnits("abcdefghijklmnopqrstuvwxyz ").save(tmp_path / "characters")
    units: dict[str, Any] = {"units": tmp_path / "characters", "replace_embeddings": True} if replaced else {}
    text: dict[str, Any] = {"text": (corpus / "lm.txt",), "dev": corpus / "lm.txt"}
    recipe = small_language(**text, llm=str(source), finetune=cast(Any, finetune), lr=0.01, **units)
    recipe = dataclasses.replace(recipe, loop=LoopConfig(**STEPS, tensorboard=False, threads=1))
    system = System.load(train_recipe(recipe, tmp_path / "run", device="cpu"))
    shutil.rmtree(source)  # what was trained needs it no more
    saved = load_tensors(tmp_path / "run" / "checkpoints" / "step-00000002" / "model.safetensors")
    before = AutoModelForCausalLM.from_pretrained(llm).state_dict()
    assert system.language is not None
    after = system.language.model.llm.model.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    tables = {name for name in before if "embed_tokens" in name or "lm_head" in name}
    low_rank = {name for name in before if any(f".{target}." in name for target in LORA_PRESETS["lora"].targets)}
    expected = {
        "full": set(before),
        "lora": low_rank | (tables if replaced else set()),
        "frozen-embeddings": set(before) - tables,
    }[finetune]
    assert changed == expected
    assert any("lora_" in name for name in saved) == (finetune == "lora")
    if finetune != "lora":
        assert {name.removeprefix("llm.model.") for name in saved} == expected
    report = measure_perplexity({"it": system}, [corpus / "lm.txt"])
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()][-1]
    assert report.rows[0].sums.per_word == pytest.approx(log["dev_perplexity_word"], rel=1e-4)  # merged as unmerged
    assert report.rows[0].sums.per_token == pytest.approx(log["dev_perplexity_token"], rel=1e-4)


def test_it_reads_audio_with_lora_and_ctc_in_its_units(corpus: Path, llm: Path, tmp_path: Path) -> None:
    train_recipe(acoustic_recipe(corpus, **STEPS), tmp_path / "am", device="cpu")
    recipe = speech_llm_recipe(corpus, tmp_path / "am", tmp_path, **STEPS)
    lora = LoraSettings(rank=2, alpha=4, targets=("q_proj", "v_proj"))
    network = LLMConfig(vocabulary=1, source=str(llm))
    model = dataclasses.replace(recipe.task.model, llm=network, finetune="lora", lora=lora)
    own = UnitsConfig(kind="huggingface", source=str(llm))
    task = dataclasses.replace(recipe.task, model=model, units=own, initialise_llm=None)
    system = System.load(train_recipe(dataclasses.replace(recipe, task=task), tmp_path / "run", device="cpu"))
    assert system.speech_llm is not None
    assert system.speech_llm.log_prior_V is not None
    assert len(system.speech_llm.log_prior_V) == system.speech_llm.units.size
    rows = system.with_method("speech-llm+ctc").recognize(load_manifest(corpus / "dev.jsonl")).rows
    assert all(set(row.terms) == {"ctc", "speech_llm"} for row in rows)
    before = AutoModelForCausalLM.from_pretrained(llm).state_dict()
    after = system.speech_llm.model.llm.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "q_proj" in name or "v_proj" in name}
    stored = json.loads((tmp_path / "run" / "system" / "speech_llm" / "config.json").read_text())
    assert stored["config"]["lora"] is None


def test_a_speech_llm_takes_the_trained_llm_over_without_its_source(corpus: Path, llm: Path, tmp_path: Path) -> None:
    source = tmp_path / "llm"
    shutil.copytree(llm, source)
    train_recipe(acoustic_recipe(corpus, **STEPS), tmp_path / "am", device="cpu")
    text: dict[str, Any] = {"text": (corpus / "lm.txt",), "dev": corpus / "lm.txt"}
    recipe = small_language(**text, llm=str(source), lr=0.01)
    loop = LoopConfig(**STEPS, tensorboard=False, threads=1)
    train_recipe(dataclasses.replace(recipe, loop=loop), tmp_path / "lm", device="cpu")
    shutil.rmtree(source)
    manifests: dict[str, Any] = {"train": (corpus / "train.jsonl",), "dev": corpus / "dev.jsonl"}
    joint = small_speech_llm(**manifests, acoustic=tmp_path / "am", language=tmp_path / "lm", finetune="frozen")
    task = dataclasses.replace(joint.task, wave_augment=None)
    system = System.load(train_recipe(dataclasses.replace(joint, task=task, loop=loop), tmp_path / "run", device="cpu"))
    trained = System.load(tmp_path / "lm").language
    assert system.speech_llm is not None
    assert trained is not None
    given, taken = (part.model.llm.model.state_dict() for part in (trained, system.speech_llm))
    assert given.keys() == taken.keys()
    assert all(torch.equal(given[name], taken[name]) for name in given)
    architectures = [tmp_path / "lm" / "system" / "language", tmp_path / "run" / "system" / "speech_llm"]
    assert len({(folder / "llm_config.json").read_text() for folder in architectures}) == 1


def test_nothing_is_left_of_a_run_whose_llm_is_damaged(corpus: Path, llm: Path, tmp_path: Path) -> None:
    source = shutil.copytree(llm, tmp_path / "llm")
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    recipe = small_language(text=(corpus / "lm.txt",), dev=corpus / "lm.txt", llm=str(source))
    recipe = dataclasses.replace(recipe, loop=LoopConfig(**STEPS, tensorboard=False, threads=1))
    with pytest.raises(ModelError, match=r"model\.safetensors is not a whole safetensors file"):
        train_recipe(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    shutil.copy(llm / "model.safetensors", weights)
    train_recipe(recipe, tmp_path / "run", device="cpu")  # what was refused once is no obstacle
