"""The study of pre-trained and random LLMs, with very little of everything."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))  # for the helper beside the tests

from talking_llm import make_talking_llm

from duolect.cli import main
from duolect.data import load_manifest
from duolect.data.synthetic import SpeakingConfig
from duolect.errors import ConfigError, DuolectError
from duolect.evaluation import score_file
from duolect.storage import read_json, write_json
from duolect.studies.pretraining import METHODS, PretrainingConfig, run_pretraining_study
from duolect.studies.sampled_text import SentenceBounds
from duolect.systems import load, pretrained_language
from duolect.text import normalise

TINY = PretrainingConfig(
    train=16,
    dev=3,
    test=4,
    bounds=SentenceBounds(shortest=2, longest=6),
    speaking=SpeakingConfig(babble_tracks=1, babble_seconds=2.0),
    acoustic_steps=2,
    steps=2,
    finetune=("frozen",),
    seeds=(1, 2),
)
RUNS = [(start, seed) for seed in TINY.seeds for start in ("random", "pre-trained")]


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talking_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def study(llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study."""
    folder = tmp_path_factory.mktemp("study") / "out"
    run(llm, folder)
    return folder


def run(llm: Path, folder: Path, config: PretrainingConfig = TINY) -> str:
    """What the study says on the console."""
    with open(folder.parent / "console.txt", "w") as handle:
        run_pretraining_study(llm, folder, config=config, console=Console(file=handle, width=200))
    return (folder.parent / "console.txt").read_text()


def rows(folder: Path) -> dict[str, str]:
    report = (folder / "report.md").read_text(encoding="utf-8")
    return {line.split("|")[1].strip(): line for line in report.splitlines() if line.startswith("| ")}


def test_the_sentences_are_the_llms_and_no_two_parts_share_one(study: Path, llm: Path) -> None:
    sentences = read_json(study / "text.json")["sentences"]
    texts = {
        split: {normalise(u.text) for u in load_manifest(study / "corpus" / f"{split}.jsonl")} for split in sentences
    }
    assert {split: len(found) for split, found in texts.items()} == {"train": 16, "dev": 3, "test": 4}
    assert not texts["train"] & (texts["dev"] | texts["test"])
    assert not texts["dev"] & texts["test"]
    for split, given in sentences.items():
        assert [u.text for u in load_manifest(study / "corpus" / f"{split}.jsonl")] == given
        assert all(sentence[-1] in ".!" for sentence in given)  # as written, not normalised


def test_the_two_of_a_pair_differ_in_the_weights_of_the_llm_alone(study: Path, llm: Path) -> None:
    for seed in TINY.seeds:
        known, random = (
            read_json(study / f"{start}-frozen-seed{seed}" / "recipe.json")["recipe"]
            for start in ("pre-trained", "random")
        )
        assert random["task"]["model"]["llm"].pop("pretrained") is False
        assert known["task"]["model"]["llm"].pop("pretrained") is True
        assert known == random
        assert known["loop"]["seed"] == seed
        assert known["task"]["normalise"] is False


def test_frozen_llms_are_afterwards_what_they_were(study: Path, llm: Path) -> None:
    source = pretrained_language(llm).model.llm.model.state_dict()
    found = {}
    for start, seed in RUNS:
        system = load(study / f"{start}-frozen-seed{seed}")
        assert system.speech_llm is not None
        found[start, seed] = system.speech_llm.model.llm.model.state_dict()
        assert found[start, seed].keys() == source.keys()
        assert all(found[start, seed][key].equal(source[key]) for key in source) == (start == "pre-trained")
    name = "model.embed_tokens.weight"
    assert not found["random", 1][name].equal(found["random", 2][name])


def test_every_line_is_scored_and_described_and_seeds_are_averaged(study: Path) -> None:
    found = rows(study)
    names = [f"{start}, seed {seed}, {how}" for how in METHODS for start, seed in RUNS]
    assert list(found)[2:] == [*names, "acoustic model"]
    wers = {name: 100 * score_file(study / "hypotheses" / f"{name}.jsonl").wer for name in list(found)[2:]}
    for name, wer in wers.items():
        assert f"{wer:.2f}" in found[name]
    place = [cell.strip() for cell in found["System"].split("|")].index("Trained")
    assert len({found[name].split("|")[place] for name in names}) == 1
    report = (study / "report.md").read_text(encoding="utf-8")
    for how in METHODS:
        for seed in TINY.seeds:
            pair = [f"{start}, seed {seed}, {how}" for start in ("pre-trained", "random")]
            assert any(all(name in line for name in pair) for line in report.splitlines() if line.startswith("* "))
        random = sum(wers[f"random, seed {seed}, {how}"] for seed in TINY.seeds) / 2
        assert f"random {random:.2f} %" in next(line for line in report.splitlines() if f"(frozen, {how})" in line)
    assert (study / "report.html").exists()


def test_perplexities_are_of_words_without_sentence_ends(study: Path, llm: Path) -> None:
    """Against transformers' own forward pass in float64."""
    tokenizer, network = AutoTokenizer.from_pretrained(llm), AutoModelForCausalLM.from_pretrained(llm).double()
    total, labels, words = 0.0, 0, 0
    for text in read_json(study / "text.json")["sentences"]["test"]:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            log_p_NV = network(ids).logits[0, :-1, : len(tokenizer)].log_softmax(-1)
        total += float(log_p_NV.gather(1, ids[0, 1:, None]).sum())
        labels += ids.shape[1] - 1
        words += len(text.split())
    report = (study / "report.md").read_text(encoding="utf-8")
    assert (
        f"a perplexity of {math.exp(-total / labels):.1f} per label and {math.exp(-total / words):,.0f} per word"
        in report
    )


def test_what_stands_is_used_again(study: Path, llm: Path) -> None:
    before = (study / "report.md").read_text(encoding="utf-8")
    said = run(llm, study)
    assert "sampling" not in said
    assert "step 2/2" not in said
    assert "recognising" not in said
    assert (study / "report.md").read_text(encoding="utf-8") == before


def test_a_folder_of_other_text_is_refused(study: Path, llm: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds a study of other text \(train was 16 and is now 17\)"):
        run_pretraining_study(llm, study, config=dataclasses.replace(TINY, train=17), console=Console(quiet=True))
    other = make_talking_llm(tmp_path / "other", seed=4)
    with pytest.raises(ConfigError, match=r"holds a study of other text \(llm was \w+ and is now \w+\)"):
        run_pretraining_study(other, study, config=TINY, console=Console(quiet=True))
    write_json(tmp_path / "mine" / "text.json", ["mine"])
    with pytest.raises(DuolectError, match=r"text\.json: is not the text of such a study"):
        run_pretraining_study(llm, tmp_path / "mine", config=TINY, console=Console(quiet=True))
    assert read_json(tmp_path / "mine" / "text.json") == ["mine"]


def test_what_cannot_be_done_is_one_sentence(llm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def refused(*given: object) -> str:
        capfd.readouterr()
        assert main(["study", "pretraining", "--out", str(tmp_path / "out"), *map(str, given)]) == 2
        return capfd.readouterr().err

    (tmp_path / "empty").mkdir()
    assert "empty: no tokeniser could be loaded" in refused("--llm", tmp_path / "empty")
    config = json.loads((llm / "config.json").read_text())
    vision = tmp_path / "vision"
    vision.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (vision / name).write_bytes((llm / name).read_bytes())
    (vision / "config.json").write_text(json.dumps({**config, "model_type": "vit", "architectures": ["ViTModel"]}))
    assert "neither a folder nor a hub name from which a causal language model can be loaded" in refused(
        "--llm", vision
    )
    assert "finetune" in refused("--llm", llm, "--finetune", "all")
    assert "steps must be at least 1, not 0" in refused("--llm", llm, "--steps", 0)
    assert "seeds must name one or several, each once, not [1, 1]" in refused("--llm", llm, "--seeds", 1, 1)
    endless = make_talking_llm(tmp_path / "endless", ends=())
    assert "only 0 different sentences of 3 to 14 words could be made" in refused("--llm", endless)
    assert not (tmp_path / "out" / "corpus").exists()
