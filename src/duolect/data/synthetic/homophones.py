"""Words that sound alike, or nearly so: what a recogniser can only tell apart by their context."""

HOMOPHONES: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split())
    for line in """
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
    weighed wade
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
    pieces peaces
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
    bees bs
    boar bore
    heir air
    horse hoarse
    hare hair
    mare mayor
    ball bawl
    bell belle
    bow beau
    pail pale
    pain pane
    heel heal heels
    toe tow
    toes tows
    towed toad
    eye i aye
    eyes ice
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
    brew bruise
    sew so sow
    grown groan
    war wore
    court caught
    hall haul
    floor flaw
    ceiling sealing
    gate gait
    inn in
    quay key
    creek creak
    wait weight
    great grate
    grey gray
    idle idol
    patient patients
    patience patients
    guest guessed
    tailor taylor
    nun none
    sought sort
    past passed
    led lead
    bred bread
    fined find
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
    scene seen
    who's whose
    it's its
    you're your
    you yew
    we wee
    he'll heal
    i'd eyed
    i'll isle aisle
    rose rows
    rows rose
    mark marc
    bill bil
    jim gym
    phil fill
    finn fin
    pete peat
    neil kneel
    barry berry
    harry hairy
    mary merry marry
    claire clare
    dawn don
    art aren't
    sue sew
    ray re
    greece grease
    wales whales wails
    hungary hungry
    cork caulk
    rome roam
    nice niece
    dew due do
    sleet sleek
    missed mist
    died dyed
    paws pause
    herd heard
    ring wring
    rap wrap
    ad add
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
    thirteen thirty
    fourteen forty
    fifteen fifty
    sixteen sixty
    seventeen seventy
    eighteen eighty
    nineteen ninety
    """.strip().splitlines()
)


def sound_alikes(word: str) -> frozenset[str]:
    """The other words that `word` may be mistaken for by ear alone; empty for an unmistakable word."""
    return _ALIKE.get(word, frozenset())


_ALIKE: dict[str, frozenset[str]] = {}
for _group in HOMOPHONES:
    for _word in _group:
        _ALIKE[_word] = _ALIKE.get(_word, frozenset()) | (frozenset(_group) - {_word})
