"""Templates for the home, for health, and for animals and the farm."""

from duolect.data.synthetic.domains.openers import QUESTION, STATEMENT
from duolect.data.synthetic.grammar import templates

HOME = """
the {part} in the {room} broke again {ago}
    {part:der} {room:im} ist {ago} wieder kaputtgegangen
{name} put the {item} in the {room} {ago}
    {name} hat {ago} {item:den} {room:inden} gebracht
?please close the {opening} and bring the {item} here
    bitte mach {opening:den} zu und bring {item:den} her
there's a hole in the {surface} of the {room}
    {surface:im} {room:des} ist ein Loch
we painted the {surface} {colour} in {small} hours
    wir haben {surface:den} in {small} Stunden {colour} gestrichen
the {colour} {item} would look better in the {room}
    {item:der colour} würde {room:im} besser aussehen
?where is the {item} that {name} bought {ago}
    wo ist {item:der} {item:racc} {name} {ago} gekauft hat
my {kin} has made a new {item} out of wood
    {kin:mein} hat {item:einen +neu} aus Holz gemacht
{name} wore {clothes:a look} in the {room}
    {name} trug {room:im} {clothes:einen look}
the maid cleaned the {room} and the {room2} {ago}
    das Dienstmädchen hat {ago} {room:den} und {room2:den} geputzt
a plumber came to fix the {part} at {clock}
    ein Klempner kam um {clock} und hat {part:den} repariert
?don't throw the {look} {item} away {name} needs it
    wirf {item:den look} nicht weg {name} braucht {item:ihn}
the {item} in the {room} weighs {tens} pounds
    {item:der} {room:im} wiegt {tens} Pfund
{name} will sew {small} {colour} curtains for the {room}
    {name} wird {small} {colour:e} Vorhänge für {room:den} nähen
the stairs to the {room} are too steep for {name}
    die Treppe {room:zum} ist zu steil für {name}
we need a new {part} and {small} {item:pl}
    wir brauchen {part:einen +neu} und {small} {item:pl}
their {room} is bare but for {item:a look}
    {room:ihr} ist bis auf {item:einen look} leer
i can hear the {animal} through the {opening} {daypart}
    ich kann {daypart} {animal:den} durch {opening:den} hören
?pull the {item} to the {part} and wait there for {name}
    zieh {item:den} {part:zum} und warte dort auf {name}
"""

HEALTH = """
{name} has had {symptom:a} for {small} days
    {name} hat seit {small} Tagen {symptom:einen}
my {limb} still hurts after {small} weeks and {digit} days
    {limb:mein} tut nach {small} Wochen und {digit} Tagen immer noch weh
?take one pill {small} times a day for your {limb} {name}
    nimm für {limb:deinen} {small} Mal am Tag eine Tablette {name}
the doctor looked at {name:s} {limb} {ago}
    der Arzt hat sich {ago} {limb:den} von {name} angesehen
your {limb} will heal in {small} weeks {name}
    {limb:dein} wird in {small} Wochen heilen {name}
{name} hurt {name:his} {limb} {ago}
    {name} hat sich {ago} {limb:den} verletzt
?tell me {name} does your {limb} hurt more {daypart}
    sag mir {name} tut {limb:dein} {daypart} mehr weh
{name} has felt weak and {mood} for {small} weeks
    {name} fühlt sich seit {small} Wochen schwach und {mood}
the nurse told {name} not to {act} for {small} days
    die Krankenschwester sagte {name} darf {small} Tage lang nicht {act}
the pain in {name:s} {limb} is worse {daypart}
    {name:s} Schmerz {limb:im} ist {daypart} schlimmer
you should see a doctor about the {wound} on your {limb} {name}
    du solltest mit {wound:dem} an {limb:deinem} zum Arzt gehen {name}
my {kin} is in {city} in hospital with {symptom:a}
    {kin:mein} ist mit {symptom:einem} in {city} im Krankenhaus
?are you allowed to eat {food} with your {symptom} {name}
    darfst du mit {symptom:deinem} {food} essen {name}
{name} lost {tens} pounds in {small} months
    {name} hat in {small} Monaten {tens} Pfund abgenommen
the {job} could not work {ago} because of {symptom:a}
    {job:der} konnte {ago} mit {symptom:einem} nicht arbeiten
i hit my {limb} on the {part} {ago}
    ich habe mir {ago} {limb:den} {part:am} gestoßen
?wait for the nurse there she'll check your {limb} at {clock}
    warte dort auf die Krankenschwester sie untersucht um {clock} {limb:deinen}
{name} ate too much {food} and now feels ill
    {name} hat zu viel {food} gegessen und fühlt sich jetzt krank
?drink {drink:a} and your {symptom} will go by {day}
    trink {drink:einen} und {symptom:dein} ist bis {day} weg
"""

ANIMALS = """
{name} saw {animal:a trait} {spot}
    {name} hat {spot} {animal:einen trait} gesehen
the {animal} ate all of our {fruit:pl} {ago}
    {animal:der} hat {ago} alle unsere {fruit:pl} gefressen
there were {small} {animal:pl} and one {animal2} {spot}
    {spot} waren {small} {animal:pl} und {animal2:ein}
the farmer sold {small} {animal:pl} and bought {animal2:a}
    der Bauer hat {small} {animal:pl} verkauft und {animal2:einen} gekauft
?have you ever seen {animal:a trait} {spot}
    hast du schon einmal {spot} {animal:einen trait} gesehen
a {colour} bird flew through the {opening} of the {place}
    ein {colour:er} Vogel flog durch {opening:den} {place:des}
we heard {animal:a} and {animal2:a} {spot} {daypart}
    wir haben {daypart} {spot} {animal:einen} und {animal2:einen} gehört
{name:s} {animal} has a sore foot and a pale nose
    {animal:der} von {name} hat einen wunden Fuß und eine blasse Nase
the {animal} ran {goal} with {name:s} {item}
    {animal:der} lief mit {item:dem} von {name} {goal}
?do {animal:pl} and {animal2:pl} eat {fruit:pl} or meat
    fressen {animal:pl} und {animal2:pl} {fruit:pl} oder Fleisch
our {trait} {animal} weighs more than {tens} pounds
    {animal:unser trait} wiegt mehr als {tens} Pfund
the {colour} tail of the {animal} is {small} feet long
    der {colour:e} Schwanz {animal:des} ist {small} Fuß lang
{name} fed the {animal} some {food} {ago}
    {name} hat {ago} {animal:den} mit {food} gefüttert
no {animal} can live {spot} without water
    {animal:kein} kann {spot} ohne Wasser leben
the {animal} slept in a hole {spot} for {small} weeks
    {animal:der} hat {small} Wochen in einem Loch {spot} geschlafen
their herd of {tens} cows is led {goal} by {name}
    ihre Herde mit {tens} Kühen wird von {name} {goal} geführt
my {kin} rode {animal:a} {goal} and bred {animal2:pl}
    {kin:mein} ritt auf {animal:einem} {goal} und züchtete {animal2:pl}
"""

TEMPLATES = (
    *templates("home", HOME, STATEMENT, QUESTION),
    *templates("health", HEALTH, STATEMENT, QUESTION),
    *templates("animals", ANIMALS, STATEMENT, QUESTION),
)
