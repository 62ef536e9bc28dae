"""Lexicon entries: one meaning with the English and German forms a sentence template may ask for.

A form is asked for by name. For German nouns the name is the *masculine* determiner the sentence would need, and the
entry answers with the one its own gender needs: `den` gives "den Hut", "die Lampe" or "das Buch"; `zum` gives "zum Hut"
or "zur Lampe". An adjective that stands between determiner and noun is inflected with it. A form an entry does not
have is a `KeyError` with the entry and the form in its message: templates are ours, so it is a bug, not user input.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

Gender = Literal["m", "f", "n"]
Case = Literal["nom", "acc", "dat"]
_ARTICLES: dict[str, Gender] = {"der": "m", "die": "f", "das": "n"}
_CASES: dict[str, Case] = {"": "nom", "en": "acc", "em": "dat"}

# Endings by case, in the order masculine, feminine, neuter.
_DEFINITE: dict[Case, tuple[str, str, str]] = {
    "nom": ("der", "die", "das"),
    "acc": ("den", "die", "das"),
    "dat": ("dem", "der", "dem"),
}
_EIN: dict[Case, tuple[str, str, str]] = {"nom": ("", "e", ""), "acc": ("en", "e", ""), "dat": ("em", "er", "em")}
_STRONG: dict[Case, tuple[str, str, str]] = {
    "nom": ("er", "e", "es"),
    "acc": ("en", "e", "es"),
    "dat": ("em", "er", "em"),
}
_WEAK: dict[Case, tuple[str, str, str]] = {"nom": ("e", "e", "e"), "acc": ("en", "e", "e"), "dat": ("en", "en", "en")}
_MIXED: dict[Case, tuple[str, str, str]] = {
    "nom": ("er", "e", "es"),
    "acc": ("en", "e", "es"),
    "dat": ("en", "en", "en"),
}
_CONTRACTED: dict[str, tuple[Case, tuple[str, str, str]]] = {
    "im": ("dat", ("im", "in der", "im")),
    "am": ("dat", ("am", "an der", "am")),
    "zum": ("dat", ("zum", "zur", "zum")),
    "vom": ("dat", ("vom", "von der", "vom")),
    "beim": ("dat", ("beim", "bei der", "beim")),
    "inden": ("acc", ("in den", "in die", "ins")),
}
_PRONOUNS: dict[str, tuple[str, str, str]] = {
    "er": ("er", "sie", "es"),
    "ihn": ("ihn", "sie", "es"),
    "ihm": ("ihm", "ihr", "ihm"),
    "rnom": ("der", "die", "das"),
    "racc": ("den", "die", "das"),
    "dessen": ("dessen", "deren", "dessen"),
    "lieber": ("lieber", "liebe", "liebes"),
}
_ENGLISH_PRONOUNS = {"he": ("he", "she"), "him": ("him", "her"), "his": ("his", "her")}
_EIN_STEMS = ("ein", "kein", "mein", "dein", "sein", "ihr", "unser", "euer")
_DIES_STEMS = ("dies", "jed", "welch")


class Entry(Protocol):
    """What a template asks of anything that fills a slot; `other` is the adjective or possessor named beside it."""

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """The English words of one form."""
        ...

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """The German words of one form."""
        ...


@dataclasses.dataclass(frozen=True)
class Word:
    """Fixed words, with further named forms where a template needs them; an unnamed form is the base form."""

    en: str
    de: str
    german_forms: tuple[tuple[str, str], ...] = ()

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """The words themselves; `a` puts the indefinite article before them."""
        return with_article(self.en) if form == "a" else _only(self.en, form, self)

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """The base form, or the one named (`te`, `ten` of an ordinal)."""
        return self.de if form == "" else dict(self.german_forms)[form]


@dataclasses.dataclass(frozen=True)
class Adjective:
    """An adjective; `stem` is what its German endings follow where that differs ("teuer", "teur-")."""

    en: str
    de: str
    stem: str = ""

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """The adjective; `a` puts the indefinite article before it."""
        return with_article(self.en) if form == "a" else _only(self.en, form, self)

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """Undeclined without a form, else with the ending the form names ("e", "en", "er" …)."""
        return (self.stem or self.de) + form if form else self.de


@dataclasses.dataclass(frozen=True)
class Noun:
    """A noun: English singular and plural, German singular, gender, plural, and oblique singular of weak masculines."""

    en: str
    en_plural: str
    de: str
    gender: Gender
    de_plural: str
    oblique: str = ""

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: singular, `pl`, `a` (with article; an adjective goes between), `he`/`him`/`his` by gender."""
        if form == "pl":
            return self.en_plural if other is None else f"{other.english()} {self.en_plural}"
        if form in _ENGLISH_PRONOUNS:
            return _ENGLISH_PRONOUNS[form][self.gender == "f"]
        words = self.en if other is None else f"{other.english()} {self.en}"
        return with_article(words) if form == "a" else _only(words, form, self)

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: bare, `acc` (bare, weak nouns inflected), `pl`, `pln` (dative), `plw` (adjective weak), `des`
        (genitive), pronouns (`er`, `ihn`, `ihm`, `lieber`, the relative `rnom`, `racc`, `dessen`), or a masculine
        determiner. `other` is the adjective, or the owner where the determiner is a form of "sein".
        """
        index = "mfn".index(self.gender)
        if form in _PRONOUNS:
            return _PRONOUNS[form][index]
        if form.startswith("pl"):
            noun = _dative_plural(self.de_plural) if form == "pln" else self.de_plural
            ending = "e" if form == "pl" else "en"
            return noun if other is None else f"{other.german(ending)} {noun}"
        if form in ("", "acc"):
            noun = self.oblique if form == "acc" and self.oblique else self.de
            return noun if other is None else f"{other.german(_STRONG[form or 'nom'][index])} {noun}"  # type: ignore[index]
        if form == "des":
            adjective = f"{other.german('en')} " if other else ""
            return f"{('des', 'der', 'des')[index]} {adjective}{self._genitive()}"
        case, determiner, endings = self._determiner(form, other, index)
        adjective = f"{other.german(endings[index])} " if isinstance(other, Adjective) else ""
        noun = self.oblique if case != "nom" and self.oblique else self.de
        return f"{determiner} {adjective}{noun}"

    def _genitive(self) -> str:
        if self.gender == "f" or self.oblique:
            return self.oblique or self.de
        first, _, rest = self.de.partition(" ")
        if first.endswith("us"):
            first += "ses"
        else:
            first += "es" if first.endswith(("s", "ß", "x", "z", "sch", "st")) else "s"
        return f"{first} {rest}".strip()

    def _determiner(self, form: str, other: Entry | None, index: int) -> tuple[Case, str, tuple[str, str, str]]:
        if form in _CONTRACTED:
            case, forms = _CONTRACTED[form]
            return case, forms[index], _WEAK[case]
        for case, forms in _DEFINITE.items():
            if form == forms[0]:
                return case, forms[index], _WEAK[case]
        for stem in _EIN_STEMS:
            if form.startswith(stem) and form[len(stem) :] in _CASES:
                case = _CASES[form[len(stem) :]]
                owner = "ihr" if stem == "sein" and getattr(other, "gender", "m") == "f" else stem
                return case, _elide(owner, _EIN[case][index]), _MIXED[case]
        for stem in _DIES_STEMS:
            for case, forms in _STRONG.items():
                if form == stem + forms[0]:
                    return case, stem + forms[index], _WEAK[case]
        raise KeyError(f"{self.de}: no German form {form!r}")


@dataclasses.dataclass(frozen=True)
class Name:
    """A person's name; pronouns and possessives follow the gender."""

    en: str
    gender: Gender

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: the name, `s` (possessive), `he`, `him`, `his`."""
        if form in _ENGLISH_PRONOUNS:
            return _ENGLISH_PRONOUNS[form][self.gender == "f"]
        return f"{self.en}'s" if form == "s" else _only(self.en, form, self)

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: the name, `s` (genitive), and the pronouns of `Noun`."""
        if form in _PRONOUNS:
            return _PRONOUNS[form]["mf".index(self.gender)]
        name = self.en.capitalize()
        return f"{name}s" if form == "s" else _only(name, form, self)


@dataclasses.dataclass(frozen=True)
class Action:
    """A verb phrase: English infinitive, past and -ing form; German infinitive, participle and auxiliary."""

    en: str
    past: str
    ing: str
    de: str
    participle: str
    with_sein: bool

    def english(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: infinitive, `past`, `ing`."""
        return {"": self.en, "past": self.past, "ing": self.ing}[form]

    def german(self, form: str = "", other: Entry | None = None) -> str:
        """Forms: infinitive, `part` (participle), and `habe`, `hat`, `haben` (the auxiliary of that person)."""
        if form in ("", "part"):
            return self.participle if form else self.de
        habe, bin_ = {"habe": ("habe", "bin"), "hat": ("hat", "ist"), "haben": ("haben", "sind")}[form]
        return bin_ if self.with_sein else habe


def _only(words: str, form: str, entry: object) -> str:
    if form:
        raise KeyError(f"{entry}: no form {form!r}")
    return words


def _elide(stem: str, ending: str) -> str:
    return "eur" + ending if stem == "euer" and ending else stem + ending


def _dative_plural(plural: str) -> str:
    first, _, rest = plural.partition(" ")  # "Tassen Tee": the first word carries the case
    dative = first if first.endswith(("n", "s")) else first + "n"
    return f"{dative} {rest}" if rest else dative


def with_article(words: str) -> str:
    """`words` with "a" or "an" before them, by sound rather than spelling where the two differ."""
    silent, glide = (
        words.startswith(("hour", "honest", "heir")),
        words.startswith(("uni", "one", "useful", "euro", "ewe")),
    )
    return ("an " if (words[0] in "aeiou" and not glide) or silent else "a ") + words


def nouns(lines: str) -> tuple[Noun, ...]:
    """Read `english[, plural] | der Deutsche[, Plural[, Oblique]]` lines; nouns without plural are mass nouns."""
    found = []
    for line in _lines(lines):
        english, german = (part.strip() for part in line.split("|"))
        en, _, en_plural = (part.strip() for part in english.partition(","))
        first, *further = (part.strip() for part in german.split(","))
        article, _, de = first.partition(" ")
        plural = further[0] if further else de
        oblique = further[1] if len(further) > 1 else ""
        found.append(Noun(en, en_plural or _plural(en), de, _ARTICLES[article], plural, oblique))
    return tuple(found)


def words(lines: str) -> tuple[Word, ...]:
    """Read `english | deutsch` lines."""
    pairs = ([part.strip() for part in line.split("|")] for line in _lines(lines))
    return tuple(Word(en, de) for en, de in pairs)


def adjectives(lines: str) -> tuple[Adjective, ...]:
    """Read `english | deutsch[, stem]` lines."""
    pairs = ([part.strip() for part in line.split("|")] for line in _lines(lines))
    return tuple(Adjective(en, *(part.strip() for part in de.split(","))) for en, de in pairs)


def actions(lines: str) -> tuple[Action, ...]:
    """Read `infinitive, past, -ing form | rest | Objekt infinitiv, partizip, hat` lines.

    `rest` is what follows the English verb ("a letter"); the German object precedes both verb forms.
    """
    found = []
    for line in _lines(lines):
        verb, rest, german = (part.strip() for part in line.split("|"))
        forms = [f"{form.strip()} {rest}".strip() for form in verb.split(",")]
        infinitive, participle, auxiliary = (part.strip() for part in german.split(","))
        head, _, _ = infinitive.rpartition(" ")
        found.append(Action(*forms, infinitive, f"{head} {participle}".strip(), auxiliary == "ist"))
    return tuple(found)


def listed(text: str) -> tuple[str, ...]:
    """The single words of a text."""
    return tuple(text.split())


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
