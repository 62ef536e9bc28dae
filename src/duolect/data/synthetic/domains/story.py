"""Templates for short narrative: knights, witches and sailors."""

from duolect.data.synthetic.domains.openers import STORY
from duolect.data.synthetic.grammar import templates

STORIES = """
one night the {hero} {journey:past} {spot}
    eines Nachts {journey:hat} {hero:der} {spot} {journey:part}
the {hero} {journey:past} and the {hero2} {journey2:past}
    {hero:der} {journey:hat} {journey:part} und {hero2:der} {journey2:hat} {journey2:part}
there once was {hero:a} who {journey:past}
    es war einmal {hero:ein} {hero:rnom} {journey:part} {journey:hat}
for {small} days the {hero} rode {goal} in the rain
    {small} Tage lang ritt {hero:der} im Regen {goal}
the {hero} knew the {hero2} had stolen the {look} {item}
    {hero:der} wusste dass {hero2:der} {item:den look} gestohlen hatte
the reign of the {hero} lasted for {tens} years and one day
    die Herrschaft {hero:des} dauerte {tens} Jahre und einen Tag
at night the {hero} wrote {text:a} about the {hero2}
    nachts schrieb {hero:der} {text:einen} über {hero2:den}
the {hero} threw the {item} into the sea {spot}
    {hero:der} warf {item:den} {spot} ins Meer
no one knew where the {hero} hid the {look} {item}
    niemand wusste wo {hero:der} {item:den look} versteckte
the {animal} told the {hero} a tale about the {hero2}
    {animal:der} erzählte {hero:dem} ein Märchen über {hero2:den}
deep in the wood lived {hero:a} with {small} {animal:pl}
    tief im Wald lebte {hero:ein} mit {small} {animal:pln}
the {hero} heard the {animal} through a hole in the wall
    {hero:der} hörte {animal:den} durch ein Loch in der Wand
which {hero} would steal {item:a} from {hero2:a}
    {hero:welcher} würde {hero2:einem} {item:einen} stehlen
the {hero} sent the {hero2} {small} letters by {animal}
    {hero:der} schickte {hero2:dem} {small} Briefe mit {animal:dem}
the {hero} was {mood} and had to wait {spot}
    {hero:der} war {mood} und musste {spot} warten
the main road was bare so the {mood} {hero} went {goal}
    die Hauptstraße war leer also ging {hero:der mood} {goal}
their son won the {item} and the heart of the {hero}
    ihr Sohn gewann {item:den} und das Herz {hero:des}
the witch made the {hero} into {animal:a trait}
    die Hexe verwandelte {hero:den} in {animal:einen trait}
in the end the {hero} and the {mood} {hero2} made their peace
    am Ende schlossen {hero:der} und {hero2:der mood} ihren Frieden
the {hero} bought {small} {animal:pl} from the {hero2} by the sea
    {hero:der} kaufte am Meer {small} {animal:pl} von {hero2:dem}
the {hero} sought {hero:his} {item} {spot} all night
    {hero:der} suchte {spot} die ganze Nacht {item:seinen@hero}
the {mood} {hero} who lost a foot could not flee {goal}
    {hero:der mood} mit nur einem Fuß konnte nicht {goal} fliehen
"""

TEMPLATES = templates("story", STORIES, STORY, STORY)
