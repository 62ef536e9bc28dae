"""What a comparison does with the systems that it recognises itself."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from duolect.audio import write_audio
from duolect.audio.features import FeatureConfig
from duolect.data import Utterance, write_manifest
from duolect.models import AcousticConfig, AcousticModel
from duolect.nn.conformer import ConformerConfig
from duolect.nn.frontend import FrontEndConfig
from duolect.reports.compare import CompareOptions, Source, compare, sources_of, write_report
from duolect.reports.compare.inputs import distinct_slugs
from duolect.systems import Component, System
from duolect.text import CharacterUnits


def make_manifest(folder: Path, name: str, text: str) -> Path:
    utterances = []
    for n in range(2):
        path = folder / f"{name}{n}.wav"
        write_audio(path, np.random.default_rng(n).normal(0, 0.1, 16_000))
        utterances.append(Utterance(audio_filepath=path, duration=1.0, text=text, id=f"{name}{n}"))
    write_manifest(folder / f"{name}.jsonl", utterances)
    return folder / f"{name}.jsonl"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    units = CharacterUnits("abc ")
    encoder = ConformerConfig(width=16, layers=1, heads=2, kernel=5, front_end=FrontEndConfig(channels=(4, 4, 4)))
    config = AcousticConfig(
        vocabulary=units.size,
        bos_id=units.bos_id,
        eos_id=units.eos_id,
        features=FeatureConfig(mels=20),
        encoder=encoder,
        ctc_layers=(1,),
        decoder=None,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("system")
    System(acoustic=Component(AcousticModel(config), units)).save(folder)
    return folder


def test_a_system_that_fails_on_non_speech_alone_is_still_compared(system: Path, tmp_path: Path) -> None:
    test, noise = make_manifest(tmp_path, "test", "a b"), make_manifest(tmp_path, "noise", "")
    out, said = tmp_path / "out", io.StringIO()
    (out / "hypotheses").mkdir(parents=True)
    (out / "hypotheses" / "nonspeech").touch()  # where a folder has to be made
    report = compare(
        sources_of([f"tiny={system}:ctc-greedy"]),
        test,
        out,
        CompareOptions(nonspeech=noise),
        console=Console(file=io.StringIO()),
    )
    write_report(report, out, Console(file=said, width=1000))
    assert [each.name for each in report.comparison.systems] == ["tiny"]
    assert report.failures.keys() == {"tiny"}
    assert report.comparison.notes[0].startswith("Not run on non-speech: tiny: ")
    assert "  Not run on non-speech: tiny: " in said.getvalue()
    assert "Not compared" not in said.getvalue()
    assert "Not in this comparison" not in (out / "report.md").read_text()


def test_no_two_systems_share_a_file_of_hypotheses(system: Path, tmp_path: Path) -> None:
    names = ["a b", "a-b", "a-b-1", "A+b", "a+B", "alone"]
    slugs = distinct_slugs([Source(name=name, path=system) for name in names])
    assert slugs == dict(zip(names, ["a-b-2", "a-b-3", "a-b-1", "A+b-1", "a+B-2", "alone"], strict=True))

    methods = {"a b": "ctc-greedy", "a-b": "ctc-beam", "a-b-1": "ctc-beam"}
    sources = [Source(name=name, path=system, method=method) for name, method in methods.items()]
    report = compare(sources, make_manifest(tmp_path, "test", "a b"), tmp_path, console=Console(file=io.StringIO()))
    assert {row["name"]: row["method"] for row in report.raw} == methods
