"""Bad sounds, manifests, folders and disks through the command line: one sentence each, nothing half-written."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command_line import RECIPES, Call

from duolect.cli.arguments import require_writable
from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run

RATE = 16_000


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(1).normal(size=int(seconds * RATE))).astype(np.float32)


def bad_sounds(folder: Path) -> dict[str, str]:
    """Damaged files → what is said of each."""
    soundfile.write(folder / "whole.flac", noise(1.0), RATE)
    (folder / "empty.wav").touch()
    (folder / "truncated.flac").write_bytes((folder / "whole.flac").read_bytes()[:3000])
    (folder / "text.wav").write_text("this is not sound")
    soundfile.write(folder / "nothing.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(folder / "sample.wav", noise(1 / RATE), RATE)
    soundfile.write(folder / "long.wav", noise(150.0), RATE)
    return {
        "missing.wav": "no such",
        "empty.wav": "empty",
        "truncated.flac": "",
        "text.wav": "",
        "nothing.wav": "",
        "nan.wav": "finite",
        "sample.wav": "at least 25 ms",
        "long.wav": "lasts 150.0 s",
    }


def odd_sounds(folder: Path) -> list[str]:
    """Files that are unusual, but sound."""
    soundfile.write(folder / "eight.wav", np.tile(noise(1.0)[:, None], (1, 8)), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE, np.float32), RATE)
    soundfile.write(folder / "phone.wav", noise(0.5), 8000)
    return ["eight.wav", "silent.wav", "phone.wav"]


def write_manifest(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def entry(name: str, duration: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"audio_filepath": name, "duration": duration, "text": "well", "id": name, **more}


def test_bad_sounds_are_skipped_named_and_counted(runs: Path, tmp_path: Path, call: Call) -> None:
    bad, odd = bad_sounds(tmp_path), odd_sounds(tmp_path)
    entries = [entry(name, 150.0 if name == "long.wav" else 1.0) for name in [*bad, *odd]]
    manifest, out = write_manifest(tmp_path / "test.jsonl", entries), tmp_path / "out" / "hyps.jsonl"
    result = call("recognize", runs / "am", manifest, "--method", "ctc-greedy", "--out", out)
    assert result.status == 1
    assert "Traceback" not in result.err
    for name, said in bad.items():
        line = next(line for line in result.err.splitlines() if line.startswith(f"skipped {name}: "))
        assert str(tmp_path / name) in line
        assert said in line
    assert f"3 utterances; {len(bad)} skipped; WER" in result.out
    rows, record = read_run(out)
    assert [row.id for row in rows] == odd
    assert record is not None
    assert [skipped.id for skipped in record.skipped] == list(bad)
    assert f"{len(bad)} counted as deleted" in " ".join(call("score", out).out.split())


def test_bad_files_do_not_stop_a_transcription(runs: Path, tmp_path: Path, call: Call) -> None:
    bad, odd = bad_sounds(tmp_path), odd_sounds(tmp_path)
    bad.pop("long.wav")  # is cut
    files = [tmp_path / name for name in [*bad, *odd]]
    result = call("transcribe", *files, "--system", runs / "am", "--method", "ctc-greedy")
    assert result.status == 1
    assert [line.partition(":")[0] for line in result.out.splitlines()] == [str(tmp_path / name) for name in odd]
    said = [line for line in result.err.splitlines() if line.startswith("duolect transcribe: ")]
    assert len(said) == len(bad)
    for name, line in zip(bad, said, strict=True):
        assert f"{tmp_path / name}: " in line


def test_tuning_says_why_utterances_are_left_out(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    lines = [json.loads(line) for line in corpus.dev.read_text().splitlines()]
    for line in lines[1:]:
        line["audio_filepath"] = str(corpus.dev.parent / line["audio_filepath"])
    given = ("--method", "attention+ctc", "--nbest", 2, "--rounds", 1, "--out", tmp_path / "out")
    some = call("tune", system, write_manifest(tmp_path / "some.jsonl", lines), *given)
    assert some.status == 0
    lost = f"{lines[0]['id']}: {tmp_path / lines[0]['audio_filepath']}"
    assert f"Utterances left out: 1, such as {lost}" in some.err
    none = call("tune", system, write_manifest(tmp_path / "none.jsonl", lines[:1]), *given).sentence()
    assert "none of the 1 utterances" in none
    assert lost in none


BAD_LINES: list[tuple[str, str]] = [
    ("{not json", "not valid JSON"),
    ('{"audio_file": "a.wav", "duration": 1, "text": "x"}', "audio_filepath"),
    ('{"audio_filepath": "a.wav", "durations": 1, "text": "x"}', "duration"),
    ('{"audio_filepath": "a.wav", "duration": -1, "text": "x"}', "duration"),
    ('{"audio_filepath": "a.wav", "duration": NaN, "text": "x"}', ""),
    ('{"audio_filepath": "a.wav", "duration": 1, "text": 3}', "text"),
    ('{"audio_filepath": "a.wav", "duration": 1, "text": "x", "id": "first"}', "first"),
    ("[1, 2]", ""),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_bad_manifest_line_stops_before_any_work(
    line: str, said: str, runs: Path, corpus: Corpus, tmp_path: Path, call: Call
) -> None:
    manifest = tmp_path / "bad.jsonl"
    manifest.write_text(json.dumps(entry("x.wav", id="first")) + "\n" + line + "\n")
    commands = [
        ("recognize", runs / "am", manifest, "--out", tmp_path / "out" / "h.jsonl"),
        ("tune", runs / "am", manifest, "--method", "attention+ctc", "--out", tmp_path / "out"),
        ("train", RECIPES, "--train", manifest, "--dev", corpus.dev, "--out", tmp_path / "run", "--device", "cpu"),
    ]
    for command in commands:
        sentence = call(*command).sentence()
        assert f"{manifest}:2: " in sentence
        assert said in sentence
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run").exists()


def test_empty_and_missing_manifests(runs: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty.jsonl").touch()
    for name in ("empty.jsonl", "missing.jsonl"):
        given = ("recognize", runs / "am", tmp_path / name, "--out", tmp_path / "h.jsonl")
        assert name in call(*given).sentence()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl"]


def test_text_the_units_cannot_spell_is_skipped_and_listed(
    runs: Path, corpus: Corpus, tmp_path: Path, call: Call
) -> None:
    lines = [json.loads(line) for line in corpus.train.read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(corpus.folder / line["audio_filepath"])
    lines[0]["text"] = "ψυχή"
    manifest = write_manifest(tmp_path / "train.jsonl", lines)
    # Units of another run, so that the strange letters are in none of them.
    units = ("--task.units", json.dumps({"kind": "from", "folder": str(runs / "am")}))
    run = tmp_path / "run"
    result = call("train", RECIPES, "--train", manifest, "--dev", corpus.dev, *units, "--out", run, "--device", "cpu")
    assert result.status == 0, result.err
    listed = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    reason = next(skipped["reason"] for skipped in listed if skipped["id"] == lines[0]["id"])
    assert "'ψ'" in reason
    assert f"skipped: {lines[0]['id']}: " in result.err


def test_models_of_other_units_are_refused_together(runs: Path, tmp_path: Path, call: Call) -> None:
    parts = ("--acoustic", runs / "am", "--language", runs / "other", "--out", tmp_path / "system")
    sentence = call("combine", *parts, "--method", "ctc+lm-labelwise").sentence()
    assert "units" in sentence
    assert not (tmp_path / "system").exists()
    assert call("combine", *parts, "--method", "ctc+lm-rescoring").status == 0  # which scores texts


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("combine", "--out", "{tmp}/s"), "no model is given"),
        (("combine", "--acoustic", "{runs}/lm", "--out", "{tmp}/s"), "holds no acoustic model"),
        (("combine", "--acoustic", "{tmp}/no", "--out", "{tmp}/s"), "no such system folder"),
        (("combine", "--acoustic", "{runs}/am", "--method", "speech-llm", "--out", "{tmp}/s"), "speech_llm"),
        (("combine", "--acoustic", "{runs}/am", "--method", "magic", "--out", "{tmp}/s"), "no method 'magic'"),
        (("recognize", "{runs}/lm", "{test}", "--out", "{tmp}/h.jsonl"), "has no search"),
        (("recognize", "{tmp}", "{test}", "--out", "{tmp}/h.jsonl"), "not a system folder"),
        (("recognize", "{runs}/am", "{test}", "--out", "{tmp}"), "is a folder"),
        (("recognize", "{runs}/am", "{test}", "--out", "/dev/null"), "is a device or a pipe"),
        (("transcribe", "a.wav", "--system", "{tmp}"), "not a system folder"),
        (("score", "{tmp}/no.jsonl"), "cannot be read"),
        (("score",), "no hypothesis file"),
    ],
)
def test_folders_and_methods_that_do_not_fit(
    given: tuple[str, ...], said: str, runs: Path, corpus: Corpus, tmp_path: Path, call: Call
) -> None:
    arguments = [part.format(tmp=tmp_path, runs=runs, test=corpus.test) for part in given]
    assert said in call(*arguments).sentence()
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_not_written_over(runs: Path, system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    manifest, sound = tmp_path / "dev.jsonl", tmp_path / "sound.wav"
    manifest.write_bytes(corpus.dev.read_bytes())
    soundfile.write(sound, noise(1.0), RATE)
    (tmp_path / "again.jsonl").symlink_to(manifest)
    before = manifest.read_bytes(), sound.read_bytes()
    commands = [
        ("recognize", runs / "am", manifest, "--out", manifest),
        ("recognize", runs / "am", manifest, "--out", tmp_path / "again.jsonl"),
        ("tune", system, manifest, "--out", tmp_path / "tuned", "--write-lists", manifest),
        ("perplexity", runs / "lm", manifest, "--out", manifest),
        ("transcribe", sound, "--system", runs / "am", "--out", sound),
    ]
    for command in commands:
        assert "is what is read; another name was expected" in call(*command).sentence()
    assert (manifest.read_bytes(), sound.read_bytes()) == before
    assert not (tmp_path / "tuned").exists()


def _commands(system: Path, corpus: Corpus, out: Path) -> dict[str, tuple[object, ...]]:
    data = ("--train", corpus.train, "--dev", corpus.dev)
    return {
        "train": ("train", RECIPES, *data, "--out", out, "--device", "cpu"),
        "recognize": ("recognize", system, corpus.test, "--method", "ctc-greedy", "--out", out / "h.jsonl"),
        "tune": ("tune", system, corpus.dev, "--nbest", 2, "--out", out),
        "combine": ("combine", "--acoustic", system, "--out", out),
        "demo": ("demo", "--size", "tiny", "--out", out),
    }


COMMANDS = ("train", "recognize", "tune", "combine", "demo")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_folder_that_cannot_be(name: str, system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in call(*_commands(system, corpus, tmp_path / "file" / "out")[name]).sentence()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _full(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the call after `after` on, no file can be brought to disk."""
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_found_before_the_work(
    name: str, system: Path, corpus: Corpus, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = _commands(system, corpus, tmp_path / "out")[name]
    _full(0, monkeypatch)
    assert "No space left on device" in call(*command).sentence()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["recognize", "tune", "combine"])
def test_a_disk_that_fills_meanwhile_leaves_nothing_half_written(
    name: str, system: Path, corpus: Corpus, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = _commands(system, corpus, tmp_path / "out")[name]
    _full(1, monkeypatch)  # the probe still goes through
    assert "No space left on device" in call(*command).sentence()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_disk_that_fills_in_training_leaves_whole_checkpoints(
    corpus: Corpus, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = _commands(tmp_path, corpus, tmp_path / "run")["train"]
    real = os.fsync
    _full(20, monkeypatch)
    result = call(*command)
    assert result.status == 2
    assert "Traceback" not in result.err
    assert "No space left on device" in result.err.splitlines()[-1]
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "run" / "system").exists()
    monkeypatch.setattr(os, "fsync", real)
    assert call("train", tmp_path / "run", "--device", "cpu").status == 0


def test_a_limit_of_the_kernel_on_file_size(system: Path, corpus: Corpus, tmp_path: Path) -> None:
    """A real refusal by the system, in a process of its own."""
    command = [sys.executable, "-m", "duolect", *map(str, _commands(system, corpus, tmp_path / "out")["recognize"])]
    limit: Callable[[], None] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 2
    assert done.stderr == f"duolect recognize: {tmp_path}/out/h.jsonl: nothing can be written there (File too large).\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_uses_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun the probe of one process must not take the folder from under another."""
    target = tmp_path / "runs" / "am" / "recipe.json"

    def meanwhile(descriptor: int) -> None:
        (target.parent / "units.json").write_text("{}")

    monkeypatch.setattr("duolect.cli.arguments.os.fsync", meanwhile)
    require_writable(target)
    assert [path.name for path in target.parent.iterdir()] == ["units.json"]
    monkeypatch.undo()
    require_writable(tmp_path / "new" / "folder" / "x")
    assert not (tmp_path / "new").exists()


def _powerless() -> None:
    """Permissions count for root too."""
    for power in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_folder_that_stands_is_probed_itself_and_not_the_one_around_it(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mount" / "mine", tmp_path / "open" / "theirs"
    mine.mkdir(parents=True)
    theirs.mkdir(parents=True)
    mine.parent.chmod(0o555)
    theirs.chmod(0o555)
    if subprocess.run(["touch", theirs / "x"], capture_output=True, preexec_fn=_powerless, check=False).returncode == 0:
        pytest.skip("root may write anywhere")
    script = (
        "import sys; from pathlib import Path; from duolect.cli.arguments import require_writable\n"
        "require_writable(Path(sys.argv[1]), folder=True, replaced=len(sys.argv) > 2)"
    )

    def probe(folder: Path, *replaced: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(folder), *replaced]
        return subprocess.run(command, capture_output=True, text=True, preexec_fn=_powerless, check=False)

    done = probe(mine)
    assert done.returncode == 0, done.stderr
    assert list(mine.iterdir()) == []
    refused = probe(theirs)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith(f"{theirs}: nothing can be written there (Permission denied).")
    assert "nothing can be written there" in probe(mine, "as a whole").stderr
    assert probe(theirs, "as a whole").returncode == 0
    beside = probe(mine.parent / "new")
    assert "nothing can be written there (Permission denied)" in beside.stderr
