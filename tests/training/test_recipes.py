"""Whole runs with the real models and the real data room: from a recipe to a system that loads."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from training_corpus import PROMPTS, acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe
from training_processes import torchrun

from duolect.configs import from_json, to_json
from duolect.data import SpecAugmentConfig, read_manifest
from duolect.errors import DuolectError, ManifestError, TrainingError, UnitsError
from duolect.models import LanguageModel, SpeechLLM, load_model
from duolect.storage import load_tensors, read_json, save_tensors
from duolect.systems import System
from duolect.training import Recipe, SpeechLLMTask, UnitsFrom, read_recipe, train_recipe
from duolect.training.export import training_prior


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones") / "corpus")


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished runs `acoustic` and `language`."""
    folder = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    train_recipe(acoustic_recipe(corpus), folder / "acoustic", device="cpu")
    train_recipe(language_recipe(corpus, folder / "acoustic"), folder / "language", device="cpu")
    return folder


def _last(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / read_json(folder / "last.json")["checkpoint"] / "model.safetensors")


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def _train(recipe: Recipe, folder: Path) -> None:
    train_recipe(recipe, folder, device="cpu")


def test_killed_and_resumed_with_prefetching_workers_equals_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    """Real acoustic model with batch norm and dropout, SpecAugment and noise on, two workers that read ahead."""
    recipe = acoustic_recipe(corpus, steps=16, checkpoint_every=3, workers=2)
    whole = acoustic_recipe(corpus, steps=16, checkpoint_every=3)
    _train(whole, tmp_path / "whole")
    killed = tmp_path / "killed"
    process = multiprocessing.get_context("fork").Process(target=_train, args=(recipe, killed))
    process.start()
    end, log = time.monotonic() + 60, killed / "log.jsonl"
    while (not log.exists() or len(log.read_text().splitlines()) < 5) and process.is_alive():
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(random.Random().uniform(0, 0.1))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (killed / "summary.json").exists()
    _train(recipe, killed)
    expected, found = _last(tmp_path / "whole"), _last(killed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    losses = [[(line["step"], line.get("loss")) for line in _lines(f)] for f in (tmp_path / "whole", killed)]
    assert losses[0] == losses[1]


def test_two_processes_equal_one_that_accumulates_with_the_real_models(runs: Path, tmp_path: Path) -> None:
    """Each with a whole copy, and sharded: the speech LLM's cross-attention is in blocks beside the layers of its LLM.

    SpecAugment and noise are on: seeded by utterance, they do not depend on the process. What one cannot read is noted
    whichever process meets it, and the second one shows nothing.
    """
    corpus = make_corpus(tmp_path / "corpus")
    for number in range(4):
        (corpus / f"{number}.wav").write_bytes(b"not audio")
    acoustic = {"dropout": 0.0, "steps": 4}
    both: dict[str, Any] = {
        "acoustic": runs / "acoustic",
        "language": runs / "language",
        "lora": True,
        "interface": "cross",
    }
    eps = 1e-4
    _train(acoustic_recipe(corpus, accumulate=2, eps=eps, **acoustic), tmp_path / "one")
    _train(speech_llm_recipe(corpus, **both, accumulate=2, **acoustic), tmp_path / "llm")
    sharded = {"corpus": corpus, "sharding": "fsdp2", **acoustic}
    two = [
        ("acoustic_recipe", {"corpus": corpus, "eps": eps, **acoustic}, tmp_path / "two"),
        ("acoustic_recipe", {**sharded, "eps": eps}, tmp_path / "two-sharded"),
        ("speech_llm_recipe", {**both, **sharded}, tmp_path / "llm-sharded"),
    ]
    done = torchrun(json.dumps(two, default=str), script="training_corpus.py")
    assert done.returncode == 0, done.stderr[-3000:]
    for one, other in (("one", "two"), ("one", "two-sharded"), ("llm", "llm-sharded")):
        lines = _lines(tmp_path / one), _lines(tmp_path / other)
        for a, b in zip(*lines, strict=True):
            for name in set(a) & {"loss", "ce", "ctc1", "ctc2", "gradient_norm", "dev_loss", "dev_ctc_ler"}:
                torch.testing.assert_close(b[name], a[name], rtol=1e-5, atol=1e-7, msg=f"{other}: {name}")
        expected, found = _last(tmp_path / one), _last(tmp_path / other)
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=f"{other}: {name}")
        exported = [load_tensors(*(tmp_path / run / "system").glob("*/model.safetensors")) for run in (one, other)]
        assert exported[0].keys() == exported[1].keys()
        listed = [sorted((tmp_path / run / "skipped.jsonl").read_text().splitlines()) for run in (one, other)]
        assert len(listed[0]) == 4
        assert listed[1] == listed[0]
    assert done.stderr.count("step 4/4") == len(two)


def test_an_acoustic_run_ends_in_a_system_with_its_prior(corpus: Path, runs: Path) -> None:
    system = System.load(runs / "acoustic" / "system")
    assert system.acoustic is not None
    log_prior_V = system.acoustic.log_prior_V
    assert log_prior_V is not None
    labels = [i for i in range(system.acoustic.units.size) if i not in system.acoustic.units.special_ids]
    assert float(log_prior_V[labels].exp().sum()) == pytest.approx(1.0, abs=1e-5)
    train, units = list(read_manifest(corpus / "train.jsonl")), system.acoustic.ctc_or_units
    model = load_model(runs / "acoustic" / "system" / "acoustic").eval()  # as it is when asked: no dropout, no masks
    batches = acoustic_recipe(corpus).task.batches
    heard = training_prior(model, train, units, number=len(train), batches=batches, seed=0)
    torch.testing.assert_close(log_prior_V, heard, rtol=0, atol=1e-5)
    misfits = [dataclasses.replace(u, id=f"long-{u.id}", duration=1e4) for u in train for _ in range(20)]
    limited = dataclasses.replace(batches, longest=20.0)
    again = training_prior(model, [*misfits, *train], units, number=len(train), batches=limited, seed=0)
    torch.testing.assert_close(again, heard, rtol=0, atol=1e-6)  # what was not trained on takes no place of the drawn
    expected = _last(runs / "acoustic")
    for name, tensor in load_model(runs / "acoustic" / "system" / "acoustic").state_dict().items():
        if name in expected:
            assert torch.equal(tensor, expected[name])
    dev = [line for line in _lines(runs / "acoustic") if "dev_loss" in line]
    assert {"dev_ce", "dev_ctc1", "dev_ctc2", "dev_ctc_ler", "dev_ctc_wer"} <= set(dev[-1])


def test_a_language_run_shares_units_and_reports_perplexities(runs: Path) -> None:
    model = load_model(runs / "language" / "system" / "language")
    assert isinstance(model, LanguageModel)
    dev = [line for line in _lines(runs / "language") if "dev_loss" in line][-1]
    assert dev["dev_perplexity_word"] > dev["dev_perplexity_token"] > 1
    a, b = (System.load(runs / name / "system") for name in ("acoustic", "language"))
    assert a.acoustic is not None
    assert b.language is not None
    assert a.acoustic.units.fingerprint == b.language.units.fingerprint


def test_a_speech_llm_starts_from_both_and_keeps_the_frozen_llm(corpus: Path, runs: Path, tmp_path: Path) -> None:
    recipe = speech_llm_recipe(corpus, runs / "acoustic", runs / "language", steps=4)
    system = train_recipe(recipe, tmp_path / "run", device="cpu")
    model = load_model(system / "speech_llm")
    language = load_model(runs / "language" / "system" / "language")
    assert isinstance(model, SpeechLLM)
    assert isinstance(language, LanguageModel)
    for a, b in zip(model.llm.parameters(), language.llm.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [prompt.text for prompt in model.config.prompts] == list(PROMPTS)
    assert len(model.config.prompts[0].before) == len("do re")
    assert not [name for name in _last(tmp_path / "run") if name.startswith("llm.")]
    # It goes on from where it stands, the frozen weights coming from the language model's folder again.
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "system" / "system.json").unlink()
    train_recipe(read_recipe(tmp_path / "run"), tmp_path / "run", device="cpu")
    for a, b in zip(load_model(system / "speech_llm").parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_frozen_llm_that_has_changed_meanwhile_is_refused(corpus: Path, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "language", tmp_path / "language")
    recipe = speech_llm_recipe(corpus, runs / "acoustic", tmp_path / "language", steps=2)
    train_recipe(recipe, tmp_path / "run", device="cpu")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "system" / "system.json").unlink()
    weights = tmp_path / "language" / "system" / "language" / "model.safetensors"
    tensors = load_tensors(weights)
    name = next(name for name in tensors if name.endswith("up_proj.weight"))
    save_tensors(weights, tensors | {name: tensors[name].nextafter(torch.ones(()))})
    with pytest.raises(TrainingError, match=rf"the frozen weight {name} is not what this run began with"):
        train_recipe(recipe, tmp_path / "run", device="cpu")


def test_a_finished_run_is_not_trained_again(runs: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duolect.training.run.make_model", None)
    assert train_recipe(acoustic_recipe(corpus), runs / "acoustic", device="cpu") == runs / "acoustic" / "system"


def test_a_recipe_survives_json(corpus: Path, runs: Path) -> None:
    recipe = speech_llm_recipe(corpus, runs / "acoustic", runs / "language")
    assert from_json(Recipe, json.loads(json.dumps(to_json(recipe)))) == recipe
    assert read_recipe(runs / "acoustic") == acoustic_recipe(corpus)
    with pytest.raises(TrainingError, match=r"no recipe\.json"):
        read_recipe(corpus)


def test_a_folder_from_another_config_names_the_field(runs: Path, corpus: Path) -> None:
    recipe = acoustic_recipe(corpus)
    assert recipe.task.kind == "acoustic"
    model = dataclasses.replace(recipe.task.model, spec_augment=SpecAugmentConfig(steps=(1, 3, 9)))
    other = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model))
    with pytest.raises(TrainingError, match=r"another config: task\.model\.spec_augment\.steps"):
        train_recipe(other, runs / "acoustic", device="cpu")


def test_starting_from_a_model_of_other_units_is_refused(corpus: Path, runs: Path, tmp_path: Path) -> None:
    other = make_corpus(tmp_path / "other")
    for name in ("train.jsonl", "dev.jsonl"):
        (other / name).write_text((other / name).read_text().replace("so", "xu"))
    train_recipe(acoustic_recipe(other, steps=1), tmp_path / "xu", device="cpu")
    recipe = speech_llm_recipe(corpus, tmp_path / "xu", runs / "language")
    assert isinstance(recipe.task, SpeechLLMTask)
    recipe = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, prompts=()))
    with pytest.raises(UnitsError, match="speaks other units"):
        train_recipe(recipe, tmp_path / "run", device="cpu")


def test_an_id_of_two_manifests_is_named_with_both_places(corpus: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(corpus / line["audio_filepath"])
    own = [{**line, "id": f"own-{line['id']}"} for line in lines[:2]]
    second = tmp_path / "second.jsonl"
    second.write_text("".join(f"{json.dumps(line)}\n" for line in [*own, lines[1]]))
    recipe = acoustic_recipe(corpus, steps=1)
    both = dataclasses.replace(recipe.task, train=(*recipe.task.train, str(second)))
    first = f"{corpus / 'train.jsonl'}:2"
    with pytest.raises(ManifestError, match=f"{second}:3: the id {lines[1]['id']!r} was already used in {first};"):
        train_recipe(dataclasses.replace(recipe, task=both), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "units").exists()


def test_a_corpus_without_its_audio_stops_at_once(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text((corpus / "train.jsonl").read_text())
    (tmp_path / "dev.jsonl").write_text((corpus / "dev.jsonl").read_text())
    with pytest.raises(TrainingError, match=r"none of the first 11 audio files exists.*0\.wav"):
        train_recipe(acoustic_recipe(tmp_path), tmp_path / "run", device="cpu")


def test_a_bad_utterance_is_skipped_and_listed(corpus: Path, tmp_path: Path) -> None:
    broken = make_corpus(tmp_path / "broken")
    (broken / "3.wav").write_bytes(b"not audio")
    run = tmp_path / "run"
    train_recipe(acoustic_recipe(broken, steps=6), run, device="cpu")
    listed = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["u3"]
    # A later part of an interrupted run adds to the list.
    earlier = json.dumps({"id": "before", "file": "gone.wav", "reason": "there is no such file."})
    (run / "skipped.jsonl").write_text(earlier + "\n")
    (run / "summary.json").unlink()
    (run / "system" / "system.json").unlink()
    shutil.rmtree(run / "checkpoints")
    train_recipe(read_recipe(run), run, device="cpu")
    listed = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["before", "u3"]


def test_a_sentence_longer_than_the_llm_is_skipped_and_listed(corpus: Path, runs: Path, tmp_path: Path) -> None:
    """In training and in dev, with BOS: the LLM has 64 positions."""
    text = tmp_path / "text.txt"
    text.write_text("a\n" + "a" * 63 + "\n" + "a" * 64 + "\n" + "a" * 150 + "\n")
    recipe = language_recipe(corpus, runs / "acoustic", steps=2, evaluate_every=1)
    llm = dataclasses.replace(recipe.task.model.llm, max_positions=64)
    model = dataclasses.replace(recipe.task.model, llm=llm)
    task = dataclasses.replace(recipe.task, model=model, train=(str(text),), dev=str(text), normalise=False)
    train_recipe(dataclasses.replace(recipe, task=task), tmp_path / "run", device="cpu")
    listed = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == [f"{text}:3", f"{text}:4", "sentence 3", "sentence 4"]
    assert all("positions" in entry["reason"] for entry in listed)


def test_missing_models_to_start_from_are_one_sentence(corpus: Path, tmp_path: Path) -> None:
    recipe = acoustic_recipe(corpus)
    for change in ({"initialise_from": str(tmp_path)}, {"units": UnitsFrom(folder=str(tmp_path / "no"))}):
        task = dataclasses.replace(recipe.task, **change)
        with pytest.raises(DuolectError, match=str(tmp_path)):
            train_recipe(dataclasses.replace(recipe, task=task), tmp_path / "run" / next(iter(change)), device="cpu")
