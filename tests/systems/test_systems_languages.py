"""Systems that translate, into one language or several: what they write, against what, and what they are told."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import read_run
from duolect.models import AcousticModel
from duolect.systems import Component, Scales, SearchConfig, System, combine, explain, load, recognize_manifest, tune
from duolect.text import CharacterUnits

GERMAN, FRENCH = ("ab", "cab", "fee", "hab", "da", "chef"), ("bac", "face", "gag", "bec", "cage", "de")


@pytest.fixture(scope="module")
def translated(corpus: list[Utterance]) -> list[Utterance]:
    """Every other utterance into French."""
    texts = [(FRENCH, "fr") if i % 2 else (GERMAN, "de") for i in range(len(corpus))]
    return [
        replace(u, lang="en", translation=words[i], target_lang=language)
        for i, (u, (words, language)) in enumerate(zip(corpus, texts, strict=True))
    ]


def _component(make: dict[str, Any], units: CharacterUnits, tags: tuple[str, ...]) -> Component:
    torch.manual_seed(5)
    plain = make["acoustic"](units)
    model = AcousticModel(replace(plain.model.config, target="translation", tags=tags))
    state = plain.model.state_dict()
    for name, tensor in model.state_dict().items():
        tensor.copy_(state[name] if name in state else torch.randn_like(tensor))
    return Component(model, units)


@pytest.fixture(scope="module")
def system(make: dict[str, Any], units: CharacterUnits) -> System:
    """A model of two languages, whose CTC heads hear the transcript."""
    return combine(acoustic=_component(make, units, ("de", "fr")))


def test_the_default_method_translates_and_terms_of_two_kinds_are_refused(
    system: System, make: dict[str, Any], units: CharacterUnits
) -> None:
    assert system.method == "attention"
    assert system.methods() == ["ctc-greedy", "ctc-beam", "attention"]
    with_lm = combine(acoustic=system.acoustic, language=make["language"](units))
    assert with_lm.method == "attention"
    with pytest.raises(ConfigError, match="the term 'ctc' hears what is said, but 'decoder' writes its translation"):
        system.with_method("attention+ctc")
    with pytest.raises(ConfigError, match="'ctc' hears what is said, but 'decoder' writes"):
        system.with_search(SearchConfig(first_pass="draft", inside=Scales(decoder=1.0), ctc="acoustic"))


def test_each_utterance_is_written_in_its_language_whatever_is_beside_it(
    system: System, translated: list[Utterance]
) -> None:
    together = system.recognize(translated)
    assert together.target == "translation"
    for utterance, row in zip(translated, together.rows, strict=True):
        alone = system.recognize([utterance]).rows[0]
        assert (alone.text, alone.reference) == (row.text, row.reference)
        assert alone.score == pytest.approx(row.score, abs=1e-4)
        assert row.reference == utterance.translation
        assert row.fields["target_lang"] == utterance.target_lang
        assert row.fields["transcript"] == utterance.text
        assert "translation" not in row.fields
    own = dataclasses.replace(translated[0], fields={"transcript": "by hand", "texts": 2})
    (row,) = system.recognize([own]).rows
    assert (row.fields["transcript"], row.fields["source_transcript"]) == (own.text, "by hand")
    assert row.fields["texts"] == 2
    german = system.recognize(translated, target_language="de").rows
    french = system.recognize(translated, target_language="fr").rows
    assert [a.text for a in german] != [b.text for b in french]
    for i, row in enumerate(together.rows):
        assert row.text == (french if i % 2 else german)[i].text
    assert {row.fields["target_lang"] for row in french} == {"fr"}
    spoken = system.transcribe([u.audio_filepath for u in translated], target_language="fr")
    assert [t.text for t in spoken] == [row.text for row in french]


def test_ctc_writes_the_transcript_and_need_not_be_told(system: System, translated: list[Utterance]) -> None:
    recognition = system.with_method("ctc-greedy").recognize([replace(u, target_lang=None) for u in translated])
    assert recognition.target == "text"
    assert [row.reference for row in recognition.rows] == [u.text for u in translated]
    assert recognition.rows[0].fields["translation"] == GERMAN[0]
    with pytest.raises(ConfigError, match="'de' is asked for, but no model of this search has a choice"):
        system.with_method("ctc-greedy").transcribe(translated[0].audio_filepath, target_language="de")


def test_a_language_that_is_missing_or_unknown(system: System, translated: list[Utterance]) -> None:
    odd = [replace(translated[0], target_lang=None), replace(translated[1], target_lang="sw"), *translated[2:]]
    recognition = system.recognize(odd)
    assert [row.id for row in recognition.rows] == [u.id for u in translated[2:]]
    reasons = {s.id: (s.reason, s.reference) for s in recognition.skipped}
    assert reasons["u0"] == ("has no 'target_lang'; the model writes de, fr.", GERMAN[0])
    assert reasons["u1"] == ("is to be written in 'sw'; the model writes de, fr.", FRENCH[1])
    with pytest.raises(ConfigError, match="u0: has no 'target_lang'; the model writes de, fr; say which one"):
        system.recognize(odd[:1])
    with pytest.raises(ConfigError, match="the target language 'sw' is unknown; the system writes de, fr"):
        system.recognize(translated, target_language="sw")
    with pytest.raises(ConfigError, match="the model writes de, fr; say which one"):
        system.transcribe(translated[0].audio_filepath)


def test_a_model_of_one_language_needs_not_be_told(
    make: dict[str, Any], units: CharacterUnits, translated: list[Utterance]
) -> None:
    system = combine(acoustic=_component(make, units, ("de",)))
    told = system.recognize(translated[:2], target_language="de")
    untold = system.recognize([replace(u, target_lang=None) for u in translated[:2]])
    assert [row.text for row in told.rows] == [row.text for row in untold.rows]
    assert untold.rows[0].fields["target_lang"] == "de"


def test_scales_are_not_tuned_and_votes_are_explained(system: System, translated: list[Utterance]) -> None:
    with pytest.raises(ConfigError, match="chosen by word errors, but the method 'attention' writes translations"):
        tune(system, translated)
    explained = explain(system, translated[1], rival="reference")
    assert explained.hypotheses[0].text == system.recognize(translated[1:2]).rows[0].text
    assert explained.hypotheses[1].text == translated[1].translation


@pytest.mark.parametrize("told", ["de", "fr", None])
def test_what_is_explained_is_what_is_written_in_the_language_asked_for(
    told: str | None, system: System, translated: list[Utterance]
) -> None:
    untold = [replace(u, target_lang=told) for u in translated]
    for language in ("de", "fr"):
        rows = system.recognize(untold, target_language=language).rows
        for utterance, row in zip(untold, rows, strict=True):
            winner = explain(system, utterance, target_language=language).hypotheses[0]
            assert (winner.text, winner.score) == (row.text, pytest.approx(row.score, abs=1e-4))
    with pytest.raises(ConfigError, match="the target language 'sw' is unknown; the system writes de, fr"):
        explain(system, translated[0], target_language="sw")


def test_saved_and_written(system: System, translated: list[Utterance], tmp_path: Path) -> None:
    from duolect.data import write_manifest

    system.save(tmp_path / "system")
    write_manifest(tmp_path / "m.jsonl", translated)
    again = load(tmp_path / "system")
    recognition = recognize_manifest(again, tmp_path / "m.jsonl", tmp_path / "hyps.jsonl")
    assert [row.text for row in recognition.rows] == [row.text for row in system.recognize(translated).rows]
    rows, record = read_run(tmp_path / "hyps.jsonl")
    assert record is not None
    assert record.target == "translation"
    assert [row.reference for row in rows] == [u.translation for u in translated]
    # A sidecar of before this field has the same hash.
    sidecar = tmp_path / "hyps.run.json"
    stored = json.loads(sidecar.read_text())
    del stored["target"]
    sidecar.write_text(json.dumps(stored))
    assert read_run(tmp_path / "hyps.jsonl")[1].target is None


def test_transcripts_in_the_language_that_lang_names(
    make: dict[str, Any], units: CharacterUnits, translated: list[Utterance]
) -> None:
    component = _component(make, units, ("en", "sw"))
    model = component.model
    model.config = replace(model.config, target="text")
    system = System(acoustic=component).with_method("attention+ctc")
    recognition = system.recognize(translated)
    assert recognition.target == "text"
    assert recognition.rows[0].reference == translated[0].text
    with pytest.raises(ConfigError, match="has no 'lang'; the model writes en, sw"):
        system.recognize([replace(u, lang=None) for u in translated])
