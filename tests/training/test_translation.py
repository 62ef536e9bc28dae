"""Training on translations: what is spelled and skipped, one model of two languages, starting from an ASR model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_corpus import acoustic_recipe, make_corpus, speech_llm_recipe

from duolect.data import BatchConfig, load_manifest
from duolect.errors import ConfigError, TrainingError, UnitsError
from duolect.models import AcousticModel, DecoderConfig, load_model
from duolect.systems import load
from duolect.text import CharacterUnits, Prompt, UnitsConfig, load_units
from duolect.training import Recipe, UnitsFrom, train_recipe
from duolect.training.parts import make_model

GERMAN = {"so": "So!", "la": "dann", "mi": "Mir", "do": "dort", "re": "Reh."}
FRENCH = {"so": "Si", "la": "là", "mi": "moi", "do": "dos", "re": "rue,"}


def _translate(text: str, words: dict[str, str]) -> str:
    return " ".join(words[word] for word in text.split())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones whose manifests `de.jsonl` and `both.jsonl` have translations: of the latter every utterance into two."""
    folder = make_corpus(tmp_path_factory.mktemp("translation") / "corpus", utterances=9)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    lines: dict[str, list[dict[str, Any]]] = {"de": [], "both": []}
    for row in rows:
        german = row | {"text": row["text"].upper() + "!", "translation": _translate(row["text"], GERMAN)}
        lines["de"].append(german)
        lines["both"].append(german | {"id": f"{row['id']}-de", "target_lang": "de"})
        french = {"id": f"{row['id']}-fr", "translation": _translate(row["text"], FRENCH), "target_lang": "fr"}
        lines["both"].append(german | french)
    for name, found in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
    return folder


def _recipe(corpus: Path, manifest: str, *, steps: int = 2, tags: tuple[str, ...] = (), **task: Any) -> Recipe:
    recipe = acoustic_recipe(corpus, dropout=0.0, augment=False, steps=steps, evaluate_every=steps)
    data = str(corpus / f"{manifest}.jsonl")
    decoder = DecoderConfig(layers=1, width=32, heads=2, dropout=0.0, label_smoothing=0.0)
    settings: dict[str, Any] = {
        "model": replace(recipe.task.model, tags=tags, decoder=decoder),
        "train": (data,),
        "dev": data,
        "target": "translation",
        "ctc_units": UnitsConfig(kind="characters"),
        "batches": BatchConfig(max_seconds=30, buckets=1),
    }
    return replace(
        recipe,
        task=replace(recipe.task, **(settings | task)),
        optimiser=replace(recipe.optimiser, lr=0.01),
    )


@pytest.fixture(scope="module")
def asr(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an ASR model on the same sounds."""
    run = tmp_path_factory.mktemp("asr") / "run"
    train_recipe(_recipe(corpus, "de", target="text", ctc_units=None), run, device="cpu")
    return run


@pytest.fixture(scope="module")
def both(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model of two languages, trained until it writes the words of either, if not always the right ones."""
    run = tmp_path_factory.mktemp("both") / "run"
    train_recipe(_recipe(corpus, "both", steps=60, tags=("de", "fr")), run, device="cpu")
    return run


def test_units_are_of_the_translations_as_they_are_and_ctc_units_of_the_transcripts(both: Path) -> None:
    units, ctc_units = load_units(both / "units"), load_units(both / "ctc_units")
    assert units.decode(units.encode("Mir là, dort!")) == "Mir là, dort!"
    with pytest.raises(UnitsError):
        units.encode("q")
    assert ctc_units.decode(ctc_units.encode("so la")) == "so la"  # lower-cased, without punctuation
    for text in ("So", "dann"):
        with pytest.raises(UnitsError):
            ctc_units.encode(text)
    model = load_model(both / "system" / "acoustic")
    assert (model.config.target, model.config.tags) == ("translation", ("de", "fr"))
    assert model.config.ctc_vocabulary == ctc_units.size


def test_one_sound_becomes_two_languages(both: Path, corpus: Path) -> None:
    system = load(both)  # the same sounds twice in the manifest
    assert system.method == "attention"
    utterances = load_manifest(corpus / "both.jsonl")
    rows = {row.id: row for row in system.recognize(utterances).rows}
    for language, own, other in (("de", GERMAN, FRENCH), ("fr", FRENCH, GERMAN)):
        spoken = [word for name, row in rows.items() if name.endswith(language) for word in row.text.split()]
        assert sum(word in own.values() for word in spoken) > 0.8 * len(spoken), spoken
        assert not set(spoken) & set(other.values())
    row = rows["u0-fr"]
    assert row.reference == utterances[1].translation
    assert row.fields["target_lang"] == "fr"
    assert row.fields["transcript"] == utterances[1].text
    file = utterances[0].audio_filepath
    (german,), (french,) = (system.transcribe(file, target_language=name) for name in ("de", "fr"))
    assert (german.text, french.text) == (rows["u0-de"].text, rows["u0-fr"].text)
    assert german.text != french.text


def test_rows_without_translation_or_known_language_are_skipped_and_listed(corpus: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "both.jsonl").read_text().splitlines()]
    for row in rows:
        row["audio_filepath"] = str(corpus / row["audio_filepath"])
    del rows[0]["translation"], rows[1]["target_lang"]
    rows[2]["target_lang"] = "xx"
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = str(tmp_path / "odd.jsonl")
    train_recipe(_recipe(corpus, "both", tags=("de", "fr"), train=(data,), dev=data), tmp_path / "run", device="cpu")
    listed = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert {entry["id"]: entry["reason"] for entry in listed} == {
        "u0-de": "has no 'translation', which is to be written.",
        "u0-fr": "has no 'target_lang'; the model writes de, fr.",
        "u1-de": "is to be written in 'xx'; the model writes de, fr.",
    }


def test_a_manifest_without_any_translation_stops_before_training(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"train.jsonl: none of the 6 utterances can be used; u0: has no 'transl"):
        train_recipe(_recipe(corpus, "train"), tmp_path / "a", device="cpu")
    with pytest.raises(TrainingError, match=r"de.jsonl: none of the 6 .* has no 'target_lang'; the model writes fr"):
        train_recipe(_recipe(corpus, "de", tags=("fr",)), tmp_path / "b", device="cpu")


def test_a_translation_model_starts_from_the_encoder_of_an_asr_model(corpus: Path, asr: Path, tmp_path: Path) -> None:
    recipe = _recipe(corpus, "de", steps=1, ctc_units=UnitsFrom(folder=str(asr)), initialise_encoder=str(asr))
    recipe = replace(recipe, optimiser=replace(recipe.optimiser, lr=1e-12, weight_decay=0.0))
    run = tmp_path / "run"
    train_recipe(recipe, run, device="cpu")
    old, new = (load_model(folder / "system" / "acoustic").state_dict() for folder in (asr, run))
    taken = [name for name in new if name.startswith("speech.") and "running" not in name and "num_batches" not in name]
    assert any("ctc_heads" in name for name in taken)
    for name in taken:
        torch.testing.assert_close(new[name], old[name], atol=1e-6, rtol=0)
    assert new["decoder.embedding.weight"].shape != old["decoder.embedding.weight"].shape
    # CTC heads of other units stay as they are, be there as many labels.
    ctc_units = load_units(run / "ctc_units")
    letters = "".join(ctc_units.decode([i]) for i in range(ctc_units.size) if i not in ctc_units.special_ids)
    others = CharacterUnits(letters.replace("s", "q"))
    assert others.size == ctc_units.size
    for units, same in ((ctc_units, True), (others, False)):
        torch.manual_seed(0)
        start = make_model(recipe.task, load_units(run / "units"), units).state_dict()["speech.ctc_heads.2.weight"]
        assert torch.equal(start, old["speech.ctc_heads.2.weight"]) is same


def test_fresh_labels_take_over_everything_but_the_labels(corpus: Path, asr: Path, tmp_path: Path) -> None:
    recipe = _recipe(
        corpus,
        "both",
        steps=1,
        tags=("de", "fr"),
        ctc_units=UnitsFrom(folder=str(asr)),
        initialise_from=str(asr),
        fresh_labels=True,
    )
    recipe = replace(recipe, optimiser=replace(recipe.optimiser, lr=1e-12, weight_decay=0.0))
    train_recipe(recipe, tmp_path / "run", device="cpu")
    model = load_model(tmp_path / "run" / "system" / "acoustic")
    assert isinstance(model, AcousticModel)
    old, new = load_model(asr / "system" / "acoustic").state_dict(), model.state_dict()
    labels = model.label_tensors(heads=False)
    assert labels == {"decoder.embedding.weight", "decoder.starts.tags.weight"}
    for name in new.keys() - labels:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(new[name], old[name], atol=1e-6, rtol=0)
    strict = replace(recipe, task=replace(recipe.task, fresh_labels=False))
    with pytest.raises(UnitsError, match="speaks other units"):
        train_recipe(strict, tmp_path / "strict", device="cpu")


def test_tags_must_be_those_of_the_model_to_start_from(corpus: Path, both: Path, tmp_path: Path) -> None:
    units = {"units": UnitsFrom(folder=str(both)), "ctc_units": UnitsFrom(folder=str(both), ctc=True)}
    recipe = _recipe(corpus, "both", tags=("fr", "de"), initialise_from=str(both), **units)
    with pytest.raises(TrainingError, match=r"has the tags de, fr, this one fr, de; with fresh_labels"):
        train_recipe(recipe, tmp_path / "run", device="cpu")


def test_a_speech_llm_translates_by_the_prompts_of_its_tags(corpus: Path, asr: Path, tmp_path: Path) -> None:
    recipe = speech_llm_recipe(corpus, asr, asr, steps=2, evaluate_every=2)
    data = str(corpus / "both.jsonl")
    task = replace(
        recipe.task,
        model=replace(recipe.task.model, tags=("de", "fr"), finetune="full"),
        units=UnitsConfig(kind="characters"),
        ctc_units=UnitsFrom(folder=str(asr)),
        train=(data,),
        dev=data,
        target="translation",
        prompts=(Prompt(before="de", tag="de"), Prompt(before="rue", tag="fr")),
        initialise_llm=None,
    )
    train_recipe(replace(recipe, task=task), tmp_path / "run", device="cpu")
    system = load(tmp_path / "run")
    assert system.method == "speech-llm"
    recognition = system.recognize(load_manifest(data))
    assert recognition.target == "translation"
    assert len(recognition.rows) == len(load_manifest(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ctc_units": None}, "the CTC heads of a model that translates hear the transcript; give its units"),
        ({"initialise_from": "a", "initialise_encoder": "b"}, "initialise_from takes the encoder over too"),
        ({"fresh_labels": True}, "fresh_labels says how to start from another model"),
    ],
)
def test_settings_that_contradict_each_other(corpus: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _recipe(corpus, "de", **changes)


def test_a_model_without_decoder_cannot_be_asked_for_translations(corpus: Path) -> None:
    recipe = acoustic_recipe(corpus)
    with pytest.raises(ConfigError, match="the target 'translation' is what an attention decoder writes"):
        replace(recipe.task, model=replace(recipe.task.model, decoder=None), target="translation")
