"""Settings of fine-tuning that fit nothing are one sentence, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Call
from tiny_llm import make_llm

from duolect.data.synthetic import Corpus


@pytest.fixture(scope="module")
def llm(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llm(tmp_path_factory.mktemp("hub") / "llm", Path(corpus.dev))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--finetune", "lora", "--task.model.lora.targets", "q_proj", "query"),
            "the target 'query' names no projection of this LLM; it has down_proj, gate_proj",
        ),
        (("--optimiser.freeze", "embeding"), "freeze: the pattern 'embeding' fits no parameter's name"),
        (("--optimiser.freeze", "("), "freeze.( is not a regular expression"),
        (("--optimiser.freeze", "."), "no trainable parameter"),
        (("--optimiser.freeze-until", '{"embed": 9}'), "waits for step 9, but the run has only 3"),
        (("--optimiser.freeze-until", '{".": 1}'), "nothing to be trained in the first step"),
        (("--finetune", "frozen-embeddings", "--task.model.finetune", "frozen"), "belongs to finetune 'full'"),
    ],
)
def test_what_fits_nothing(
    options: tuple[str, ...], says: str, call: Call, corpus: Corpus, llm: Path, tmp_path: Path
) -> None:
    text = ("--text", corpus.dev, "--dev", corpus.dev, "--llm", llm, "--steps", 3, "--loop.tensorboard", "false")
    refused = call("train", "small-language", *text, "--device", "cpu", "--out", tmp_path / "run", *options)
    assert says in refused.sentence()
    assert not (tmp_path / "run").exists()
