"""The README's commands for an encoder and an LLM of Hugging Face, on tiny ones in local folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Call
from tiny_encoders import make_source
from tiny_llm import make_llm
from transformers import BertConfig

from duolect.data import load_manifest
from duolect.data.synthetic import Corpus
from duolect.storage import read_json

SHORT = ("--steps", 2, "--loop.evaluate-every", 2, "--loop.tensorboard", "false", "--device", "cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source("wavlm", tmp_path_factory.mktemp("hub") / "wavlm")


def test_an_acoustic_model_on_a_pretrained_encoder(call: Call, corpus: Corpus, source: Path, tmp_path: Path) -> None:
    data = ("--encoder", source, "--train", corpus.train, "--dev", corpus.dev)
    units = ("--task.units", json.dumps({"kind": "characters"}))
    trained = call("train", "pretrained-acoustic", *data, *units, *SHORT, "--out", tmp_path / "am")
    assert trained.status == 0, trained.err
    assert str(source) not in json.dumps(read_json(tmp_path / "am" / "system" / "acoustic" / "encoder_config.json"))
    audio = load_manifest(corpus.dev)[0].audio_filepath
    done = call("transcribe", audio, "--system", tmp_path / "am", "--method", "ctc-greedy")
    assert (done.status, len(done.out.splitlines())) == (0, 1), done.err
    text = ("--text", corpus.dev, "--dev", corpus.dev)
    tiny = ("--task.model.llm.width", 32, "--task.model.llm.layers", 1, "--task.model.llm.intermediate", 32)
    small = call("train", "small-language", *text, "--units", tmp_path / "am", *SHORT, *tiny, "--out", tmp_path / "lm")
    assert small.status == 0, small.err
    models = ("--acoustic", tmp_path / "am", "--language", tmp_path / "lm", *data[2:])
    assert call("train", "small-speech-llm", *models, *SHORT, "--out", tmp_path / "sllm").status == 0
    hyps = tmp_path / "hyps.jsonl"
    done = call("recognize", tmp_path / "sllm", corpus.dev, "--method", "speech-llm+ctc", "--out", hyps)
    assert (done.status, len(hyps.read_text().splitlines())) == (0, len(load_manifest(corpus.dev)))


def test_a_speech_llm_from_two_folders(call: Call, corpus: Corpus, source: Path, tmp_path: Path) -> None:
    llm = make_llm(tmp_path / "llm", Path(corpus.dev))
    data = ("--encoder", source, "--llm", llm, "--train", corpus.train, "--dev", corpus.dev, *SHORT)
    trained = call("train", "pretrained-speech-llm", *data, "--no-train-encoder", "--out", tmp_path / "run")
    assert trained.status == 0, trained.err
    hyps = tmp_path / "hyps.jsonl"
    done = call("recognize", tmp_path / "run", corpus.dev, "--method", "speech-llm+ctc", "--out", hyps)
    assert (done.status, len(hyps.read_text().splitlines())) == (0, len(load_manifest(corpus.dev)))


def test_what_does_not_fit_is_one_sentence_before_training(
    call: Call, corpus: Corpus, source: Path, tmp_path: Path
) -> None:
    data = ("--train", corpus.train, "--dev", corpus.dev, *SHORT, "--out", tmp_path / "run")
    BertConfig().save_pretrained(tmp_path / "bert")
    refused = call("train", "pretrained-acoustic", "--encoder", tmp_path / "bert", *data)
    assert "is a model of the type 'bert'; supported are whisper" in refused.sentence()
    refused = call("train", "pretrained-acoustic", "--encoder", tmp_path / "none", *data)
    assert "neither a folder nor a hub name" in refused.sentence()
    for option, value, says in (
        ("--task.model.features", '{"kind": "log10"}', "they must have kind 'waveform', normalise True"),
        ("--task.model.ctc-layers", "[4]", "ctc_layers must be from 1 to 3"),
    ):
        given = ("--task.units", json.dumps({"kind": "characters"}), option, value)
        refused = call("train", "pretrained-acoustic", "--encoder", source, *data, *given)
        assert says in refused.sentence()
        assert not (tmp_path / "run").exists()
