"""Phoneme units: from words to what espeak-ng says and back, homophones, unknown words, the nearest pronunciation."""

from __future__ import annotations

import builtins
import itertools
import pickle
import random
from collections import Counter
from pathlib import Path
from typing import Any

import kaldialign
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.audio import Voice, phonemes, pronunciations
from duolect.configs import from_json, to_json
from duolect.errors import ConfigError, UnitsError
from duolect.text import (
    CharacterUnits,
    PhonemeUnits,
    SoundUnits,
    Spelled,
    Units,
    UnitsConfig,
    build_units,
    load_units,
    require_same_units,
    retokeniser,
    spellings,
)
from duolect.text.nearest import NearestSequences
from duolect.text.phonemes import segments

SENTENCES = [
    "there is a ship for sale over there",
    "their ship set sail for the right isle",
    "write to the right church by four o'clock",
    "there are 42 cheese boards on the ship's side",
    "they're quick to judge the naïve sailor's joy",
    "there they go to the zoo",
]
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})
CONFIG = UnitsConfig(kind="phonemes", language="en-gb")


@pytest.fixture(scope="module")
def units() -> PhonemeUnits:
    made = build_units(CONFIG, SENTENCES)
    assert isinstance(made, PhonemeUnits)
    return made


def names(units: PhonemeUnits, text: str) -> list[str]:
    return [units.phonemes[label - 3] if label > 2 else "|" for label in units.encode(text)]


def test_a_word_is_made_of_the_phonemes_that_espeak_parts_it_into(units: PhonemeUnits) -> None:
    assert names(units, "cheese church joy") == ["tʃ", "iː", "z", "|", "tʃ", "ɜː", "tʃ", "|", "dʒ", "ɔɪ"]
    assert names(units, "42") == ["f", "ɔː", "t", "i", "t", "uː"]
    assert units.encode("their") == units.encode("there")
    for word in WORDS:
        assert "".join(names(units, word)) == phonemes(word).replace("ˈ", "").replace("ˌ", "").replace(" ", ""), word


@pytest.mark.parametrize(
    ("parts", "labels"),
    [
        (("h", "ə", "l", "ˈəʊ"), ("h", "ə", "l", "əʊ")),
        (("ˈ", "t", "ː", "ʲ", "a"), ("tːʲ", "a")),
        (("ː", "a"), ("ː", "a")),
        (("t͡ʃ", "ˌɔ̃"), ("t͡ʃ", "ɔ̃")),
        ((), ()),
    ],
)
def test_stress_goes_and_lone_diacritics_join(parts: tuple[str, ...], labels: tuple[str, ...]) -> None:
    assert segments(parts) == labels


def test_words_are_pronounced_each_by_itself() -> None:
    """In one go as one by one, in any order; words of another language without the mark of it."""
    words = [*WORDS, "garage", "rendezvous", "read", "'"]
    wanted = {word: pronunciations([word])[0] for word in words}
    for seed in range(3):
        order = random.Random(seed).sample(words, len(words))
        assert pronunciations(order) == [wanted[word] for word in order], f"seed {seed}"
    assert wanted["'"] == ()
    german = pronunciations(["Computer", "Straße"], Voice(name="de"))
    assert not any(set("()_ ") & set(part) for parts in german for part in parts)


def test_follows_the_protocol(units: PhonemeUnits) -> None:
    assert isinstance(units, Units)
    assert isinstance(units, SoundUnits)
    assert not isinstance(CharacterUnits("ab"), SoundUnits)
    assert (units.eos_id, units.bos_id, units.special_ids) == (0, 1, {0, 1})
    assert units.size == len(units.phonemes) + 3
    assert (units.encode(""), units.decode([]), units.spellings([], 3)) == ([], "", [""])
    ids = units.encode("the zoo")
    assert units.decode([1, *ids, 0, 1]) == "the zoo"
    assert [units.starts_word(label) for label in range(4)] == [False, False, True, False]
    for label in (-1, units.size):
        with pytest.raises(UnitsError, match=f"label {label} .* 0 to {units.size - 1}"):
            units.decode([label])
        with pytest.raises(UnitsError, match="outside"):
            units.starts_word(label)


@given(data=st.data())
@settings(deadline=None)
def test_what_comes_back_sounds_the_same(data: st.DataObject, units: PhonemeUnits) -> None:
    text = " ".join(data.draw(st.lists(st.sampled_from(WORDS), max_size=8)))
    ids = units.encode(text)
    back = units.decode(ids)
    assert units.encode(back) == ids
    assert len(back.split()) == len(text.split())
    runs: list[list[int]] = []
    for label in ids:
        if not runs or units.starts_word(label):
            runs.append([])
        runs[-1].append(label)
    assert [units.decode(run) for run in runs] == back.split()
    counts = Counter(word for sentence in SENTENCES for word in sentence.split())
    for said, word in zip(text.split(), back.split(), strict=True):
        assert counts[word] >= counts[said]


@given(data=st.data())
@settings(deadline=None)
def test_any_labels_are_as_many_words_as_stretches(data: st.DataObject, units: PhonemeUnits) -> None:
    ids = data.draw(st.lists(st.integers(0, units.size - 1), max_size=40))
    stretches = "".join("|" if label == 2 else "x" if label > 2 else "" for label in ids).replace("|", " ").split()
    assert len(units.decode(ids).split()) == len(stretches)
    assert units.spellings(ids, 5)[0] == units.decode(ids)


def test_homophones_are_read_by_their_frequency(units: PhonemeUnits) -> None:
    ids = units.encode("their sail by the write isle")
    assert units.decode(ids) == "there sail by the right isle"
    assert units.spellings(ids, 1) == [units.decode(ids)]
    found = units.spellings(ids, 99)
    wanted = [
        f"{a} {b} by the {c} isle"
        for a, b, c in itertools.product(("there", "their"), ("sail", "sale"), ("right", "write"))
    ]
    assert sorted(found) == sorted(wanted)
    counts = Counter(word for sentence in SENTENCES for word in sentence.split())

    def frequency(text: str) -> int:
        product = 1
        for word in text.split():
            product *= counts[word]
        return product

    assert [frequency(text) for text in found] == sorted(map(frequency, found), reverse=True)
    for limit in range(1, 9):
        assert units.spellings(ids, limit) == found[:limit]
    assert all(units.encode(text) == ids for text in found)


def test_other_units_have_one_spelling() -> None:
    characters = CharacterUnits("there ")
    assert spellings(characters, characters.encode("there"), 5) == ["there"]


def test_words_outside_the_lexicon(units: PhonemeUnits, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = units.encode("bored ships")
    assert units.decode(ids[: ids.index(2)]) == "boards"  # b ɔː d: one phoneme is missing
    assert units.encode("bored ships") == ids
    with pytest.raises(UnitsError, match=r"The word 'thing' in 'the thing' .*says it with 'θ', which no word"):
        units.encode("the thing")
    with pytest.raises(UnitsError, match=r"The word \"'\" .*nothing to say"):
        units.encode("' ship")
    with pytest.raises(UnitsError, match=r"ud800"):
        units.encode("half a pair \ud800")
    monkeypatch.setattr("duolect.text.phonemes._MOST_REMEMBERED", 1)
    for word in ("sore", "soar", "saw", "sore"):
        assert units.encode(f"{word} {word} bored")[:2] == units.encode("saw")


def test_without_espeak_only_words_of_the_lexicon_can_be_spelled(
    units: PhonemeUnits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units.save(tmp_path)
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "espeakng_loader":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr("duolect.audio.speech._voice_file", lambda voice: voice.name)
    loaded = load_units(tmp_path)
    for sentence in SENTENCES:
        assert loaded.encode(sentence) == units.encode(sentence)
    with pytest.raises(UnitsError, match=r"'unheard' needs espeak-ng .*espeakng-loader"):
        loaded.encode("unheard")


def test_save_and_load(units: PhonemeUnits, tmp_path: Path) -> None:
    units.save(tmp_path / "units")
    assert sorted(file.name for file in (tmp_path / "units").iterdir()) == ["lexicon.tsv", "units.json"]
    for other in (load_units(tmp_path / "units"), pickle.loads(pickle.dumps(units))):
        assert isinstance(other, PhonemeUnits)
        assert (other.fingerprint, other.language, other.lexicon) == (units.fingerprint, "en-gb", units.lexicon)
        assert other.encode("their zoo soar") == units.encode("their zoo soar")
        assert other.decode(units.encode("their zoo soar")) == units.decode(units.encode("their zoo soar"))
    assert build_units(CONFIG, [*reversed(SENTENCES)]).fingerprint == units.fingerprint
    others = [build_units(CONFIG, [*SENTENCES, "their"]), PhonemeUnits("en-us", units.lexicon)]
    for other in others:
        with pytest.raises(UnitsError, match="must speak the same label units"):
            require_same_units(units, other, "the one", "the other")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"lexicon\.tsv: cannot be read"),
        ("words\n", r"expected the first line to be"),
        ("word\tcount\tphonemes\nship\tx\tʃ ɪ p\n", r"lexicon\.tsv:2: expected a word, a count"),
        ("word\tcount\tphonemes\nship\t1\tʃ ɪ p\nship\t1", r"lexicon\.tsv:3: expected a word, a count"),
        ("word\tcount\tphonemes\nship\t1\tʃ ɪ p\nship\t2\tʃ ɪ p\n", "'ship' is there twice"),
        ("word\tcount\tphonemes\nship\t1\t\n", "without phonemes"),
        ("word\tcount\tphonemes\n", "at least one word"),
    ],
)
def test_damaged_folders(table: str | None, message: str, units: PhonemeUnits, tmp_path: Path) -> None:
    units.save(tmp_path)
    if table is None:
        (tmp_path / "lexicon.tsv").unlink()
    else:
        (tmp_path / "lexicon.tsv").write_text(table, encoding="utf-8")
    with pytest.raises(UnitsError, match=message):
        load_units(tmp_path)


def test_config_and_bad_input() -> None:
    assert from_json(UnitsConfig, to_json(CONFIG)) == CONFIG
    for wrong in ({"kind": "phonemes"}, {"language": "en-gb"}):
        with pytest.raises(ConfigError, match="units: language, an espeak-ng voice"):
            UnitsConfig(**wrong)
    with pytest.raises(UnitsError, match=r"Phoneme units of 'xx': espeak-ng has no voice 'xx'"):
        build_units(UnitsConfig(kind="phonemes", language="xx"), SENTENCES)
    for empty in ([], ["", " "], ["'"]):
        with pytest.raises(UnitsError, match="at least one word"):
            build_units(CONFIG, empty)


def test_words_handed_over_one_by_one_spell_the_whole_text(units: PhonemeUnits) -> None:
    """What delayed fusion does: from phonemes, whatever CTC made of them, to an LM's own units."""
    target = CharacterUnits.from_text(SENTENCES)
    found = retokeniser(units, target)
    assert found.rule == "space"
    for seed in range(100):
        draw = random.Random(seed)
        labels = tuple(draw.choices(range(2, units.size), k=draw.randint(1, 14)))
        if seed % 2:
            labels = tuple(units.encode(" ".join(draw.choices(WORDS, k=draw.randint(1, 6)))))
        spelled, begin = Spelled(), 0
        for end in [i for i in range(1, len(labels)) if units.starts_word(labels[i])] + [len(labels)]:
            spelled = found.extend(spelled, labels[begin:end])
            begin = end
            assert spelled.tokens == tuple(target.encode(units.decode(labels[:end]))), f"seed {seed}"


def test_the_nearest_sequence_is_that_of_the_smallest_edit_distance() -> None:
    for seed in range(150):
        draw = random.Random(seed)
        labels = draw.choice([2, 5, 40])
        longest = draw.choice([3, 12, 80])
        sequences = list(
            dict.fromkeys(
                tuple(draw.choices(range(labels), k=draw.randint(draw.choice([0, 1]), longest))) for _ in range(60)
            )
        )
        index = NearestSequences(sequences)
        for _ in range(4):
            sought = draw.choices(range(labels + 1), k=draw.randint(0, min(longest + 3, 64)))
            distances = [kaldialign.edit_distance(list(each), sought)["total"] for each in sequences]
            assert index.nearest(sought) == sequences[distances.index(min(distances))], f"seed {seed}"
    with pytest.raises(ValueError, match="at least one"):
        NearestSequences([])


def test_only_the_beginning_of_a_very_long_stretch_is_compared() -> None:
    index = NearestSequences([(1,) * 70, (1,) * 60, (2,)])
    assert index.nearest((1,) * 64 + (2,) * 500) == (1,) * 60
