"""A pre-trained encoder by its local folder: trained in an acoustic model, before an LLM, saved without its source."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import soundfile
import torch
from test_processes import assert_same_run, torchrun
from tiny_encoders import POSITIONS, Sources
from training_corpus import acoustic_recipe, language_recipe, make_corpus, pretrained_recipe, speech_llm_recipe

import duolect
from duolect.data import load_manifest
from duolect.errors import ModelError
from duolect.models import build_model
from duolect.storage import load_tensors
from duolect.systems import System
from duolect.training import SpeechLLMTask, train_recipe

STEPS = {"steps": 2, "evaluate_every": 2, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones") / "corpus")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("hub"))


@pytest.mark.parametrize("name", ["whisper", "wav2vec2-group", "parakeet"])
def test_from_its_folder_to_a_transcript_without_it(name: str, corpus: Path, sources: Sources, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources[name], source)
    folder = train_recipe(pretrained_recipe(corpus, source, **STEPS), tmp_path / "run", device="cpu")
    shutil.rmtree(source)  # what was trained needs it no more

    system = duolect.load(folder)
    assert isinstance(system, System)
    assert system.acoustic is not None
    assert system.acoustic.padding_safe == (name != "wav2vec2-group")
    model = system.acoustic.model
    assert model.speech.feature_norm is None
    assert not model.speech.encoder.front_end[0].training
    system.save(tmp_path / "copy")
    assert duolect.load(tmp_path / "copy").fingerprint() == system.fingerprint()
    utterances = load_manifest(corpus / "dev.jsonl")
    together = system.with_method("attention+ctc").recognize(utterances)
    for row, utterance in zip(together.rows, utterances, strict=True):
        (single,) = system.with_method("attention+ctc").recognize([utterance]).rows
        assert (single.text, single.score) == (row.text, pytest.approx(row.score, abs=1e-3))
    samples, _ = soundfile.read(corpus / "0.wav", dtype="float32")
    (transcript,) = system.with_method("ctc-greedy").transcribe(samples)
    assert transcript.error is None
    if name == "whisper":
        (long,) = system.transcribe(torch.zeros(16_000 * 4), keep_silence=True)
        assert long.error is None
        assert all(segment.end - segment.start <= 3.0 for segment in long.segments)


def test_what_is_frozen_is_neither_trained_nor_kept_in_checkpoints(
    corpus: Path, sources: Sources, tmp_path: Path
) -> None:
    recipe = pretrained_recipe(corpus, sources["wav2vec2-group"], **STEPS)
    assert isinstance(recipe.task, duolect.training.AcousticTask)
    model = dataclasses.replace(recipe.task.model, freeze_encoder=True)
    recipe = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model))
    folder = train_recipe(recipe, tmp_path / "run", device="cpu")
    kept = load_tensors(tmp_path / "run" / "checkpoints" / "step-00000002" / "model.safetensors")
    assert kept
    assert all(key.startswith(("speech.ctc_heads", "decoder")) for key in kept)
    trained = System.load(folder).acoustic
    assert trained is not None
    fresh = build_model(trained.model.config).speech.encoder.state_dict()
    assert all(torch.equal(fresh[key], value) for key, value in trained.model.speech.encoder.state_dict().items())


def test_a_speech_llm_takes_the_trained_encoder_over(corpus: Path, sources: Sources, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources["whisper"], source)
    acoustic = train_recipe(pretrained_recipe(corpus, source, **STEPS), tmp_path / "am", device="cpu")
    train_recipe(language_recipe(corpus, tmp_path / "am", **STEPS), tmp_path / "lm", device="cpu")
    shutil.rmtree(source)
    sound = System.load(acoustic).acoustic
    assert sound is not None
    recipe = speech_llm_recipe(corpus, tmp_path / "am", tmp_path / "lm", **STEPS)
    assert isinstance(recipe.task, SpeechLLMTask)
    config = sound.model.config
    model = dataclasses.replace(
        recipe.task.model, features=config.features, encoder=config.encoder, ctc_layers=(3,), freeze_encoder=True
    )
    task = dataclasses.replace(recipe.task, model=model)
    system = System.load(train_recipe(dataclasses.replace(recipe, task=task), tmp_path / "sllm", device="cpu"))
    assert system.speech_llm is not None
    taken, given = (part.model.speech.encoder.state_dict() for part in (system.speech_llm, sound))
    assert all(torch.equal(taken[key], value) for key, value in given.items())
    assert system.speech_llm.longest_seconds == pytest.approx(0.02 * POSITIONS)
    rows = system.with_method("speech-llm+ctc").recognize(load_manifest(corpus / "dev.jsonl")).rows
    assert all(set(row.terms) == {"ctc", "speech_llm"} for row in rows)

    own = train_recipe(acoustic_recipe(corpus, **STEPS), tmp_path / "own", device="cpu")
    conformer = System.load(own).acoustic
    assert conformer is not None
    with pytest.raises(ModelError, match="hears other features"):
        system.speech_llm.model.initialise_encoder(conformer.model)


def test_what_is_too_long_for_the_encoder_is_left_out(corpus: Path, sources: Sources, tmp_path: Path) -> None:
    lines = (corpus / "train.jsonl").read_text().splitlines()
    entry = json.loads(lines[0])
    entry |= {"audio_filepath": "long.wav", "duration": 2.9, "id": "long"}
    soundfile.write(tmp_path / "long.wav", torch.randn(int(2.9 * 16_000)).numpy() * 0.1, 16_000)
    moved = [json.loads(line) for line in lines]
    for each in moved:
        each["audio_filepath"] = str(corpus / each["audio_filepath"])
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*moved, entry]))
    shutil.copy(tmp_path / "train.jsonl", tmp_path / "dev.jsonl")
    recipe = pretrained_recipe(tmp_path, sources["whisper"], **STEPS)  # slowed down to 0.9, 2.9 s are more than 3 s
    train_recipe(recipe, tmp_path / "run", device="cpu")
    skipped = (tmp_path / "run" / "skipped.jsonl").read_text()
    assert "more than the longest allowed, 2.7 s" in skipped
    assert skipped.count('"long"') == 1  # in training; dev has it


def test_two_processes_equal_one_that_accumulates(corpus: Path, sources: Sources, tmp_path: Path) -> None:
    """Parakeet with its batch norms on whole copies of the model, WavLM with its weights divided."""
    settings = {"parakeet": {}, "wavlm": {"sharding": "fsdp2"}}
    loop = {"steps": 3, "precision": "fp32"}
    jobs = []
    for name, sharding in settings.items():
        source = sources[name]
        train_recipe(pretrained_recipe(corpus, source, accumulate=2, **loop), tmp_path / f"{name}-1", device="cpu")
        given = {"corpus": str(corpus), "source": str(source), **loop, **sharding}
        jobs.append(["pretrained_recipe", given, str(tmp_path / f"{name}-2")])
    done = torchrun(json.dumps(jobs), script="training_corpus.py")
    assert done.returncode == 0, done.stderr[-3000:]
    for name in settings:
        assert_same_run(tmp_path / f"{name}-1", tmp_path / f"{name}-2", 3)
