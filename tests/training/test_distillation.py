"""Distilled manifests: which rows, whose languages, in which order; interrupted as uninterrupted; what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_translators
import torch
from safetensors.torch import load_file, save_file
from tiny_translators import ENGLISH, FRENCH, GERMAN, POSITIONS

from duolect.data import Utterance, load_manifest, write_manifest
from duolect.errors import ConfigError, DuolectError, ModelError, TrainingError
from duolect.training import distillation
from duolect.training.distillation import distill, run_path
from duolect.training.translator import Translator, TranslatorConfig, find_code, names_of


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny models by kind."""
    folder = tmp_path_factory.mktemp("models")
    made = {"marian": tiny_translators.marian, "m2m100": tiny_translators.m2m100, "nllb": tiny_translators.nllb}
    return {name: str(make(folder / name)) for name, make in made.items()}


def _config(models: dict[str, str], kind: str = "nllb", **settings: Any) -> TranslatorConfig:
    return TranslatorConfig(**({"model": models[kind], "source": "en", "target": "de", "batch": 2} | settings))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The six sentences, some twice, of which three have a translation; what cannot be translated at the end."""
    texts = [*ENGLISH, ENGLISH[2], "", "the train " * POSITIONS, ENGLISH[0], ENGLISH[1]]
    rows = [Utterance(audio_filepath=tmp_path / "a.wav", duration=1.0, text=t, id=f"u{i}") for i, t in enumerate(texts)]
    rows[0] = replace(rows[0], lang="en", translation="Das alte Haus.", target_lang="de", fields={"corpus": "x"})
    rows[1] = replace(rows[1], translation="Elle rentre.", target_lang="fr")
    rows[2] = replace(rows[2], translation="Zu spät.")
    rows[9] = replace(rows[9], lang="cy")
    rows[10] = replace(rows[10], lang="eng_Latn", speaker="s")
    write_manifest(tmp_path / "m.jsonl", rows)
    return tmp_path / "m.jsonl"


def test_languages_are_told_in_each_models_own_way(models: dict[str, str]) -> None:
    marian = Translator(_config(models, "marian"))
    assert (marian.forced, marian.prefix, marian.longest) == (None, "", POSITIONS)
    for kind, codes in (("m2m100", ("en", "de", "fr")), ("nllb", ("eng_Latn", "deu_Latn", "fra_Latn"))):
        for target, texts, code in (("de", GERMAN, codes[1]), ("fr", FRENCH, codes[2])):
            translator = Translator(_config(models, kind, target=target))
            tokenizer = translator.tokenizer
            known = tokenizer.lang_code_to_id if kind == "m2m100" else tokenizer.get_vocab()
            assert translator.forced == known[code]
            assert tokenizer(["the house"])["input_ids"][0][0] == known[codes[0]]  # the source's code comes first
            words = {word for text in texts for word in text.split()}
            written = [text or "" for text in translator.translate(ENGLISH)]
            found = [word for text in written for word in text.split()]
            assert sum(word in words for word in found) > len(found) / 2, (kind, target, written)
            assert not any(code in text for text in written)


def test_alone_is_as_in_a_batch_and_an_end_that_is_missing_is_told(models: dict[str, str]) -> None:
    translator = Translator(_config(models))
    together = translator.translate(ENGLISH)
    assert together == GERMAN
    assert [translator.translate([sentence])[0] for sentence in ENGLISH] == together
    lengths = translator.lengths(ENGLISH)
    assert lengths == [len(translator.tokenizer(sentence)["input_ids"]) for sentence in ENGLISH]
    with torch.no_grad():
        translator.model.lm_head.weight[translator.tokenizer.eos_token_id] = 0.0
        translator.model.model.shared.weight[translator.tokenizer.eos_token_id] = 0.0
    assert None in translator.translate(ENGLISH)


def test_original_and_distilled_rows_in_order(models: dict[str, str], manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    seen: list[tuple[int, int]] = []
    found = distill(manifest, out, _config(models), progress=lambda done, total: seen.append((done, total)))
    rows = load_manifest(out)
    assert [row.id for row in rows] == [
        *("u0", "u0+distilled", "u1", "u2", "u2+distilled", "u3+distilled", "u4+distilled", "u5+distilled"),
        *("u6+distilled", "u10+distilled"),
    ]
    assert (found.originals, found.distilled, found.reused) == (3, 7, 0)
    assert found.sentences == 7  # equal ones once, that of the French row from another row, the long one too
    assert seen[-1] == (6, 6)
    first = rows[1]
    assert (first.text, first.translation, first.target_lang, first.lang) == (ENGLISH[0], GERMAN[0], "de", "en")
    assert first.fields == {"corpus": "x", "distilled_from": models["nllb"]}
    assert rows[0].fields == {"corpus": "x"}
    assert rows[4].translation == rows[8].translation == GERMAN[2]
    reasons = {entry.id: entry.reason for entry in found.skipped}
    assert reasons.keys() == {"u7", "u8", "u9"}
    assert reasons["u7"] == "has no text to translate."
    assert reasons["u8"].endswith(f"tokens, but the model takes {POSITIONS}.")
    assert reasons["u9"] == "is spoken in 'cy', not in 'en'."
    listed = [json.loads(line)["id"] for line in (tmp_path / "out.jsonl.skipped.jsonl").read_text().splitlines()]
    assert listed == ["u7", "u8", "u9"]
    record = json.loads(run_path(out).read_text())
    assert record["rows"] == {"original": 3, "distilled": 7}
    assert (record["model"], record["beam"], record["skipped"]) == (models["nllb"], 4, 3)
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        *("out.jsonl", "out.jsonl.distill.json", "out.jsonl.skipped.jsonl")
    ]


def test_only_distilled_rows_keep_their_ids(models: dict[str, str], manifest: Path, tmp_path: Path) -> None:
    distill(manifest, tmp_path / "out.jsonl", _config(models, target="deu_Latn"), only_distilled=True)
    rows = load_manifest(tmp_path / "out.jsonl")
    assert [row.id for row in rows] == ["u0", "u2", "u3", "u4", "u5", "u6", "u10"]
    assert [row.target_lang for row in rows] == ["de", *["deu_Latn"] * 6]  # a row that names it keeps its name
    assert all("distilled_from" in row.fields for row in rows)


@pytest.mark.parametrize("cut", [0, 7])
def test_interrupted_as_uninterrupted(
    models: dict[str, str], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    config, out = _config(models), tmp_path / "out.jsonl"
    distill(manifest, tmp_path / "whole.jsonl", config)
    calls: list[list[str]] = []
    translate = Translator.translate

    def failing(self: Translator, sentences: list[str]) -> list[str | None]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(list(sentences))
        return translate(self, sentences)

    monkeypatch.setattr(Translator, "translate", failing)
    with pytest.raises(KeyboardInterrupt):
        distill(manifest, out, config)
    assert not out.exists()
    partial = tmp_path / "out.jsonl.partial.jsonl"
    kept = partial.read_bytes()
    partial.write_bytes(kept[: len(kept) - cut])  # a line cut short is done again
    monkeypatch.setattr(Translator, "translate", translate)
    found = distill(manifest, out, config)
    assert found.reused == (4 if cut == 0 else 2)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()
    # With other settings nothing is reused.
    partial.write_bytes(kept)
    assert distill(manifest, out, replace(config, beam=2)).reused == 0


def test_the_longest_sentences_first_and_none_lost(models: dict[str, str]) -> None:
    lengths = dict(zip(ENGLISH, Translator(_config(models)).lengths(ENGLISH), strict=True))
    batches = list(distillation._batches(ENGLISH, lengths, 4))
    assert [len(batch) for batch in batches] == [4, 2]
    flat = [sentence for batch in batches for sentence in batch]
    assert sorted(flat) == sorted(ENGLISH)
    assert [lengths[s] for s in flat] == sorted(lengths.values(), reverse=True)


def test_codes_are_found_by_any_of_their_names() -> None:
    codes = ["eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant", "xx"]
    assert [find_code(name, codes, "m") for name in ("en", "deu", "de", "zho_Hans", "xx")] == [
        *("eng_Latn", "deu_Latn", "deu_Latn", "zho_Hans", "xx")
    ]
    assert names_of("pt-BR") == names_of("por_Latn") == {"pt", "por"}
    assert names_of("tlh") == {"tlh"}
    with pytest.raises(ConfigError, match="'zh' may be any of zho_Hans, zho_Hant; name one of them"):
        find_code("zh", codes, "m")
    with pytest.raises(
        ConfigError, match=r"m: has no language 'deu_Latm'; did you mean 'deu_Latn'\? It knows deu_Latn"
    ):
        find_code("deu_Latm", ["deu_Latn", "fra_Latn"], "m")


def _gpt(folder: Path) -> str:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("llama", vocab_size=8, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


def test_what_is_no_translation_model(models: dict[str, str], manifest: Path, tmp_path: Path) -> None:
    for model, message in (
        (_gpt(tmp_path / "gpt"), r"gpt: LlamaForCausalLM does not translate text; expected an encoder-decoder"),
        (str(tmp_path / "nowhere"), r"nowhere: there is no such folder"),
        (str(tmp_path), r"the translation model cannot be loaded"),
    ):
        with pytest.raises(ModelError, match=message):
            distill(manifest, tmp_path / "out.jsonl", TranslatorConfig(model=model, source="en", target="de"))
    for kind, language, message in (
        ("marian", "fr", "its target language is 'deu', not 'fr'"),
        ("nllb", "tlh", "has no language 'tlh'"),
        ("nllb", "zh", "may be any of zho_Hans, zho_Hant"),
        ("m2m100", "tlh", r"has no language 'tlh'; .*nows af, am, "),
    ):
        with pytest.raises(ConfigError, match=message):
            distill(manifest, tmp_path / "out.jsonl", _config(models, kind, target=language))
    lines = [json.loads(line) | {"lang": "en"} for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(TrainingError, match="no row is to be translated from 'sw' into 'de'"):
        distill(manifest, tmp_path / "out.jsonl", _config(models, source="sw"))
    with pytest.raises(ConfigError, match="beam must be at least 1"):
        _config(models, beam=0)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_with_weights_missing_does_not_translate(models: dict[str, str], tmp_path: Path) -> None:
    for kind, lost in (("marian", "model.decoder.layers.0.fc1"), ("nllb", "model.encoder.layers.0.self_attn")):
        folder = shutil.copytree(models[kind], tmp_path / kind)
        tensors = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if lost not in name}
        assert len(kept) < len(tensors)
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError, match=rf"^{folder} lacks the weights {lost}\..* and \d more\.$"):
            Translator(_config(models, kind, model=str(folder)))


def test_an_empty_translation_is_none(
    models: dict[str, str], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "translate", lambda self, batch: ["" if "cat" in s else s.upper() for s in batch])
    found = distill(manifest, tmp_path / "out.jsonl", _config(models))
    assert {entry.id: entry.reason for entry in found.skipped}["u4"] == "the model's translation is empty."
    assert found.distilled == 6


def test_an_output_that_cannot_be_written(models: dict[str, str], manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is the manifest itself"):
        distill(manifest, manifest, _config(models))
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError, match="could not be written"):
        distill(manifest, tmp_path / "file" / "out.jsonl", _config(models))


def test_an_instruction_tells_t5(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{c}", -2.0) for c in "abc"), ("▁", -3.0)]
    T5Tokenizer(vocab=pieces, extra_ids=0).save_pretrained(tmp_path)
    config = T5Config(
        vocab_size=len(pieces), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    settings = {"model": str(tmp_path), "source": "en"}
    assert Translator(TranslatorConfig(target="de", **settings)).prefix == "translate English to German: "
    assert Translator(TranslatorConfig(target="tlh", prefix="in Klingon: ", **settings)).prefix == "in Klingon: "
    with pytest.raises(ConfigError, match="the English name of 'tlh' is not known here"):
        Translator(TranslatorConfig(target="tlh", **settings))
