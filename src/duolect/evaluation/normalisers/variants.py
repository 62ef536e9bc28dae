"""What the leaderboard takes for the same since 2026: compounds, names with several spellings, spelled acronyms."""

from __future__ import annotations

import re

# One word for words that a hyphen may have joined.
_COMPOUNDS = """
et cetera: etc | al right: alright | all right: alright | how ever: however | wi fi: wifi | hi fi: hifi | lo fi: lofi
sci fi: scifi | e mail: email | e book: ebook | e commerce: ecommerce | x ray: xray | t shirt: tshirt
a m: am | p m: pm | o k: okay
"""

# Each name, and the spellings of it that become it.
_NAMES = """
aaron aron | alfonso alphonso | alison allison alyson | allen alan allan | anne ann | anthony antony | arthur artur
brett bret | brian bryan | bridget bridgette | caitlin kaitlin kaitlyn katelyn | carl karl | carol carole carrol carroll
catherine catharine katherine kathryn | cathy kathy | charlie charley charly | chris kris | christina kristina
christopher cristopher kristopher | colin collin | deborah devorah | dennis denis | dominic dominick | douglas douglass
dylan dillon | eric erick erik | fatima fatimah | frederick frederik fredrick | gail gayle | gary garry | greg gregg
henry henri | ivonne yvonne | jackie jacky | jamie jaime | jason jayson | jeff geoff | jeffrey geoffrey jeffery
joanne joane joann | john jon | jonathan johnathan jonathon | joseph josef | karen caren caryn karin
kelly kelley kelli kellye | kevin kevan | kristin kristen | laurie lori | lawrence laurence | lee leigh | leslie lesley
lily lilly | linda lynda | lindsay lindsey linsey | louis lewis | lucas lukas | lynn lynne | mark marc | martin martyn
matthew mathew | mcarthur macarthur | mccarthy macarthy maccarthy | mccartney macartney | mcdonald macdonald
mcgowan macgowan | mcintosh macintosh | mcintyre macintyre | mckay mackay | mckenzie mackenzie | mclean maclean
mcleod macleod | mcmillan macmillan | mcnamara macnamara | megan meghan | michael micheal | michelle michele
miriam myriam | mohammed mahomet mohamad mohamed mohammad mouhamad mouhamed muhamad muhammad muhammed | molly mollie
natalie nathalie | neil neal | nicholas nicolas | nicole nikole | patrick patrik | peter pieter | philip phillip
rachel rachael | rajiv rajeev | rebecca rebekah | rob robb | robin robyn | roger rodger | ronda rhonda | russell russel
sally sallie | sarah sara | sean shaun shawn | shane shayne | sherry cheri sheri sherrie | simon symon
stacy stacey stacie | steven stephen | stuart stewart | susanne suzanne | teresa theresa | terry terri | thomas tomas
toby tobey | tony toni | tracy tracey tracie | veronica veronika | victor viktor | victoria viktoria | walter walther
yousef yusef yusuf | zach zak | zachary zachery zackary
"""


def name_variants() -> dict[str, str]:
    """Spelling of a name → the one that stands for all."""
    groups = (group.split() for line in _NAMES.strip().splitlines() for group in line.split("|"))
    return {other: name for name, *others in groups for other in others}


class CompoundJoiner:
    """Writes the known compounds as one word; expects text without hyphens."""

    def __init__(self) -> None:
        entries = (entry.split(":") for line in _COMPOUNDS.strip().splitlines() for entry in line.split("|"))
        self._joined: dict[tuple[str, ...], str] = {tuple(parts.split()): word.strip() for parts, word in entries}
        self._seconds = frozenset(second for _, second in self._joined)
        self._form = re.compile("|".join(rf"\b{first}\s+{second}\b" for first, second in self._joined))

    def __call__(self, text: str) -> str:
        if self._seconds.isdisjoint(text.split()):
            return text
        return self._form.sub(lambda found: self._joined[tuple(found.group().split())], text)


def join_acronyms(words: list[str]) -> list[str]:
    """Neighbouring single letters or digits as one word: "b b c" → "bbc", "5 g" → "5g".

    At least two of them; three where "a" or "i" is among them, which are words of their own.
    """
    if sum(len(word) == 1 for word in words) < 2:
        return words
    found: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if len(word) == 1 and word.isalnum():
            run.append(word)
            continue
        if run:
            enough = 3 if "a" in run or "i" in run else 2
            found += ["".join(run)] if len(run) >= enough else run
            run = []
        found.append(word)
    return found[:-1]
