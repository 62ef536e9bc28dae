"""Translations on the command line: recognised in a language that is asked for, and scored by BLEU and chrF."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Call
from tiny_recipes import ENCODER, FEATURES

from duolect.audio import write_audio
from duolect.data import Utterance, load_manifest, write_manifest
from duolect.data.synthetic import Corpus
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, write_run
from duolect.models import AcousticConfig, AcousticModel, DecoderConfig
from duolect.systems import Component, combine
from duolect.text import CharacterUnits

GERMAN = [
    "Das Haus steht am Fluss.", "Anna geht heute Abend nach Hause.", "Der Zug kommt um drei.", "Wir essen, und du?",
    "Die Katze schläft auf dem Sofa.", "Morgen wird es regnen.", "Ich habe keine Zeit.", "Er liest ein gutes Buch.",
]  # fmt: skip


def _write(path: Path, texts: list[str], target: str | None = "translation", languages: str = "de") -> Path:
    rows = [
        HypothesisRow(
            id=f"u{i}",
            text=text,
            reference=wanted,
            fields={"target_lang": languages.split()[i % len(languages.split())]},
        )
        for i, (text, wanted) in enumerate(zip(texts, GERMAN, strict=True))
    ]
    record = RunRecord(system=path.stem, target=target, audio_seconds=20.0, wall_seconds=2.0, region="all of it")
    write_run(path, rows, record)
    return path


@pytest.fixture
def hypotheses(tmp_path: Path) -> tuple[Path, Path]:
    """A system that is right, and one that leaves every third word out."""
    worse = [" ".join(word for n, word in enumerate(text.split()) if n % 3 != 2) for text in GERMAN]
    return _write(tmp_path / "worse.jsonl", worse), _write(tmp_path / "good.jsonl", GERMAN)


def test_what_the_file_says_decides_the_metric(hypotheses: tuple[Path, Path], call: Call) -> None:
    result = call("score", *hypotheses, "--markdown")
    assert result.status == 0, result.err
    head, _, worse, good = result.out.splitlines()[:4]
    assert head == "| System | BLEU | 95 % interval | p | chrF2 | 95 % interval | p | RTFx |"
    assert "baseline" in worse
    assert good.startswith("| good | **100.0** | 100.0–100.0 | ")
    assert "BLEU: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in result.out.replace("\\", "")
    assert "two-sided approximate randomisation against worse on the same utterances, 10,000 trials" in result.out
    only = call("score", hypotheses[1], "--metric", "chrf", "--markdown").out
    assert only.splitlines()[0] == "| System | chrF2 | 95 % interval | RTFx |"
    words = call("score", *hypotheses, "--metric", "wer", "--markdown").out
    assert words.splitlines()[0].startswith("| System | WER % |")
    assert "BLEU" in call("score", *hypotheses).out  # on the terminal


def test_files_without_a_word_about_it_are_transcripts_unless_asked(tmp_path: Path, call: Call) -> None:
    path = _write(tmp_path / "old.jsonl", GERMAN, target=None)
    assert "WER %" in call("score", path, "--markdown").out
    assert "BLEU" in call("score", path, "--markdown", "--metric", "bleu").out


def test_each_language_has_a_table(tmp_path: Path, call: Call) -> None:
    path = _write(tmp_path / "both.jsonl", GERMAN, languages="de fr")
    assert (
        "translations into de, fr; score each language by itself (--by target_lang)" in call("score", path).sentence()
    )
    result = call("score", path, "--by", "target_lang", "--markdown")
    assert result.status == 0, result.err
    assert [line for line in result.out.splitlines() if line.startswith("###")] == [
        "### target_lang: de",
        "### target_lang: fr",
    ]


def test_a_file_that_does_not_say_its_language_has_it_from_another_file_or_the_manifest(
    tmp_path: Path, call: Call
) -> None:
    texts = ["我喜欢这本书。", "今天天气不错。", "他们在学校吃饭。"]
    for name, fields in (("told", {"target_lang": "zh"}), ("untold", {})):
        rows = [HypothesisRow(id=f"u{i}", text=t, reference=t, fields=fields) for i, t in enumerate(texts)]
        write_run(tmp_path / f"{name}.jsonl", rows, RunRecord(system=name, target="translation"))
    told, untold = tmp_path / "told.jsonl", tmp_path / "untold.jsonl"
    result = call("score", told, untold, "--metric", "bleu", "--markdown")
    assert result.out.splitlines()[3].startswith("| untold | **100.0** | 100.0–100.0 | 1.00 |"), result.err
    audio = tmp_path / "sound.wav"
    write_audio(audio, np.zeros(16_000, np.float32))
    utterances = [
        Utterance(audio_filepath=audio, duration=1.0, text="x", translation=t, target_lang="zh", id=f"u{i}")
        for i, t in enumerate(texts)
    ]
    write_manifest(tmp_path / "test.jsonl", utterances)
    assert "tok:zh" in call("score", untold, "--manifest", tmp_path / "test.jsonl", "--markdown").out


def test_transcripts_and_translations_are_not_compared(
    tmp_path: Path, hypotheses: tuple[Path, Path], call: Call
) -> None:
    other = _write(tmp_path / "said.jsonl", GERMAN, target="text")
    assert "worse holds translations, but said transcripts" in call("score", hypotheses[0], other).sentence()


def test_skipped_utterances_count_as_empty(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "few.jsonl"
    rows = [HypothesisRow(id=f"u{i}", text=text, reference=text) for i, text in enumerate(GERMAN)]
    lost = Skipped(id="lost", reason="gone", reference="Das ist weg, und zwar ganz und gar.")
    write_run(path, rows, RunRecord(system="few", target="translation", skipped=(lost,)))
    out = call("score", path, "--markdown").out
    assert "Utterances that could not be recognised: 1 counted as empty." in out
    assert "over 9 utterances" in out


@pytest.fixture(scope="module")
def translator(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system folder of an untrained model that writes German or French."""
    units = CharacterUnits.from_text(u.translation or "" for u in load_manifest(corpus.test))
    ctc = CharacterUnits.from_text(u.text for u in load_manifest(corpus.test))
    torch.manual_seed(1)
    config = AcousticConfig(
        vocabulary=units.size,
        bos_id=units.bos_id,
        eos_id=units.eos_id,
        features=FEATURES,
        encoder=ENCODER,
        ctc_layers=(2,),
        ctc_vocabulary=ctc.size,
        decoder=DecoderConfig(layers=1, width=16, heads=2),
        target="translation",
        tags=("de", "fr"),
    )
    folder = tmp_path_factory.mktemp("translator") / "system"
    combine(acoustic=Component(AcousticModel(config), units, ctc_units=ctc)).save(folder)
    return folder


def test_recognize_and_transcribe_in_a_language(translator: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    utterances = load_manifest(corpus.test)[:3]
    write_manifest(tmp_path / "untold.jsonl", [replace(u, target_lang=None) for u in utterances])
    untold, out = ("recognize", translator, tmp_path / "untold.jsonl"), ("--out", tmp_path / "hyps.jsonl")
    assert "has no 'target_lang'; the model writes de, fr; say which one" in call(*untold, *out).sentence()
    assert "'sw' is unknown; the system writes de, fr" in call(*untold, *out, "--target-language", "sw").sentence()
    result = call(*untold, *out, "--target-language", "de")
    assert result.status == 0, result.err
    assert "; BLEU " in result.out
    assert "; chrF2 " in result.out
    first = json.loads((tmp_path / "hyps.jsonl").read_text().splitlines()[0])
    explained = call(*untold, *out, "--target-language", "de", "--explain", first["id"])
    assert explained.status == 0, explained.err
    assert re.search(rf"^1 winner +{first['score']:.2f}  {re.escape(first['text'][:20])}", explained.out, re.MULTILINE)
    assert "BLEU" in call("score", tmp_path / "hyps.jsonl", "--manifest", tmp_path / "untold.jsonl").out
    file = utterances[0].audio_filepath
    assert "the model writes de, fr; say which one" in call("transcribe", file, "--system", translator).sentence()
    assert call("transcribe", file, "--system", translator, "--target-language", "fr").status == 0
