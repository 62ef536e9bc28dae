"""`duolect attend`, and recognition under another prompt, through the command line."""

from __future__ import annotations

import contextlib
import importlib
import json
from pathlib import Path

import pytest
from command_line import Call

from duolect.data import load_manifest
from duolect.data.synthetic import Corpus


@pytest.fixture
def sound(corpus: Corpus) -> Path:
    return load_manifest(corpus.dev)[0].audio_filepath


def test_attend_draws_a_recognised_and_a_given_text(system: Path, sound: Path, tmp_path: Path, call: Call) -> None:
    done = call("attend", system, sound, "--out", tmp_path / "map.png", "--device", "cpu")
    assert done.status == 0, done.err
    assert done.out.startswith(f"{tmp_path / 'map.png'}: recognised: ")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    given = ("--text", "a", "--layers", 1, "--heads", 1, 2, "--component", "acoustic")
    done = call("attend", system, sound, "--out", tmp_path / "map.html", *given, "--device", "cpu")
    assert done.status == 0, done.err
    assert done.out.endswith("given: a\n")
    page = (tmp_path / "map.html").read_text()
    assert "Cross-attention to the audio" in page
    assert "Layer 1, head 2" in page


def test_attend_refuses_in_one_sentence(
    system: Path, runs: Path, corpus: Corpus, sound: Path, tmp_path: Path, call: Call
) -> None:
    out = ("--out", tmp_path / "map.png", "--device", "cpu")
    not_heard = "is not audio that libsndfile reads"
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        importlib.import_module("torchcodec.decoders")
        not_heard = "is not an audio file"
    cases = [
        ((system, sound, "--out", tmp_path / "map.pdf"), "must end in .png or .html"),
        ((system, corpus.dev, *out), not_heard),
        ((system, tmp_path / "nowhere.wav", *out), "nowhere.wav"),
        ((system, sound, *out, "--text", "a", "--layers", 99), "There is no layer 99"),
        ((system, sound, *out, "--text", "a", "--heads", 99), "There is no head 99"),
        ((runs / "lm", sound, *out), "no model that hears anything"),
        ((runs / "am", sound, *out, "--prompt", "none"), "A prompt is for a speech LLM"),
    ]
    for arguments, says in cases:
        assert says in call("attend", *arguments).sentence()
    assert not (tmp_path / "map.png").exists()


def test_recognition_under_another_prompt(system: Path, runs: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    records = []
    for name, prompt in (("own", ()), ("other", ("--prompt", "a <audio>"))):
        arguments = ("--out", tmp_path / f"{name}.jsonl", "--method", "speech-llm", *prompt, "--device", "cpu")
        done = call("recognize", runs / "sllm", corpus.dev, *arguments)
        assert done.status == 0, done.err
        records.append(json.loads((tmp_path / f"{name}.run.json").read_text()))
    assert records[0]["config_hash"] != records[1]["config_hash"]
    assert [record["search"]["prompts"] for record in records] == [
        [{"before": "", "after": "", "tag": None}],
        [{"before": "a ", "after": "", "tag": None}],
    ]
    out = ("--out", tmp_path / "no.jsonl", "--device", "cpu", "--prompt")
    cases = [
        (
            (runs / "sllm", corpus.dev, *out, "USER: <audio>", "--method", "speech-llm"),
            "prompts[0].before: The character",
        ),
        ((runs / "sllm", corpus.dev, *out, "roles", "--method", "speech-llm"), "not the name of a prompt"),
        ((runs / "am", corpus.dev, *out, "none"), "A prompt is for a speech LLM"),
        ((system, corpus.dev, *out, "none", "--method", "ctc-greedy"), "ctc-greedy does not ask the speech LLM"),
    ]
    for arguments, says in cases:
        assert says in call("recognize", *arguments).sentence()
