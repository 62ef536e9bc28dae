"""Systems that are loaded in bfloat16: every method runs, and the record tells of it; none is ever saved."""

import math
from pathlib import Path

import pytest
import torch

import duolect
from duolect.data import Utterance, write_manifest
from duolect.errors import ConfigError, SystemFolderError
from duolect.storage import file_hash
from duolect.systems import METHODS, System, recognize_manifest
from duolect.systems.files import run_record
from duolect.systems.lines import HowRecognized, stands


@pytest.fixture(scope="module")
def folder(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("systems") / "system"
    system.with_method("ctc+lm-rescoring").save(folder)
    return folder


@pytest.fixture(scope="module")
def rounded(folder: Path) -> System:
    return duolect.load(folder, precision="bf16")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_its_promises(method: str, rounded: System, corpus: list[Utterance]) -> None:
    system = rounded.with_method(method)
    assert system.search is not None
    found = system.recognize(corpus, nbest=True).rows
    assert [row.id for row in found] == [utterance.id for utterance in corpus]
    for row in found:
        scores = [entry["score"] for entry in row.fields["nbest"]]
        assert scores == sorted(scores, reverse=True)
        for entry in row.fields["nbest"]:
            assert all(math.isfinite(value) for value in entry["terms"].values())
            assert entry["score"] == pytest.approx(system.search.score(entry["terms"], entry["labels"]), abs=1e-3)
    alone = system.recognize(corpus, batch_seconds=0.01).rows
    assert sum(row.text == other.text for row, other in zip(found, alone, strict=True)) >= len(corpus) - 2


def test_a_record_tells_the_precision(folder: Path, corpus: list[Utterance]) -> None:
    told = {}
    for precision in ("stored", "bf16"):
        system = duolect.load(folder, precision=precision)
        told[precision] = run_record(system, system.recognize(corpus[:1]))
    assert (told["stored"].precision, told["bf16"].precision) == ("float32", "bfloat16")
    assert told["stored"].config_hash != told["bf16"].config_hash
    half = duolect.load(folder)
    assert half.language is not None
    half.language.model.to(torch.bfloat16)
    assert run_record(half, half.recognize(corpus[:1])).precision == "bfloat16 + float32"


def test_hypotheses_of_another_precision_do_not_stand(
    folder: Path, rounded: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    write_manifest(tmp_path / "test.jsonl", corpus[:2])
    how = HowRecognized(precision="bf16")
    stored, rounded = (each.with_method("ctc-greedy") for each in (duolect.load(folder), rounded))
    for name, system in (("stored", stored), ("rounded", rounded)):
        out = tmp_path / f"{name}.jsonl"
        recognize_manifest(system, tmp_path / "test.jsonl", out, max_seconds=how.max_seconds)
        assert stands(out, rounded, file_hash(tmp_path / "test.jsonl"), how) is (name == "rounded")


def test_an_unknown_precision_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^precision must be stored or bf16, not 'fp16'\.$"):
        duolect.load(folder, precision="fp16")  # ty: ignore


def test_what_was_rounded_is_not_saved(folder: Path, rounded: System, tmp_path: Path) -> None:
    before = (folder / "system.json").read_bytes()
    for place in (tmp_path / "other", folder):
        with pytest.raises(SystemFolderError, match=r"^the acoustic model was rounded to bfloat16 when it was loaded"):
            rounded.with_method("ctc-greedy").save(place)
    assert not (tmp_path / "other").exists()
    assert (folder / "system.json").read_bytes() == before
