"""Cardinals, ordinals, years and times of day, spelled out in English and German."""

from duolect.data.synthetic.entries import Adjective, Word, listed

_ENGLISH = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ENGLISH_TENS = listed("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
_ENGLISH_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"} | {
    "nine": "ninth",
    "twelve": "twelfth",
}
_GERMAN = listed(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
)
_GERMAN_TENS = listed("_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_GERMAN_ORDINALS = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}


def english_number(value: int) -> str:
    """A whole number 0 ≤ value < 1000 in words, without hyphens: 342 is "three hundred and forty two"."""
    if value < 20:
        return _ENGLISH[value]
    if value < 100:
        return _ENGLISH_TENS[value // 10] + (f" {_ENGLISH[value % 10]}" if value % 10 else "")
    head = f"{_ENGLISH[value // 100]} hundred"
    return head + (f" and {english_number(value % 100)}" if value % 100 else "")


def german_number(value: int) -> str:
    """A whole number 0 ≤ value < 1000 as one German word: 342 is "dreihundertzweiundvierzig"."""
    if value < 20:
        return _GERMAN[value]
    if value < 100:
        unit, tens = value % 10, _GERMAN_TENS[value // 10]
        return f"{'ein' if unit == 1 else _GERMAN[unit]}und{tens}" if unit else tens
    head = ("ein" if value // 100 == 1 else _GERMAN[value // 100]) + "hundert"
    return head + (german_number(value % 100) if value % 100 else "")


def english_ordinal(value: int) -> str:
    """An ordinal 1 ≤ value < 100 in words: 21 is "twenty first"."""
    head, _, last = english_number(value).rpartition(" ")
    last = _ENGLISH_ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head} {last}".strip()


def german_ordinal(value: int) -> str:
    """The stem of an ordinal 1 ≤ value < 100, without ending: 3 is "dritt", 21 is "einundzwanzigst"."""
    return _GERMAN_ORDINALS.get(value) or german_number(value) + ("t" if value < 20 else "st")


def _cardinal(value: int) -> Word:
    return Word(english_number(value), german_number(value))


def _ordinal(value: int) -> Word:
    stem = german_ordinal(value)
    return Word(english_ordinal(value), stem + "e", (("te", stem + "e"), ("ten", stem + "en")))


def _year(value: int) -> Word:
    century, rest = divmod(value, 100)
    english = f"{english_number(century)} {english_number(rest)}"
    german = f"{german_number(century)}hundert{german_number(rest)}"
    return Word(english, german)


def _clock(hour: int, minute: int) -> Word:
    after = hour % 12 + 1
    english, german = english_number(hour), german_number(hour)
    english_next, german_next = english_number(after), german_number(after)
    if minute == 0:
        return Word(f"{english} o'clock", f"{'ein' if hour == 1 else german} Uhr")
    if minute == 30:
        return Word(f"half past {english}", f"halb {german_next}")
    past = minute < 30
    distance = minute if past else 60 - minute
    english_distance = "quarter" if distance == 15 else english_number(distance)
    german_distance = "Viertel" if distance == 15 else german_number(distance)
    if past:
        return Word(f"{english_distance} past {english}", f"{german_distance} nach {german}")
    return Word(f"{english_distance} to {english_next}", f"{german_distance} vor {german_next}")


DIGITS = tuple(_cardinal(value) for value in range(1, 10))
SMALL = tuple(_cardinal(value) for value in range(2, 13))
TENS = tuple(_cardinal(value) for value in range(13, 100) if value % 10 != 1)
HUNDREDS = tuple(_cardinal(value) for value in range(200, 1000) if value % 100 in (0, 20, 42, 44, 48, 50, 82, 84, 90))
ORDINALS = tuple(_ordinal(value) for value in range(2, 32))
FEW_ORDINALS = tuple(Adjective(english_ordinal(value), german_ordinal(value)) for value in range(1, 6))
YEARS = tuple(_year(value) for value in range(1820, 2000) if value % 100 > 12)
CLOCK = tuple(_clock(hour, minute) for hour in range(1, 13) for minute in (0, 5, 10, 15, 20, 30, 40, 45, 50, 55))
