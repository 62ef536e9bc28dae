"""Templates for time and appointments, shopping and numbers, food and restaurants."""

from duolect.data.synthetic.domains.openers import QUESTION, STATEMENT
from duolect.data.synthetic.grammar import templates

TIME = """
the meeting is on {day} at {clock}
    die Besprechung ist am {day} um {clock}
we will meet on the {ordinal} of {month} at {clock}
    wir treffen uns am {ordinal:ten} {month} um {clock}
{name:s} {kin} was born on the {ordinal} of {month}
    {name:s} {kin} wurde am {ordinal:ten} {month} geboren
{name} has been waiting here for {small} hours
    {name} wartet hier seit {small} Stunden
it took {name} {small} days and one hour to get here
    {name} hat {small} Tage und eine Stunde gebraucht um herzukommen
the {place} is closed for {small} weeks in {month}
    {place:der} ist im {month} {small} Wochen geschlossen
?can you be there by {clock} on {day}
    kannst du am {day} bis {clock} da sein
the {place} opens at {clock} and closes at {clock2}
    {place:der} öffnet um {clock} und schließt um {clock2}
in {year} the {place} was in a different street
    im Jahr {year} war {place:der} in einer anderen Straße
{name} and {name2} got married on {day} the {ordinal} of {month}
    {name} und {name2} haben am {day} dem {ordinal:ten} {month} geheiratet
?is {clock} all right for you and your {kin}
    passt {clock} dir und {kin:deinem}
i haven't seen {name} for {small} weeks and {digit} days
    ich habe {name} seit {small} Wochen und {digit} Tagen nicht gesehen
we knew {name} and {name2} would be late on {day}
    wir wussten {name} und {name2} würden am {day} zu spät kommen
next {day} i have no time before {clock}
    nächsten {day} habe ich vor {clock} keine Zeit
it is {clock} and our {kin} is not here yet
    es ist {clock} und {kin:unser} ist noch nicht hier
there are {tens} days to go before the {season} sale
    es sind noch {tens} Tage bis zum Ausverkauf im {season}
{name} will be {tens} on the {ordinal} of {month}
    {name} wird am {ordinal:ten} {month} {tens}
?would you write the date down it is the {ordinal} of {month}
    schreibst du das Datum auf es ist der {ordinal:te} {month}
"""

SHOPPING = """
the {item} costs {small} pounds and {tens} pence
    {item:der} kostet {small} Pfund und {tens} Pence
i need to buy {small} {fruit:pl} and some {grocery}
    ich muss {small} {fruit:pl} und etwas {grocery} kaufen
the {item:pl} are on sale for {tens} dollars
    die {item:pl} sind für {tens} Dollar im Angebot
?where can i buy {item:a look} near the {place}
    wo kann ich in der Nähe {place:des} {item:einen look} kaufen
this {look} {item} is far too dear for me
    {item:dieser look} ist mir viel zu teuer
we sold {tens} {item:pl} in {small} days
    wir haben in {small} Tagen {tens} {item:pl} verkauft
{name} won {hundreds} pounds and bought {item:a look}
    {name} hat {hundreds} Pfund gewonnen und {item:einen look} gekauft
i bought {small} pairs of {pairs} for my {kin}
    ich habe {small} Paar {pairs} für {kin:meinen} gekauft
the seller sent {name} {item:a look} by mail
    der Verkäufer hat {name} {item:einen look} mit der Post geschickt
she paid {tens} pounds for {item:a} and one pear
    sie hat {tens} Pfund für {item:einen} und eine Birne bezahlt
our number is {digit} {digit2} {digit3} {digit4}
    unsere Nummer ist {digit} {digit2} {digit3} {digit4}
the code for the {room} door is {digit} {digit2} {digit3}
    der Code für die Tür {room:des} ist {digit} {digit2} {digit3}
{name} counted {tens} {item:pl} but {name2} counted {tens2}
    {name} hat {tens} {item:pl} gezählt aber {name2} hat {tens2} gezählt
all {tens} {pairs} in the {colour} box were the wrong size
    alle {tens} {pairs} in der {colour:en} Schachtel hatten die falsche Größe
?do they sell {colour} {pairs} in the shop near the {place}
    verkauft man {colour:e} {pairs} in dem Laden in der Nähe {place:des}
that {look} {item} is not worth {hundreds} dollars
    {item:dieser look} ist keine {hundreds} Dollar wert
i don't have a cent left for {item:a look}
    ich habe keinen Cent mehr für {item:einen look}
?would you wear this {colour} {clothes} to the {place}
    würdest du {place:im} {clothes:diesen colour} tragen
the bill for two {item:pl} came to {hundreds} pounds
    die Rechnung für zwei {item:pl} betrug {hundreds} Pfund
"""

FOOD = """
i would like {dish:a} and {drink:a} please
    ich hätte gerne {dish:einen} und {drink:einen} bitte
we ate {small} {fruit:pl} and {dish:a} at {clock}
    wir haben um {clock} {small} {fruit:pl} und {dish:einen} gegessen
?mix the flour with {small} {fruit:pl} and some {grocery}
    mische das Mehl mit {small} {fruit:pln} und etwas {grocery}
the {dish} was good but the {grocery} was too {taste}
    {dish:der} war gut aber {grocery:der} war zu {taste}
{name} ate the whole {dish} at {clock}
    {name} hat um {clock} {dish:den +ganz} gegessen
?do you know how to make {dish:a} without {grocery}
    weißt du wie man {dish:einen} ohne {grocery} macht
there is no {grocery} left in the {store}
    {store:im} ist {grocery:kein} mehr
my {kin} made {dish:a} with {fruit:pl}
    {kin:mein} hat {dish:einen} mit {fruit:pln} gemacht
i can't eat {food} or {fruit:pl} at night
    ich vertrage nachts weder {food} noch {fruit:pl}
the waiter brought {name} two {drink:pl} too many {ago}
    der Kellner hat {name} {ago} zwei {drink:pl} zu viel gebracht
?is there any {grocery} in this {dish}
    ist in {dish:diesem} {grocery}
{name} would rather have {dish:a} than {dish2:a}
    {name} hätte lieber {dish:einen} als {dish2:einen}
?buy the {grocery} here and the {fruit:pl} over there
    kauf {grocery:den} hier und die {fruit:pl} dort drüben
the {fruit:pl} need {small} more minutes in the oven
    die {fruit:pl} brauchen noch {small} Minuten im Ofen
?pass me the {grocery} and {fruit:a} please
    reich mir bitte {grocery:den} und {fruit:einen}
this {dish} needs more {grocery} and less {grocery2}
    {dish:dieser} braucht mehr {grocery} und weniger {grocery2}
all the {food} went to waste because {name} was ill
    {food:der +ganz} ist verdorben weil {name} krank war
dessert for {small} people please {fruit:pl} with cream
    bitte Nachtisch für {small} Personen {fruit:pl} mit Sahne
{name} is allowed one {fruit} and {dish:a} {daypart}
    {name} darf {daypart} {fruit:einen} und {dish:einen} essen
?could my {kin} have {drink:a} with {name:s} {dish}
    kann {kin:mein} {drink:einen} zu {dish:dem} von {name} haben
"""

TEMPLATES = (
    *templates("time", TIME, STATEMENT, QUESTION),
    *templates("shopping", SHOPPING, STATEMENT, QUESTION),
    *templates("food", FOOD, STATEMENT, QUESTION),
)
