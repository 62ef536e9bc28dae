"""Inflection of lexicon entries, and numbers in words."""

import pytest

from duolect.data.synthetic.entries import Adjective, Name, adjectives, nouns, with_article, words
from duolect.data.synthetic.lexicon import LEXICON
from duolect.data.synthetic.lexicon.numerals import (
    CLOCK,
    english_number,
    english_ordinal,
    german_number,
    german_ordinal,
)

HAT, LAMP, BOOK, BEAR, TEA = nouns("""
    hat | der Hut, Hüte
    lamp | die Lampe, Lampen
    book | das Buch, Bücher
    bear | der Bär, Bären, Bären
    cup of tea, cups of tea | die Tasse Tee, Tassen Tee
""")
NEW, DEAR = adjectives("""
    new | neu
    expensive | teuer, teur
""")


@pytest.mark.parametrize(
    ("noun", "form", "other", "expected"),
    [
        (HAT, "der", None, "der Hut"),
        (HAT, "den", NEW, "den neuen Hut"),
        (LAMP, "den", NEW, "die neue Lampe"),
        (BOOK, "einen", DEAR, "ein teures Buch"),
        (LAMP, "einem", DEAR, "einer teuren Lampe"),
        (HAT, "ein", NEW, "ein neuer Hut"),
        (BOOK, "dieser", NEW, "dieses neue Buch"),
        (LAMP, "unseren", None, "unsere Lampe"),
        (BEAR, "den", None, "den Bären"),
        (BEAR, "ein", None, "ein Bär"),
        (BEAR, "des", None, "des Bären"),
        (HAT, "des", NEW, "des neuen Huts"),
        (LAMP, "zum", None, "zur Lampe"),
        (BOOK, "inden", None, "ins Buch"),
        (BOOK, "im", None, "im Buch"),
        (HAT, "pln", None, "Hüten"),
        (TEA, "pln", None, "Tassen Tee"),
        (TEA, "kein", None, "keine Tasse Tee"),
        (HAT, "pl", NEW, "neue Hüte"),
        (HAT, "seinen", Name("anna", "f"), "ihren Hut"),
        (LAMP, "seinen", Name("tom", "m"), "seine Lampe"),
        (LAMP, "ihn", None, "sie"),
        (BOOK, "racc", None, "das"),
    ],
)
def test_german_nouns_follow_gender_and_case(noun, form, other, expected):
    assert noun.german(form, other) == expected


def test_unknown_forms_are_errors():
    for ask in (lambda: HAT.german("denn"), lambda: HAT.english("plural"), lambda: Name("tom", "m").german("den")):
        with pytest.raises(KeyError):
            ask()


def test_english_forms():
    assert HAT.english("a", Adjective("old", "alt")) == "an old hat"
    assert nouns("berry | die Beere, Beeren")[0].english("pl") == "berries"
    assert nouns("wolf, wolves | der Wolf, Wölfe")[0].english("pl") == "wolves"
    assert [with_article(w) for w in ("hour", "university", "egg", "pear")] == [
        "an hour",
        "a university",
        "an egg",
        "a pear",
    ]
    assert Name("anna", "f").english("his") == "her"
    assert words("home | nach Hause")[0].german() == "nach Hause"


@pytest.mark.parametrize(
    ("value", "english", "german"),
    [
        (1, "one", "eins"),
        (16, "sixteen", "sechzehn"),
        (21, "twenty one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (77, "seventy seven", "siebenundsiebzig"),
        (100, "one hundred", "einhundert"),
        (342, "three hundred and forty two", "dreihundertzweiundvierzig"),
    ],
)
def test_numbers_in_words(value, english, german):
    assert (english_number(value), german_number(value)) == (english, german)


def test_ordinals_in_words():
    assert [english_ordinal(n) for n in (1, 2, 3, 5, 9, 12, 20, 21)] == [
        *("first", "second", "third", "fifth", "ninth", "twelfth", "twentieth", "twenty first")
    ]
    assert [german_ordinal(n) + "e" for n in (1, 3, 7, 8, 16, 20, 31)] == [
        *("erste", "dritte", "siebte", "achte", "sechzehnte", "zwanzigste", "einunddreißigste")
    ]


def test_numbers_are_unambiguous():
    for words_of in (english_number, german_number):
        assert len({words_of(value) for value in range(1000)}) == 1000


def test_times_of_day():
    times = {time.en: time.de for time in CLOCK}
    assert times["half past three"] == "halb vier"
    assert times["half past twelve"] == "halb eins"
    assert times["one o'clock"] == "ein Uhr"
    assert times["ten to one"] == "zehn vor eins"
    assert times["quarter past seven"] == "Viertel nach sieben"
    assert len(times) == len(CLOCK) == 120


def test_lexicon_has_no_duplicates_and_spells_normalised():
    for category, entries in LEXICON.items():
        english = [entry.english() for entry in entries]
        assert len(set(english)) == len(english), category
        assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz' ") for text in english), category
        assert all(
            set(entry.german()) <= set("abcdefghijklmnopqrstuvwxyzäöüßéABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ ")
            for entry in entries
        )
