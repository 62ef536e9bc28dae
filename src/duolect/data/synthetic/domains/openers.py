"""Words a sentence may begin with; the German ones leave the word order of a main clause as it is.

Each set is a tuple of groups: a group is drawn first, then one of its (English, German) entries.
"""

from duolect.data.synthetic.lexicon.people import NAMES

_NAMED_STATEMENT = tuple(
    pair
    for name in NAMES
    for pair in (
        (f"{name.en} says", f"{name.german()} sagt"),
        (f"{name.en} thinks", f"{name.german()} glaubt"),
        (f"i told {name.en}", f"ich sagte {name.german()}"),
    )
)
_NAMED_QUESTION = tuple((f"hey {name.en}", f"hey {name.german()}") for name in NAMES) + tuple(
    (f"dear {name.en}", f"{name.german('lieber')} {name.german()}") for name in NAMES
)

STATEMENT = (
    (
        ("i think", "ich glaube"),
        ("i know", "ich weiß"),
        ("she says", "sie sagt"),
        ("he said", "er sagte"),
        ("i'm sure", "ich bin sicher"),
        ("well", "nun"),
        ("but", "aber"),
        ("and", "und"),
        ("you know", "weißt du"),
        ("sorry but", "tut mir leid aber"),
        ("no", "nein"),
        ("yes", "ja"),
        ("believe me", "glaub mir"),
        ("my aunt says", "meine Tante sagt"),
        ("oh", "oh"),
        ("they told me", "man sagte mir"),
    ),
    _NAMED_STATEMENT,
)

QUESTION = (
    (
        ("excuse me", "entschuldige"),
        ("sorry", "Verzeihung"),
        ("hello", "hallo"),
        ("by the way", "übrigens"),
        ("and", "und"),
        ("listen", "hör mal"),
        ("oh", "oh"),
        ("right", "gut"),
        ("one more thing", "noch etwas"),
        ("hey there", "hey du"),
    ),
    _NAMED_QUESTION,
)

STORY = (
    (
        ("they say", "man sagt"),
        ("and", "und"),
        ("but", "aber"),
        ("the tale says", "das Märchen sagt"),
        ("you must know", "du musst wissen"),
        ("alas", "ach"),
    ),
    tuple((f"{name.en} told me", f"{name.german()} erzählte mir") for name in NAMES),
)
