"""`duolect compare`: from system folders to the report, again without recognising, and with a system that fails."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Call, Result

from duolect.audio import write_audio
from duolect.data import Utterance, load_manifest, write_manifest
from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("silence")
    rng, made = np.random.default_rng(0), []
    for n in range(3):
        write_audio(folder / f"{n}.wav", rng.normal(0, 0.05, 16000))
        made.append(Utterance(audio_filepath=folder / f"{n}.wav", duration=1.0, text="", id=f"noise{n}"))
    write_manifest(folder / "noise.jsonl", made)
    return folder / "noise.jsonl"


def test_systems_and_files_on_one_manifest(
    system: Path, corpus: Corpus, silence: Path, tmp_path: Path, call: Call
) -> None:
    given, broken = tmp_path / "given.jsonl", tmp_path / "broken"
    assert call("recognize", system, corpus.test, "--method", "ctc-greedy", "--out", given).status == 0
    shutil.copytree(system, broken)
    (broken / "acoustic" / "model.safetensors").write_bytes(b"nothing")
    out = tmp_path / "out"

    def compared(*options: object) -> Result:
        what = (f"greedy={system}:ctc-greedy", f"beam={system}:ctc-beam", broken, given)
        return call("compare", *what, "--manifest", corpus.test, "--out", out, "--nonspeech", silence, *options)

    first = compared("--train", corpus.train, "--embed-audio", 1, "--utterances", 4)
    assert first.status == 1, first.err  # one system could not be loaded
    assert "Not compared: broken: " in first.err
    assert "model.safetensors" in first.err
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["greedy", "beam", "given"]
    assert rows[0]["score"] == rows[2]["score"]
    assert rows[0]["against"]["given"]["difference"] == 0
    assert rows[0]["nonspeech"]["non_speech"] == 3
    assert "nonspeech" not in rows[2]
    assert "Safest on non-speech" in (out / "report.md").read_text()
    assert "Not in this comparison: broken" in (out / "report.html").read_text()

    files = {path: path.stat().st_mtime_ns for path in (out / "hypotheses").rglob("*.jsonl")}
    assert len(files) == 4
    lost = out / "hypotheses" / "beam.jsonl"
    kept = read_run(lost)[0]
    lost.unlink()  # as if the first call had been interrupted there
    again = compared("--utterances", 0)
    assert "recognising beam ..." in again.err, again.err
    assert again.err.count("recognising ") == 1
    assert [row.text for row in read_run(lost)[0]] == [row.text for row in kept]
    assert all(path.stat().st_mtime_ns == time for path, time in files.items() if path != lost)

    other = tmp_path / "other.jsonl"
    write_manifest(other, [dataclasses.replace(u, text=f"{u.text} more") for u in load_manifest(corpus.test)])
    changed = call(
        "compare", f"greedy={system}:ctc-greedy", given, "--manifest", other, "--out", out, "--utterances", 0
    )
    assert changed.status == 0, changed.err
    assert "recognising greedy ..." in changed.err  # of another manifest, so that nothing stands
    assert "from another manifest with the same ids" in (out / "report.md").read_text()


def test_bad_input_is_one_sentence(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    end = ("--manifest", corpus.test, "--out", tmp_path / "out")
    assert "no such system folder" in call("compare", tmp_path / "nowhere", *end).sentence()
    assert "no method 'greedy'" in call("compare", system, *end, "--methods", "greedy").sentence()
    assert "within: expected" in call("compare", system, *end, "--within", -1).sentence()
    assert "system.json" in call("compare", tmp_path, *end).sentence()
    given = tmp_path / "given.jsonl"
    assert call("recognize", system, corpus.dev, "--method", "ctc-greedy", "--out", given).status == 0
    assert "given.jsonl: " in call("compare", given, *end).sentence()
    assert not (tmp_path / "out" / "report.html").exists()
