"""Axes about the speech LLM, run with very little of everything: the LLM given, its text sampled, spoken and heard."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent))  # for the helper beside the tests

from talking_llm import make_talking_llm

from duolect.data import load_manifest
from duolect.errors import DuolectError
from duolect.evaluation import read_run, score_file
from duolect.storage import read_json
from duolect.studies.catalogue import build_scale, build_study, only
from duolect.studies.report import gather
from duolect.studies.report.table import study_columns
from duolect.studies.stages import Stage, Store, in_order
from duolect.studies.stages.llms import SENTENCES, GivenLLM, SampledText
from duolect.studies.stages.recognition import Recognition
from duolect.studies.study import FACTS, Study
from duolect.systems import load, pretrained_language
from duolect.text import normalise

TINY = {
    "size": "tiny",
    "acoustic_steps": 2,
    "language_steps": 2,
    "speech_llm_steps": 2,
    "sampled": 16,
    "pretrained_steps": 2,
}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def made(study: Study, store: Store) -> Study:
    for stage in in_order(study.stages):
        store.make(stage, quiet())
    return study


def study(name: str, *entries: str, **data: Path) -> Study:
    return only(build_study(name, build_scale("demo", seeds=(1,), data=data, settings=TINY)), entries)


def system_of(entry: str, study: Study) -> Stage:
    run = study.entry(entry).runs[1]
    assert isinstance(run, Recognition)
    return run.system


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talking_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def pretraining(llm: Path, store: Store) -> Study:
    names = ("pre-trained, LLM frozen, alone", "random, LLM frozen, alone", "attention + CTC of the acoustic model")
    return made(study("pretraining", *names, llm=llm), store)


def corpus_of(study: Study) -> Stage:
    return study.entries[0].runs[1].uses()["corpus"]


def test_the_sentences_are_the_llms_and_no_two_parts_share_one(pretraining: Study, store: Store) -> None:
    corpus = corpus_of(pretraining)
    sentences = read_json(store.folder(corpus.uses()["text"]) / SENTENCES)
    texts = {
        split: {normalise(u.text) for u in load_manifest(store.folder(corpus) / f"{split}.jsonl")}
        for split in sentences
    }
    assert {split: len(found) for split, found in texts.items()} == {"train": 16, "dev": 3, "test": 4}
    assert not texts["train"] & (texts["dev"] | texts["test"])
    assert not texts["dev"] & texts["test"]
    for split, given in sentences.items():
        assert [u.text for u in load_manifest(store.folder(corpus) / f"{split}.jsonl")] == given
        assert all(sentence[-1] in ".!" for sentence in given)  # as written, not normalised


def test_frozen_llms_are_afterwards_what_they_were(pretraining: Study, store: Store, llm: Path) -> None:
    source = pretrained_language(llm).model.llm.model.state_dict()
    for start, known in (("pre-trained", True), ("random", False)):
        stage = system_of(f"{start}, LLM frozen, alone", pretraining)
        assert read_json(store.folder(stage) / "recipe.json")["recipe"]["task"]["normalise"] is False
        trained = load(store.folder(stage) / "system").speech_llm
        assert trained is not None
        found = trained.model.llm.model.state_dict()
        assert found.keys() == source.keys()
        assert all(found[key].equal(source[key]) for key in source) == known


def test_perplexities_before_training_are_of_words_without_sentence_ends(
    pretraining: Study, store: Store, llm: Path
) -> None:
    """Against transformers' own forward pass in float64."""
    tokenizer: Any = AutoTokenizer.from_pretrained(llm)
    network = AutoModelForCausalLM.from_pretrained(llm).double()
    total, labels, words = 0.0, 0, 0
    for utterance in load_manifest(store.folder(corpus_of(pretraining)) / "test.jsonl"):
        ids = [tokenizer.bos_token_id, *tokenizer(utterance.text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            log_p_NV = network(torch.tensor([ids])).logits[0, :-1, : len(tokenizer)].log_softmax(-1)
        total += float(log_p_NV.gather(1, torch.tensor(ids)[1:, None]).sum())
        labels += len(ids) - 1
        words += len(utterance.text.split())
    facts = {
        entry.name.split(",")[0]: read_json(store.folder(entry.measured[0]) / FACTS)
        for entry in pretraining.entries
        if entry.measured
    }
    known = facts["pre-trained"]
    assert known["PPL/label before"] == f"{math.exp(-total / labels):.1f}"
    assert known["PPL/word before"] == f"{math.exp(-total / words):.0f}"
    assert facts["random"] != known


def columns(study: Study, store: Store) -> Mapping[str, list[str]]:
    return {column.title: [cell.text for cell in column.cells] for column in study_columns(gather(study, store))}


def test_rows_are_scored_and_have_the_columns_of_their_study(pretraining: Study, store: Store) -> None:
    found = columns(pretraining, store)
    for entry, wer in zip(pretraining.entries, found["WER %"], strict=True):
        run = store.folder(entry.runs[1]) / "hyps.jsonl"
        assert wer.strip("*") == f"{100 * score_file(run).wer:.2f}"
    assert found["PPL/word before"][2] == "–"


def test_ctc_of_other_units_scores_what_the_speech_llm_found(store: Store) -> None:
    mixed = made(study("units", "the acoustic model's pieces, CTC in phonemes, with CTC"), store)
    run = mixed.entries[0].runs[1]
    rows, _ = read_run(store.folder(run) / "hyps.jsonl")
    assert all(set(row.terms) == {"speech_llm", "ctc"} for row in rows)
    assert isinstance(run, Recognition)
    trained = load(store.folder(run.system) / "system").speech_llm
    assert trained is not None
    assert trained.ctc_units is not None
    assert trained.ctc_units.fingerprint != trained.units.fingerprint


def test_errors_effort_and_memory_are_columns(store: Store) -> None:
    swept = made(study("joint-ctc", "CTC 1"), store)
    found = columns(swept, store)
    assert {"Sub %", "Del %", "Ins %", "any sign"} <= found.keys()
    for row, wer in enumerate(found["WER %"]):
        kinds = [float(found[f"{kind} %"][row]) for kind in ("Sub", "Del", "Ins")]
        assert sum(kinds) == pytest.approx(float(wer.strip("*")), abs=0.02)
    read = columns(made(study("interface", "prefix, causal, alone"), store), store)
    assert float(read["KV/s"][0]) > 0


def test_an_llm_that_cannot_be_used_is_told(llm: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DuolectError, match=r"holds no causal language model, for it has no config\.json"):
        store.make(GivenLLM(name="llm", source=empty), quiet())
    endless = GivenLLM(name="llm", source=make_talking_llm(tmp_path / "endless", ends=()))
    store.make(endless, quiet())
    with pytest.raises(DuolectError, match="only 0 different sentences of 3 to 14 words could be made"):
        store.make(SampledText(name="text", llm=endless, train=2, dev=1, test=1), quiet())
    assert GivenLLM(name="a", source=llm).key == GivenLLM(name="b", source=_copied(llm, tmp_path / "copy")).key
    assert GivenLLM(name="a", source=llm).key != endless.key


def _copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target
