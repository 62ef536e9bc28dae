"""Words that sound alike, or nearly so: what a recogniser can only tell apart by their context."""

from collections.abc import Iterable

from duolect.data.synthetic.entries import listed


def _groups(lines: str) -> tuple[tuple[str, ...], ...]:
    return tuple(listed(line) for line in lines.strip().splitlines())


HOMOPHONES = _groups("""
    for four fore
    their there they're
    write right rite
    sail sale
    to two too
    see sea
    hear here
    know no
    knows nose
    knew new
    buy by bye
    week weak
    meet meat
    son sun
    flour flower
    flowers flours
    weather whether
    ate eight
    one won
    hour our
    hours ours
    mail male
    pair pear
    pairs pears
    plain plane
    road rode rowed
    tale tail
    tales tails
    wait weight
    waits weights
    weigh way
    weighs ways
    waist waste
    would wood
    threw through
    brake break
    brakes breaks
    cell sell
    cellar seller
    cells sells
    cent sent scent
    dear deer
    fair fare
    hole whole
    knight night
    nights knights
    made maid
    main mane
    peace piece
    principal principle
    rain reign
    role roll
    roles rolls
    steal steel
    where wear
    which witch
    allowed aloud
    bare bear
    board bored
    blue blew
    red read
    aunt ant
    be bee
    boar bore
    heir air
    horse hoarse
    hare hair
    ball bawl
    bell belle
    pail pale
    pain pane
    toe tow
    toes tows
    towed toad
    eye i aye
    sore saw soar
    sauce source
    tea tee
    pea pee
    peas pees
    leek leak
    steak stake
    thyme time
    currant current
    mussel muscle
    mussels muscles
    cereal serial
    berry bury barry
    plum plumb
    beet beat
    knead need
    dough doe
    sew so sow
    war wore
    court caught
    hall haul
    floor flaw
    ceiling sealing
    gate gait
    inn in
    quay key
    creek creak
    great grate
    grey gray
    patient patients
    guest guessed
    tailor taylor
    nun none
    sought sort
    past passed
    led lead
    bred bread
    seen scene
    straight strait
    stairs stares
    oh owe
    oar or
    but butt
    not knot
    hi high
    hire higher
    flew flu flue
    piece peace
    who's whose
    it's its
    you're your
    you yew
    we wee
    i'll isle aisle
    rose rows
    mark marc
    jim gym
    phil fill
    finn fin
    pete peat
    neil kneel
    barry berry
    harry hairy
    art aren't
    ray re
    greece grease
    wales whales wails
    hungary hungry
    cork caulk
    rome roam
    nice niece
    dew due do
    missed mist
    died dyed
    paws pause
    herd heard
    ring wring
    rap wrap
    heel heal he'll
    idle idol
""")

# Apart in careful speech, or in some accents.
NEAR_HOMOPHONES = _groups("""
    brew bruise
    bow beau
    mary merry marry
    dawn don
    an anne
    and end
    then than
    off of
    this these
    is his
    ship sheep
    bed bad
    pan pen
    bag back
    cap cup
    coat court
    great grade
    mare mayor
    we're were where
    thirteen thirty
    fourteen forty
    fifteen fifty
    sixteen sixty
    seventeen seventy
    eighteen eighty
    nineteen ninety
""")


def _alike(groups: Iterable[tuple[str, ...]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for group in groups:
        for word in group:
            found[word] = found.get(word, frozenset()) | (frozenset(group) - {word})
    return found


_STRICT, _LOOSE = _alike(HOMOPHONES), _alike(HOMOPHONES + NEAR_HOMOPHONES)


def sound_alikes(word: str, near: bool = False) -> frozenset[str]:
    """The other words that sound like `word`, with `near` also those nearly alike; empty for an unmistakable word."""
    return (_LOOSE if near else _STRICT).get(word, frozenset())
