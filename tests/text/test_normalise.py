"""The plain form of text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolect.text import normalise, words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Hello,  World!", "hello world"),
        ("Don't “worry” — it\u2019s 3.50€", "don't worry it's 3 50"),
        ("'Yes,' he said, 'the dogs\u2019 well-known house.'", "yes he said the dogs well known house"),
        ("Café STRASSE Straße ﬁne", "café strasse straße fine"),
        ("\tnew\nlines\u00a0here ", "new lines here"),
        ("हिन्दी की", "हिन्दी की"),
        ("e\u0301tat", "état"),
        ("\u0301 a", "a"),
        ("co\u00adoperate e\u200d\u0301 \u200fa\u200b\ufeffb", "cooperate é a b"),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0dc1\u0dca\u0dbb\u0dd3"),  # a Sinhala word written with a joiner
        ("''", ""),
        ("", ""),
    ],
)
def test_examples(text: str, plain: str) -> None:
    assert normalise(text) == plain
    assert words(text) == plain.split()


@given(st.text())
def test_is_idempotent_and_holds_only_words(text: str) -> None:
    plain = normalise(text)
    assert normalise(plain) == plain
    assert plain == " ".join(plain.split(" ")).strip()
    assert "  " not in plain
    assert all(c in " '" or unicodedata.category(c)[0] in "LMN" for c in plain)
    assert all(not word.startswith("'") and not word.endswith("'") for word in plain.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_gives_the_same(text: str) -> None:
    """A letter outside ASCII sends the rest down the general way."""
    assert normalise(text + " ü") == f"{normalise(text)} ü".strip()
