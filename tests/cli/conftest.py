"""A spoken corpus, tiny models trained through the command line, and a way to call it in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside the tests

from command_line import Call, Result, train

from duolect.cli import main
from duolect.data.synthetic import Corpus, make_corpus


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:  # tyro's own complaints and help
            status = int(error.code or 0)
        return Result(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """24 spoken sentences to train on, 8 for dev, 8 for test."""
    return make_corpus(tmp_path_factory.mktemp("cli") / "corpus", "tiny", workers=1)


@pytest.fixture(scope="session")
def runs(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs `am`, `lm` and `sllm`, and `other`, a language model of other units."""
    folder = tmp_path_factory.mktemp("runs")
    data = ("--train", corpus.train, "--dev", corpus.dev)
    other = folder / "other.txt"
    other.write_text("0 1 2 3\n4 5 6\n")
    assert train("acoustic", *data, "--out", folder / "am") == 0
    text = ("--text", corpus.dev, "--dev", corpus.dev)
    assert train("language", *text, "--units", folder / "am", "--out", folder / "lm") == 0
    assert train("language", "--text", other, "--dev", other, "--steps", 1, "--out", folder / "other") == 0
    models = ("--acoustic", folder / "am", "--language", folder / "lm")
    assert train("speech_llm", *data, *models, "--out", folder / "sllm") == 0
    return folder


@pytest.fixture(scope="session")
def system(runs: Path) -> Path:
    """A system folder of all three."""
    parts = ["--acoustic", runs / "am", "--language", runs / "lm", "--speech-llm", runs / "sllm" / "system"]
    assert main(["combine", *map(str, parts), "--method", "attention+ctc", "--out", str(runs / "system")]) == 0
    return runs / "system"
