"""Models whose parts speak different units: CTC in phonemes or pieces, decoder and LLM in their own; new embeddings."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llm import make_llm
from training_corpus import WORDS, acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe

from duolect.configs import from_json, to_json
from duolect.data import load_manifest
from duolect.errors import ConfigError, TrainingError, UnitsError
from duolect.models import LLMConfig
from duolect.systems import System, combine
from duolect.text import HuggingFaceUnits, PhonemeUnits, SentencePieceUnits, UnitsConfig, load_units, normalise
from duolect.training import AcousticTask, Recipe, SpeechLLMTask, UnitsFrom, plan_training, train_recipe
from duolect.training.parts import make_model, make_units

STEPS = {"steps": 2, "evaluate_every": 2, "checkpoint_every": 2}
PHONEMES = UnitsConfig(kind="phonemes", language="en-gb")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones") / "corpus")


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished runs `mixed` (CTC in phonemes, decoder in characters) and `language` (the decoder's characters)."""
    folder = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    train_recipe(_with(acoustic_recipe(corpus, **STEPS), ctc_units=PHONEMES), folder / "mixed", device="cpu")
    train_recipe(language_recipe(corpus, folder / "mixed", **STEPS), folder / "language", device="cpu")
    return folder


def _with(recipe: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, **changes))


def _dev(run: Path) -> dict[str, float]:
    return [line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "dev_loss" in line][-1]


def test_ctc_in_phonemes_beside_a_decoder_of_characters(corpus: Path, runs: Path) -> None:
    system = System.load(runs / "mixed")
    assert system.acoustic is not None
    own, ctc, model = system.acoustic.units, system.acoustic.ctc_units, system.acoustic.model
    assert isinstance(ctc, PhonemeUnits)
    assert own.kind == "characters"
    assert {entry.word for entry in ctc.lexicon} == set(WORDS)
    assert (model.config.vocabulary, model.config.ctc_vocabulary) == (own.size, ctc.size)
    assert [head.out_features for head in model.speech.ctc_heads.values()] == [ctc.size + 1] * 2
    assert system.acoustic.log_prior_V is not None
    assert system.acoustic.log_prior_V.shape == (ctc.size,)
    assert load_units(runs / "mixed" / "ctc_units").fingerprint == ctc.fingerprint
    assert {"dev_ce", "dev_ctc_ler", "dev_ctc_wer"} <= _dev(runs / "mixed").keys()
    assert system.methods() == ["ctc-greedy", "ctc-beam", "attention", "ctc+attention-rescoring"]

    joined = combine(acoustic=runs / "mixed" / "system", language=runs / "language" / "system")
    assert joined.methods() == [*system.methods(), "ctc+lm-rescoring", "ctc+lm-delayed"]
    with pytest.raises(UnitsError, match=r"the term 'ctc' must speak the same label units"):
        joined.with_method("attention+ctc")
    dev = load_manifest(corpus / "dev.jsonl")
    for method in joined.methods():
        rows = joined.with_method(method).recognize(dev).rows
        assert len(rows) == len(dev)
        if method.startswith("ctc"):
            assert all(set(row.text.split()) <= set(WORDS) for row in rows)


def test_dev_word_errors_are_of_the_text_not_of_what_its_phonemes_are_read_as(corpus: Path, tmp_path: Path) -> None:
    """With "sew" and "sow" for "so", the references hold a word that the phonemes never come back as."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("train.jsonl", "dev.jsonl"):
        lines = [json.loads(line) for line in (corpus / name).read_text().splitlines()]
        for line in lines:
            line["text"] = line["text"].replace("so", "sew") if name == "dev.jsonl" else line["text"]
            line["audio_filepath"] = str(corpus / line["audio_filepath"])
        (other / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [json.loads(line)["text"].split() for line in (other / "dev.jsonl").read_text().splitlines()]
    share = sum(text.count("sew") for text in words) / sum(map(len, words))
    assert share > 0
    recipe = acoustic_recipe(other, dropout=0.0, augment=False, steps=1, evaluate_every=1, checkpoint_every=1)
    model = dataclasses.replace(recipe.task.model, decoder=None)
    train_recipe(_with(recipe, model=model, units=PHONEMES), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "ctc_units").exists()
    assert _dev(tmp_path / "run")["dev_ctc_wer"] >= share


def test_ctc_in_pieces_before_an_llm_of_its_own_tokens(corpus: Path, runs: Path, tmp_path: Path) -> None:
    source = make_llm(tmp_path / "llm", corpus / "lm.txt")
    recipe = speech_llm_recipe(corpus, runs / "mixed", runs / "language", **STEPS)
    llm = LLMConfig(vocabulary=1, source=str(source))
    recipe = _with(
        recipe,
        model=dataclasses.replace(recipe.task.model, llm=llm),
        units=UnitsConfig(kind="huggingface", source=str(source), lowercase=True),
        ctc_units=UnitsConfig(kind="sentencepiece", size=14),
        initialise_llm=None,
    )
    assert from_json(Recipe, to_json(recipe)) == recipe
    system = System.load(train_recipe(recipe, tmp_path / "run", device="cpu"))
    assert system.speech_llm is not None
    assert isinstance(system.speech_llm.units, HuggingFaceUnits)
    assert isinstance(system.speech_llm.ctc_units, SentencePieceUnits)
    assert system.methods() == ["ctc-greedy", "ctc-beam", "speech-llm", "speech-llm-draft", "ctc+speech-llm-rescoring"]
    for method in system.methods():
        assert len(system.with_method(method).recognize(load_manifest(corpus / "dev.jsonl")).rows) == 3


def test_a_speech_llm_keeps_the_acoustic_models_heads_with_its_units(corpus: Path, runs: Path, tmp_path: Path) -> None:
    recipe = speech_llm_recipe(corpus, runs / "mixed", runs / "language")
    assert isinstance(recipe.task, SpeechLLMTask)
    units_from = UnitsFrom(folder=str(runs / "mixed"), ctc=True)
    make_units(units_from, [], tmp_path / "ctc_units")
    make_units(UnitsFrom(folder=str(runs / "language"), component="language", ctc=True), [], tmp_path / "units")
    phonemes, characters = load_units(tmp_path / "ctc_units"), load_units(tmp_path / "units")
    assert (phonemes.kind, characters.kind) == ("phonemes", "characters")  # without CTC units: the component's own
    theirs = System.load(runs / "mixed").parts["acoustic"].model.speech.ctc_heads["2"]
    kept = make_model(dataclasses.replace(recipe.task, ctc_units=units_from), characters, phonemes)
    assert torch.equal(kept.speech.ctc_heads["2"].weight, theirs.weight)


def test_a_folder_of_one_model_gives_its_units_and_one_of_several_must_say_whose(
    corpus: Path, runs: Path, tmp_path: Path
) -> None:
    only = UnitsFrom(folder=str(runs / "language"))
    make_units(only, [], tmp_path / "units")
    there = load_units(tmp_path / "units")
    assert there.fingerprint == load_units(runs / "language" / "units").fingerprint
    plan = plan_training(language_recipe(corpus, runs / "language"))
    assert (plan.vocabulary, [note for note in plan.notes if "not there" in note]) == (there.size, [])
    several = tmp_path / "several"
    combine(acoustic=runs / "mixed", language=runs / "language").save(several)
    wanted = dataclasses.replace(only, folder=str(several), component="speech_llm")
    said = rf"several: has no model 'speech_llm' .* but acoustic and language; .* such as .*{several.name}/acoustic"
    with pytest.raises(TrainingError, match=said):
        make_units(wanted, [], tmp_path / "none")
    recipe = language_recipe(corpus, several)
    with pytest.raises(TrainingError, match=said):
        plan_training(dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, units=wanted)))


def test_starting_from_heads_of_other_units_is_refused(corpus: Path, runs: Path, tmp_path: Path) -> None:
    recipe = _with(acoustic_recipe(corpus), initialise_from=str(runs / "mixed"))
    assert isinstance(recipe.task, AcousticTask)
    characters, phonemes = load_units(runs / "mixed" / "units"), load_units(runs / "mixed" / "ctc_units")
    assert make_model(recipe.task, characters, phonemes)
    with pytest.raises(UnitsError, match="other units"):
        make_model(recipe.task, characters, None)


def test_ctc_units_need_ctc_and_a_decoder(corpus: Path, runs: Path) -> None:
    recipe = acoustic_recipe(corpus)
    speech = speech_llm_recipe(corpus, runs / "mixed", runs / "language")
    cases = [
        (recipe, {"decoder": None}, "for CTC alone set units"),
        (recipe, {"ctc_layers": ()}, "ctc_layers is empty"),
        (speech, {"ctc_layers": ()}, "ctc_layers is empty"),
    ]
    for given, change, message in cases:
        with pytest.raises(ConfigError, match=message):
            _with(given, model=dataclasses.replace(given.task.model, **change), ctc_units=PHONEMES)


@pytest.mark.parametrize("size", [128, 600])
def test_an_llm_gets_new_embeddings_for_few_or_many_pieces(size: int, corpus: Path, tmp_path: Path) -> None:
    """Fewer than its own tokens, and more; tied or not, only rows of the pieces are left."""
    source = make_llm(tmp_path / "llm", corpus / "lm.txt")
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghiklmnoprstuw", k=draw.randint(2, 8))) for _ in range(900)]
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(draw.choices(words, k=8)) + "\n" for _ in range(300)))
    recipe = language_recipe(tmp_path, tmp_path, **STEPS)
    network = LLMConfig(vocabulary=1, source=str(source), replace_embeddings=True)
    recipe = _with(
        recipe,
        model=dataclasses.replace(recipe.task.model, llm=network),
        units=UnitsConfig(kind="sentencepiece", size=size),
        train=(str(text),),
        dev=str(text),
        dev_sentences=5,
    )
    system = System.load(train_recipe(recipe, tmp_path / "run", device="cpu"))
    assert system.language is not None
    model, units = system.language.model, system.language.units
    assert units.size == model.vocabulary == size
    tables = model.llm.model.get_input_embeddings(), model.llm.model.get_output_embeddings()
    assert [len(table.weight) for table in tables] == [size, size]
    labels = torch.tensor([units.encode(normalise(text.read_text().splitlines()[0]))])
    log_probs_1MV = model.sequence_log_probs(None, labels, torch.tensor([labels.shape[1]]))
    assert log_probs_1MV.shape == (1, labels.shape[1] + 1, size)
    torch.testing.assert_close(log_probs_1MV.exp().sum(-1), torch.ones(1, labels.shape[1] + 1))
