"""Words handed over one by one spell what the whole text spells, for every pair of units."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from duolect.text import CharacterUnits, HuggingFaceUnits, Retokeniser, Spelled, Units, train_sentencepiece
from duolect.text.pieces import SentencePieceUnits

SENTENCES = [
    "the sailor's sale was at four o'clock of the day",
    "there are 42 ships for sale and they're all right over there",
    "write the right number 1907 on the ship's side of the day",
    "it's the sailor who sails the ship to the sale of the day",
    "naïve über straße",
]
TRIED = 200


def _huggingface(tokenizer: Tokenizer, folder: Path, size: int, lowercase: bool = False, **more) -> HuggingFaceUnits:
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=["</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if tokenizer.model.unk_token is None else [],
        **more,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    wrapped.save_pretrained(folder)
    return HuggingFaceUnits(folder, lowercase=lowercase)


def _byte_level(folder: Path) -> HuggingFaceUnits:
    """As Qwen2: the space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _huggingface(tokenizer, folder, 400, lowercase=True)


def _prepending(folder: Path) -> HuggingFaceUnits:
    """As Llama 2: whatever it is given gets one more space in front."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    tokenizer.decoder = decoders.Metaspace()
    return _huggingface(tokenizer, folder, 160)


def _without_dummy(folder: Path) -> HuggingFaceUnits:
    """SentencePiece without the dummy prefix: the first word is spelled otherwise than the same word later."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return _huggingface(tokenizer, folder, 160)


def _across_words(folder: Path) -> HuggingFaceUnits:
    """Tokens that go over spaces ("of the"): no word can be spelled before the next one is known."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return _huggingface(tokenizer, folder, 200)


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Units]:
    folder = tmp_path_factory.mktemp("tokenisers")
    found: dict[str, Units] = {
        "characters": CharacterUnits.from_text(SENTENCES),
        "sentencepiece": train_sentencepiece(SENTENCES, 70),
        "byte-level": _byte_level(folder / "byte"),
        "prepending": _prepending(folder / "prepending"),
        "without dummy": _without_dummy(folder / "without"),
        "across words": _across_words(folder / "across"),
    }
    real = os.environ.get("DUOLECT_REAL_DATA")
    if real:
        found["qwen2"] = HuggingFaceUnits(Path(real) / "llm" / "qwen2-tokenizer", lowercase=True)
    return found


RULES = {
    "characters": "space",
    "sentencepiece": "space",
    "byte-level": "space",
    "prepending": "bare",
    "without dummy": "space",
    "across words": None,
}
if os.environ.get("DUOLECT_REAL_DATA"):
    RULES["qwen2"] = "space"


@pytest.mark.parametrize("source", ["characters", "sentencepiece", "byte-level"])
@pytest.mark.parametrize("target", RULES)
def test_words_one_by_one_are_the_whole_text(source: str, target: str, kinds: dict[str, Units]) -> None:
    units = kinds[source]
    retokeniser = Retokeniser(units, kinds[target])
    assert retokeniser.rule == RULES[target]
    words = " ".join(SENTENCES).split()
    ordinary = [label for label in range(units.size) if label not in units.special_ids]
    for seed in range(TRIED):
        draw = random.Random(seed)
        if seed % 2:
            labels = tuple(units.encode(" ".join(draw.choices(words, k=draw.randint(1, 9)))))
        else:  # whatever CTC may emit: spaces in a row, at the ends, words that are none
            labels = tuple(draw.choices(ordinary, k=draw.randint(1, 12)))
        spelled, begin = Spelled(), 0
        for end in [i for i in range(1, len(labels)) if units.starts_word(labels[i])] + [len(labels)]:
            if draw.random() < 0.6 or end == len(labels):  # one or several words at a time
                spelled = retokeniser.extend(spelled, labels[begin:end])
                begin = end
                whole = retokeniser.whole(labels[:end])
                assert (spelled.labels, spelled.tokens) == (whole.labels, whole.tokens), f"seed {seed}"


def test_what_cannot_be_spelled_has_no_tokens_until_the_text_can_be(kinds: dict[str, Units]) -> None:
    source = CharacterUnits("abé ")
    retokeniser = Retokeniser(source, CharacterUnits("ab "))
    good = retokeniser.extend(Spelled(), source.encode("ab"))
    assert good.tokens is not None
    bad = retokeniser.extend(good, source.encode(" é"))
    assert bad.tokens is None
    assert retokeniser.extend(bad, source.encode(" a")).tokens is None


def test_spaces_that_labels_have_too_many_are_not_spelled(kinds: dict[str, Units]) -> None:
    source = kinds["sentencepiece"]
    assert isinstance(source, SentencePieceUnits)
    space = source.pieces.index("\u2581")
    words = source.encode("the sailor") + source.encode("day")
    odd = (space, *source.encode("the"), space, space, *source.encode("sailor"), space, *source.encode("day"), space)
    assert source.decode(odd) != source.decode(words) == "the sailor day"
    for name in RULES:
        retokeniser = Retokeniser(source, kinds[name])
        wanted = tuple(kinds[name].encode("the sailor day"))
        assert retokeniser.whole(odd).tokens == wanted, name
        assert retokeniser.extend(Spelled(), odd).tokens == wanted, name


def test_letter_case_is_the_targets_own(kinds: dict[str, Units]) -> None:
    source = CharacterUnits("THE SAILOR")
    retokeniser = Retokeniser(source, kinds["byte-level"])
    spelled = retokeniser.extend(retokeniser.extend(Spelled(), source.encode("THE")), source.encode(" SAILOR"))
    assert spelled.tokens == tuple(kinds["byte-level"].encode("the sailor"))


def test_nothing_the_target_can_spell() -> None:
    retokeniser = Retokeniser(CharacterUnits("ab "), CharacterUnits("xy"))
    assert retokeniser.rule is None
    assert retokeniser.extend(Spelled(), (2, 3)).tokens is None
    assert retokeniser.whole(()).tokens == ()
