"""Label units: round trips, specials, saving, and what cannot be spelled. One set of laws for all kinds."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, DuolectError, UnitsError
from duolect.text import (
    CharacterUnits,
    HuggingFaceUnits,
    SentencePieceUnits,
    Units,
    UnitsConfig,
    build_units,
    load_units,
    normalise,
    require_same_units,
    train_sentencepiece,
)
from duolect.text.huggingface import _REFUSED

SENTENCES = [
    "the sailor's sale was at four o'clock",
    "there are 42 ships for sale and they're all right over there",
    "write the right number 1907 on the ship's side",
    "quick brown foxes jump over lazy dogs with vexing zeal",
    "it's the sailor who sails the ship to the sale",
    "naïve über straße",
]
ALPHABET = sorted({c for sentence in SENTENCES for c in sentence} - {" "})
KINDS = ["characters", "unigram", "bpe", "byte-level", "metaspace", "wordpiece"]


def _byte_level(folder: Path) -> HuggingFaceUnits:
    """As Qwen2: byte-level BPE, no BOS, NFC, no space before the first word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _wrapped(tokenizer, folder, eos_token="<|endoftext|>", additional_special_tokens=["<|im_start|>"])


def _metaspace(folder: Path) -> HuggingFaceUnits:
    """As Llama: a space before the first word, taken off again by the decoder; no byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=120, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"])
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _wrapped(tokenizer, folder, eos_token="</s>", bos_token="<s>", unk_token="<unk>")


def _wordpiece(folder: Path) -> HuggingFaceUnits:
    """As BERT, but for its normaliser: pieces within words begin with ##."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    )
    whole = [" ".join(ALPHABET), *("x" + c for c in ALPHABET)]  # every character both begins and goes on with a word
    tokenizer.train_from_iterator(SENTENCES + whole, trainer)
    return _wrapped(tokenizer, folder, eos_token="[SEP]", bos_token="[CLS]", unk_token="[UNK]", pad_token="[PAD]")


def _wrapped(tokenizer: Tokenizer, folder: Path, **specials: object) -> HuggingFaceUnits:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)
    return HuggingFaceUnits(folder)


@pytest.fixture(scope="session")
def all_units(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Units]:
    folder = tmp_path_factory.mktemp("tokenisers")
    return {
        "characters": CharacterUnits.from_text(SENTENCES),
        "unigram": train_sentencepiece(SENTENCES, 60, model_type="unigram"),
        "bpe": train_sentencepiece(SENTENCES, 60, model_type="bpe"),
        "byte-level": _byte_level(folder / "byte-level"),
        "metaspace": _metaspace(folder / "metaspace"),
        "wordpiece": _wordpiece(folder / "wordpiece"),
    }


@pytest.fixture(params=KINDS)
def units(request: pytest.FixtureRequest, all_units: dict[str, Units]) -> Units:
    return all_units[request.param]


@given(data=st.data())
def test_round_trip(data: st.DataObject, all_units: dict[str, Units]) -> None:
    word = st.text(alphabet=ALPHABET, min_size=1, max_size=9)
    text = normalise(" ".join(data.draw(st.lists(word, max_size=6))))
    for kind, units in all_units.items():
        ids = units.encode(text)
        assert units.decode(ids) == text, kind
        assert units.special_ids.isdisjoint(ids), kind
        assert all(0 <= label < units.size for label in ids), kind


@given(st.text())
def test_byte_level_units_spell_any_normalised_text(all_units: dict[str, Units], text: str) -> None:
    text = normalise(text)
    units = all_units["byte-level"]
    assert units.decode(units.encode(text)) == text


@given(data=st.data())
def test_labels_fall_apart_into_the_words(data: st.DataObject, all_units: dict[str, Units]) -> None:
    """Cutting before each label that starts a word gives the words of the text."""
    text = " ".join(data.draw(st.lists(st.sampled_from(" ".join(SENTENCES).split()), min_size=1, max_size=6)))
    for kind, units in all_units.items():
        runs: list[list[int]] = []
        for label in units.encode(text):
            if not runs or units.starts_word(label):
                runs.append([])
            runs[-1].append(label)
        assert [found for run in runs if (found := units.decode(run).strip())] == text.split(), kind


def test_follows_the_protocol(units: Units) -> None:
    assert isinstance(units, Units)
    assert {units.eos_id, units.bos_id} <= units.special_ids
    assert units.encode("") == []
    assert units.decode([]) == ""
    text = SENTENCES[0]
    wrapped = [units.bos_id, *units.encode(text), units.eos_id, *units.special_ids]
    assert units.decode(wrapped) == text
    assert not any(units.starts_word(label) for label in units.special_ids)
    assert any(units.starts_word(label) for label in units.encode(text))


def test_ids_outside_the_units(units: Units) -> None:
    for label in (-1, units.size):
        with pytest.raises(UnitsError, match=f"label {label} .* 0 to {units.size - 1}"):
            units.decode([label])
        with pytest.raises(UnitsError, match="outside"):
            units.starts_word(label)


def test_what_cannot_be_spelled_is_named(units: Units, all_units: dict[str, Units]) -> None:
    if units is not all_units["byte-level"]:  # which has all bytes
        with pytest.raises(UnitsError, match="'日' in 'sail 日'"):
            units.encode("sail 日")
    with pytest.raises(UnitsError, match=r"ud800"):
        units.encode("half a pair \ud800")


def _without_unknown(kind: str, folder: Path) -> HuggingFaceUnits:
    """Tokenisers that have neither a token for what is unknown nor one for each byte."""
    if kind == "unigram":
        scores = [("</s>", 0.0), ("▁", -1.0), *((c, -2.0) for c in "bcdeghilnorstu'")]
        tokenizer = Tokenizer(models.Unigram(scores))
    else:
        tokenizer = Tokenizer(models.BPE(byte_fallback=kind == "some bytes"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel() if kind == "byte-level" else pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.ByteLevel() if kind == "byte-level" else decoders.Metaspace()
    if kind != "unigram":
        trainer = trainers.BpeTrainer(vocab_size=90, show_progress=False, special_tokens=["</s>", "<0xC3>"])
        tokenizer.train_from_iterator(["the rule is to sing out loud, not in gib or sch"], trainer)
    return _wrapped(tokenizer, folder, eos_token="</s>")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "some bytes", "byte-level"])
def test_no_character_is_left_out_where_there_is_no_unknown_token(kind: str, tmp_path: Path) -> None:
    units = _without_unknown(kind, tmp_path / "source")
    units.save(tmp_path)
    for same in (units, load_units(tmp_path), pickle.loads(pickle.dumps(units))):
        assert same.fingerprint == units.fingerprint
        assert same.decode(same.encode("the dice rest in")) == "the dice rest in"
        for text, missing in (("the blé is red", "é"), ("née", "é"), ("du 中国", "中"), ("no k", "k")):
            with pytest.raises(UnitsError, match=f"^The character '{missing}' in '{text}' cannot be spelled"):
                same.encode(text)
    assert _REFUSED not in (tmp_path / "tokenizer.json").read_text()


def test_save_and_load(units: Units, tmp_path: Path) -> None:
    units.save(tmp_path / "new" / "units")
    loaded = load_units(tmp_path / "new" / "units")
    assert type(loaded) is type(units)
    for other in (loaded, pickle.loads(pickle.dumps(units))):
        assert other.fingerprint == units.fingerprint
        assert (other.size, other.eos_id, other.bos_id) == (units.size, units.eos_id, units.bos_id)
        assert other.special_ids == units.special_ids
        for text in SENTENCES:
            assert other.encode(text) == units.encode(text)
        assert [other.starts_word(i) for i in range(units.size)] == [units.starts_word(i) for i in range(units.size)]
    assert all(not file.name.startswith(".") for file in (tmp_path / "new" / "units").iterdir())


def test_saved_tokenisers_load_without_transformers(all_units: dict[str, Units], tmp_path: Path) -> None:
    all_units["byte-level"].save(tmp_path)
    code = (
        "import sys; from duolect.text import load_units; "
        f"print(load_units({str(tmp_path)!r}).encode('the sale')); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == all_units["byte-level"].encode("the sale")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_same_units_are_the_same(kind: str, all_units: dict[str, Units]) -> None:
    for other, units in all_units.items():
        if other == kind:
            require_same_units(units, all_units[kind], "the acoustic model", "the LM")
        else:
            with pytest.raises(UnitsError, match=r"^the acoustic model and the LM must speak .*\.$"):
                require_same_units(units, all_units[kind], "the acoustic model", "the LM")


def test_specials_of_characters() -> None:
    units = CharacterUnits("ba ")
    assert (units.eos_id, units.bos_id, units.size, units.special_ids) == (0, 1, 5, {0, 1})
    assert units.encode("ab a") == [3, 4, 2, 3]
    assert [units.starts_word(i) for i in range(5)] == [False, False, True, False, False]
    for wrong in ([], ["ab"], [""]):
        with pytest.raises(UnitsError):
            CharacterUnits(wrong)


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_sentencepiece_training(model_type: str, capfd: pytest.CaptureFixture[str]) -> None:
    config = UnitsConfig(kind="sentencepiece", size=50, model_type=model_type)  # type: ignore[arg-type]
    units = build_units(config, SENTENCES)
    assert isinstance(units, SentencePieceUnits)
    assert units.size == 50
    assert (units.eos_id, units.bos_id, units.special_ids) == (0, 1, {0, 1, 2})
    assert build_units(config, iter(SENTENCES)).fingerprint == units.fingerprint
    assert build_units(config, [f"  {s.replace(' ', '  ')} " for s in SENTENCES]).fingerprint == units.fingerprint
    assert all(sum(c.isdigit() for c in piece) < 2 for piece in units.pieces)
    small = train_sentencepiece(["hello world"], 500, model_type=model_type)  # type: ignore[arg-type]
    assert 11 <= small.size < 500
    assert small.decode(small.encode("hello world")) == "hello world"
    assert capfd.readouterr() == ("", "")


def test_sentencepiece_draws_from_long_texts_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duolect.text.pieces._MOST_SENTENCES", 3)
    first = [train_sentencepiece(SENTENCES, 60, seed=seed) for seed in (0, 0, 1)]
    assert first[0].fingerprint == first[1].fingerprint != first[2].fingerprint
    for text in SENTENCES:  # characters of sentences that were not drawn are there, too
        assert first[2].decode(first[2].encode(text)) == text


def test_sentencepiece_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UnitsError, match="empty"):
        train_sentencepiece(["", "  "], 50)
    with pytest.raises(UnitsError, match="at least 7"):
        train_sentencepiece(["abc"], 6)
    assert train_sentencepiece(["abc"], 7).size == 7
    with pytest.raises(UnitsError, match="▁"):
        train_sentencepiece(["a▁b"], 50)
    with pytest.raises(UnitsError, match="'▁'"):
        train_sentencepiece(SENTENCES, 50).encode("the▁sale")
    with pytest.raises(UnitsError, match="not a SentencePiece model"):
        SentencePieceUnits(b"nonsense")


def test_special_tokens_are_not_read_from_text(all_units: dict[str, Units]) -> None:
    units = all_units["byte-level"]
    ids = units.encode("<|endoftext|> <|im_start|>")
    assert units.special_ids.isdisjoint(ids)
    assert units.decode(ids) == "<|endoftext|> <|im_start|>"
    assert units.bos_id == units.eos_id


def test_hugging_face_lowercase_and_no_eos(all_units: dict[str, Units], tmp_path: Path) -> None:
    folder = tmp_path / "tokeniser"
    _byte_level(folder)
    units = HuggingFaceUnits(folder, lowercase=True)
    assert units.encode("The SALE") == all_units["byte-level"].encode("the sale")
    assert units.fingerprint != all_units["byte-level"].fingerprint
    units.save(tmp_path / "units")
    assert load_units(tmp_path / "units").encode("The SALE") == units.encode("the sale")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if k != "eos_token"}))
    with pytest.raises(UnitsError, match="no end-of-sentence"):
        HuggingFaceUnits(folder)


def test_a_tokeniser_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(UnitsError, match=f"{source}: no tokeniser"):
            build_units(UnitsConfig(kind="huggingface", source=str(source)), [])


@pytest.mark.parametrize("settings", [True, False])
@pytest.mark.parametrize("model_type", ["qwen2", "llama", "gpt2"])
def test_an_llm_without_the_files_of_its_tokeniser(model_type: str, settings: bool, tmp_path: Path) -> None:
    _byte_level(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    if not settings:
        (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(UnitsError, match=rf"^{tmp_path}: .*no tokeniser.*tokenizer\.json"):
        HuggingFaceUnits(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no label units here"),
        ({"units.json": "{"}, "units.json:1:2: not valid JSON"),
        ({"units.json": "[]"}, "kind must be one of"),
        ({"units.json": '{"kind": "syllables"}'}, "not 'syllables'"),
        ({"units.json": '{"kind": "characters"}'}, "damaged"),
        ({"units.json": '{"kind": "characters", "characters": 3}'}, "damaged"),
        ({"units.json": '{"kind": "sentencepiece"}'}, "pieces.model: cannot be read"),
        ({"units.json": '{"kind": "sentencepiece"}', "pieces.model": "x"}, "not a SentencePiece model"),
        ({"units.json": '{"kind": "huggingface"}'}, "damaged"),
    ],
)
def test_damaged_folders(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UnitsError, match=message):
        load_units(tmp_path)


def test_damaged_tokeniser(all_units: dict[str, Units], tmp_path: Path) -> None:
    all_units["metaspace"].save(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UnitsError, match=r"tokenizer\.json: this is not a tokeniser"):
        load_units(tmp_path)


def test_nothing_is_left_of_a_save_that_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError):
        CharacterUnits("ab").save(tmp_path / "file" / "units")
    assert os.listdir(tmp_path) == ["file"]


def test_config() -> None:
    config = UnitsConfig(kind="huggingface", source="some/where", lowercase=True)
    assert from_json(UnitsConfig, to_json(config)) == config
    for wrong in ({"kind": "words"}, {"size": 0}, {"kind": "huggingface"}, {"source": "x"}, {"model_type": "word"}):
        with pytest.raises(ConfigError, match="units:"):
            UnitsConfig(**wrong)


@pytest.mark.skipif("DUOLECT_REAL_DATA" not in os.environ, reason="DUOLECT_REAL_DATA names no folder of real data")
@pytest.mark.parametrize("name", ["qwen2-tokenizer", "stories260k"])
def test_real_tokenisers(name: str, tmp_path: Path) -> None:
    folder = Path(os.environ["DUOLECT_REAL_DATA"])
    if not (folder / "llm" / name).is_dir():
        pytest.skip(f"there is no llm/{name} in DUOLECT_REAL_DATA")
    units = HuggingFaceUnits(folder / "llm" / name)
    units.save(tmp_path)
    lines = [normalise(line) for file in sorted((folder / "text").glob("*.txt")) for line in file.open()][:5000]
    for text in [*SENTENCES, "naïve 日本 हिन्दी", *lines]:
        ids = units.encode(text)
        assert units.decode(ids) == text
        assert 1 + sum(units.starts_word(label) for label in ids[1:]) == len(text.split()) or not text
    assert load_units(tmp_path).encode(SENTENCES[1]) == units.encode(SENTENCES[1])


@pytest.mark.skipif("DUOLECT_REAL_DATA" not in os.environ, reason="DUOLECT_REAL_DATA names no folder of real data")
def test_upper_case_costs_an_llm_half_as_many_tokens_again() -> None:
    """Qwen2 on English of four sources: 1.05 to 1.12 tokens a word in lower case, 1.44 to 1.69 in upper case (the paper
    gives 1.071 for lower-cased text). `lowercase` makes the first of the second."""
    folder = Path(os.environ["DUOLECT_REAL_DATA"])
    source, files = folder / "llm" / "qwen2-tokenizer", sorted((folder / "text").glob("*.txt"))
    if not source.is_dir() or not files:
        pytest.skip("there is no llm/qwen2-tokenizer, or no text/*.txt, in DUOLECT_REAL_DATA")
    units, lowered = HuggingFaceUnits(source), HuggingFaceUnits(source, lowercase=True)
    for file in files:
        lines = [normalise(line) for line in file.read_text(encoding="utf-8").splitlines()[:1000]]
        words = sum(len(line.split()) for line in lines)
        plain, upper, asked = (
            sum(len(spelled.encode(line)) for line in given) / words
            for spelled, given in ((units, lines), (units, map(str.upper, lines)), (lowered, map(str.upper, lines)))
        )
        assert asked == plain, file.name
        assert 1.03 < plain < 1.14, file.name
        assert 1.3 < upper / plain < 1.7, file.name
