"""The scale paper from MuST-C and CoVoST 2 to scored test sets: studies of arXiv 2501.02370, their models narrow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_translators
from rich.console import Console
from shard_corpus import encoded

from duolect.data import Utterance, load_manifest, write_manifest
from duolect.evaluation import read_run, score_translations
from duolect.storage import read_json
from duolect.studies.catalogue import build_scale, build_study, only
from duolect.studies.scales.published_aed import LANGUAGES
from duolect.studies.scales.sources import COVOST_LANGUAGES, COVOST_TESTED
from duolect.studies.stages import Store, in_order
from duolect.studies.stages.measures import AVERAGE
from duolect.studies.stages.recognition import Recognition
from duolect.studies.study import FACTS, Study
from tests.studies.paper_narrow import narrow_paper

SCRIPTS = {"ru": "Так и быть.", "ar": "نعم نعم", "zh-CN": "好的", "ja": "はい", "ta": "சரி ஆம்"}
ENGLISH, TAUGHT = tiny_translators.ENGLISH[:2], tiny_translators.GERMAN[:2]  # what the teacher knows
GERMAN = [" ".join(reversed(text.split())) for text in TAUGHT]


def spoken(folder: Path, tested: str, lang: str, target: str, said: Sequence[str], written: Sequence[str]) -> None:
    """A corpus of one pair of languages, each part the same utterances."""
    for part in ("train", "dev", tested):
        utterances = []
        for number, (text, translation) in enumerate(zip(said, written, strict=True)):
            path = folder / f"{part}-{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded([number, number + 1], 1.5 + number))
            known = {"text": text, "translation": translation, "lang": lang, "target_lang": target}
            name = f"{lang}-{target}-{part}-{number}"
            utterances.append(Utterance(audio_filepath=path, duration=1.5 + number, id=name, **known))
        write_manifest(folder / f"{part}.jsonl", utterances)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpora")
    for lang in LANGUAGES:
        written = GERMAN if lang == "de" else [SCRIPTS.get(lang, f"Gut so ({lang})."), "Ja."]
        spoken(folder / "mustc" / f"en-{lang}", "tst-COMMON", "en", lang, ENGLISH, written)
    for lang in COVOST_LANGUAGES:
        said = [SCRIPTS.get(lang, f"So ist es {lang}."), "Ja."]
        spoken(folder / "covost" / lang, "test", lang, "en", said, ["So it is.", "Yes."])
    teacher = tiny_translators.nllb(folder / "nllb")
    return {"mustc": folder / "mustc", "covost": folder / "covost", "translator": teacher}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("stages"))


def made(name: str, entry: str, data: dict[str, Path], store: Store, patch: pytest.MonkeyPatch) -> Study:
    """The study with that row alone, all its stages made."""
    narrow_paper(patch)
    scale = build_scale("paper", seeds=(1,), data=data, settings={"aed_gpus": 1})
    study = only(build_study(name, scale), [entry])
    for stage in in_order(study.stages):
        store.make(stage, Console(file=io.StringIO()))
    return study


def test_one_model_writes_the_eight_languages_of_must_c(
    data: dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made("translation", "prepended, Conformer, 8 languages", data, store, monkeypatch)
    rows, record = read_run(store.folder(study.entries[0].runs[1]) / "hyps.jsonl")
    assert record is not None
    assert {row.fields["target_lang"] for row in rows} == {"de"}
    assert score_translations(rows).utterances == len(rows) == 2


def test_one_model_hears_21_languages_and_is_scored_by_language(
    data: dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made("languages", "cross-attention, Conformer, compressed", data, store, monkeypatch)
    run = study.entries[0].runs[1]
    assert isinstance(run, Recognition)
    (measured,) = study.entries[0].measured
    assert {*COVOST_TESTED, AVERAGE} <= read_json(store.folder(measured) / FACTS).keys()
    heard = run.system.uses()["corpus"]
    trained = load_manifest(store.folder(heard) / "train.jsonl")
    assert {utterance.lang for utterance in trained} == set(COVOST_LANGUAGES)


def test_what_a_teacher_writes_is_trained_on(
    data: dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made("distillation", "prepended, Conformer, distilled", data, store, monkeypatch)
    (run,) = study.entries[0].runs.values()
    assert isinstance(run, Recognition)
    corpus = run.system.uses()["corpus"]
    written = [utterance.translation for utterance in load_manifest(store.folder(corpus) / "train.jsonl")]
    assert written == TAUGHT != GERMAN
