from importlib.util import find_spec as installed

import pytest

pytest.importorskip("whisper_normalizer")
from whisper_reference import NAMES, Sentences, references

from duolect.errors import ScoringError
from duolect.evaluation import NORMALISERS, normaliser_function
from duolect.evaluation.normalisers import normaliser_version, spelling
from duolect.evaluation.normalisers.spelling import leaderboard_spellings, whisper_spellings
from duolect.evaluation.normalisers.variants import join_acronyms, name_variants
from duolect.text.normalise import normalise

ENGLISH = [name for name in NORMALISERS if name not in ("plain", "none")]


@pytest.mark.parametrize("name", ENGLISH)
def test_thousands_of_sentences_come_out_as_from_an_independent_normaliser(name: str) -> None:
    seed = 2026
    ours, reference, sentence = normaliser_function(name), references()[name], Sentences(seed)
    for n in range(2500):
        text = sentence()
        assert ours(text).split() == reference(text).split(), (seed, n, text)


# What differed when the two were first compared, and what real transcripts are full of.
@pytest.mark.parametrize(
    ("text", "whisper", "current"),
    [
        ("It's gotta work.", "it has got to work", "it has got to work"),
        ("they're Who'sn't", "they are who is not", "they are who is not"),
        ("rev's been't", "reverend has bee not", "reverend has bee not"),
        ("The dog's bone; it's his.", "the dog is bone it is his", "the dog s bone it is his"),
        ("Mr. St. John's 21st", "mister saint john is 21st", "mister saint john s 21st"),
        ("twenty five dollars and seven cents", "$25.07", "$25.07"),
        ("one oh one or sixty fourth in the nineteen sixties", "101 or 64th in the 1960s", "101 or 64th in the 1960s"),
        ("the ninth of two and a half million", "the ninth of 2500000", "the ninth of 2500000"),
        ("fifty percent, 3 per cent", "50% 3%", "50% 3%"),
        ("$1,234.50 (laughter) [noise] um, hmm", "$1234.50", "$1234.50"),
        ("ah, uhuh the naïve colour œuvre", "ah uhuh the naive color oeuvre", "the naive color oeuvre"),
        ("Stephen's e-mail at 9 a.m.", "stephen is e mail at 9 a m", "steven s email at 9 am"),
        ("the B.B.C. on T V, a 5 g", "the b b c on t v a 5 g", "the bbc on tva5g"),
        ("OK, etcetera", "ok etcetera", "okay etc"),
        ("minus three point five point x", "-3.5 point x", "-3.5 point x"),
        ("seven double oh seven", "7007", "7007"),
        ("one thing of one thousand ones", "one thing of 1001s", "one thing of 1001s"),
        ("127.0.0.1 .5 5. %", "127.0.0 one .5 5", "127.0.0 one .5 5"),
        ("'mn't", "am not", "am not"),
        ("", "", ""),
        ("(all of it)", "", ""),
    ],
)
def test_examples(text: str, whisper: str, current: str) -> None:
    assert normaliser_function("whisper-english")(text) == whisper
    assert normaliser_function("open-asr-2026-08")(text) == current


def test_the_two_versions_of_the_spelling_table() -> None:
    march, august = leaderboard_spellings(added=False), leaderboard_spellings(added=True)
    assert whisper_spellings()["archaeology"] == "archeology</span>"  # the slip that the leaderboard mended
    assert "flyer" not in march
    assert "ok" not in march
    assert {key: august[key] for key in ("flyer", "ok", "archaeology", "travelogue", "mm")} == {
        "flyer": "flier",
        "ok": "okay",
        "archaeology": "archeology",
        "travelogue": "travelog",
        "mm": "hmm",
    }
    assert normaliser_function("open-asr-2026-03")("ok, pummelled a flyer") == "ok pummeled a flyer"
    assert normaliser_function("whisper-english")("pummelled") == "pummel"


def test_names_are_written_in_one_spelling() -> None:
    variants = name_variants()
    assert len(variants) == 152
    assert variants.items() >= NAMES.items()
    assert not set(variants) & set(variants.values())  # nothing is replaced twice


def test_acronyms_need_two_letters_or_three_with_a_word_among_them() -> None:
    assert join_acronyms(["x", "b", "c", "y"]) == ["xbcy"]
    assert join_acronyms(["see", "a", "b", "here"]) == ["see", "a", "b", "here"]
    assert join_acronyms(["i", "a", "b"]) == ["iab"]
    assert join_acronyms(["5", "g", "%", "k"]) == ["5g", "%", "k"]


@pytest.mark.parametrize("name", ENGLISH)
def test_loops_of_digits_do_not_stop_a_score(name: str) -> None:
    normalised = normaliser_function(name)
    assert normalised("9" * 6000).strip("9") == ""
    assert normalised("nine " * 6000).strip("9") == ""
    assert normalised("9" * 4290 + " decillion million")


def test_plain_and_none_are_as_ever() -> None:
    assert normaliser_function("plain") is normalise
    assert normaliser_function("none")("  As It is ") == "  As It is "
    assert normaliser_version("plain") == normaliser_version("none") == ""
    assert "d1e99b2" in normaliser_version("open-asr-2026-08")
    with pytest.raises(ScoringError, match="unknown normaliser 'open-asr'; known are plain, none, whisper-english"):
        normaliser_function("open-asr")


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, "find_spec", lambda name: None if name == "whisper_normalizer" else installed(name))
    monkeypatch.setattr(spelling, "whisper_spellings", spelling.whisper_spellings.__wrapped__)
    with pytest.raises(ScoringError, match=r"the package whisper-normalizer: pip install whisper-normalizer\.$"):
        leaderboard_spellings(added=True)
