"""Templates for travel, finding the way, and the weather."""

from duolect.data.synthetic.domains.openers import QUESTION, STATEMENT
from duolect.data.synthetic.grammar import templates

TRAVEL = """
the train to {city} leaves from platform {small} at {clock}
    der Zug nach {city} fährt um {clock} von Gleis {small} ab
the plane from {city} was {small} hours late {ago}
    das Flugzeug aus {city} hatte {ago} {small} Stunden Verspätung
we went to {port} by {vehicle} and to {city} by {car}
    wir sind mit {vehicle:dem} nach {port} und mit {car:dem} nach {city} gereist
?how much is the fare to {city} by {car} {soon}
    wie viel kostet {soon} die Fahrt nach {city} mit {car:dem}
{name} missed the {vehicle} to {port} {ago}
    {name} hat {ago} {vehicle:den} nach {port} verpasst
i have been to {city} {small} times and to {port} once
    ich war schon {small} Mal in {city} und einmal in {port}
we sailed from {port} to {port2} in {small} days
    wir sind in {small} Tagen von {port} nach {port2} gesegelt
our {car} broke down on the road to {city} {ago}
    {car:unser} ist {ago} auf der Straße nach {city} liegen geblieben
i lost my {look} {item} on the plane to {city}
    ich habe {item:meinen look} im Flugzeug nach {city} verloren
the main road from {port} to {city} is closed for {small} weeks
    die Hauptstraße von {port} nach {city} ist {small} Wochen lang gesperrt
?would you like to go to {country} or to {city} {soon}
    möchtest du {soon} nach {country} oder nach {city} fahren
{name} drove through {country} and {country2} in {small} days
    {name} ist in {small} Tagen durch {country} und {country2} gefahren
{name} and the whole crew knew the way to {port}
    {name} und die ganze Mannschaft kannten den Weg nach {port}
they rode in a {car} from {city} to {city2}
    sie sind mit {car:einem} von {city} nach {city2} gefahren
there is a ferry from {port} to {port2} at {clock}
    es gibt um {clock} eine Fähre von {port} nach {port2}
{name} sent us a card from {country} in {month}
    {name} hat uns im {month} eine Karte aus {country} geschickt
?please wait for the night train to {city} on platform {small}
    bitte warte auf Gleis {small} auf den Nachtzug nach {city}
i'd like {small} seats on the plane to {city} {soon}
    ich hätte {soon} gerne {small} Plätze im Flugzeug nach {city}
the mail boat sails to {port} on {day} at {clock}
    das Postschiff fährt am {day} um {clock} nach {port}
my {kin} flew to {city} and back in one day
    {kin:mein} ist an einem Tag nach {city} und zurück geflogen
"""

DIRECTIONS = """
?take the {few} road on the right after the {place} or the {place2}
    nimm die {few:e} Straße rechts nach {place:dem} oder {place2:dem}
the {place} is {small} miles from the {place2}
    {place:der} ist {small} Meilen {place2:vom} entfernt
?turn left at the {place} and go straight to the {place2}
    geh {place:beim} links und dann geradeaus {place2:zum}
?which way is the {place} from the {place2}
    wo geht es {place2:vom} {place:zum}
my {kin} lives in the road behind the {place}
    {kin:mein} wohnt in der Straße hinter {place:dem}
?is there {place:a} near the {place2} or by the sea
    gibt es {place:einen} in der Nähe {place2:des} oder am Meer
you will see the {place} from the {place2} tower
    du wirst {place:den} vom Turm neben {place2:dem} sehen
the bridge is between the {place} and the {place2}
    die Brücke ist zwischen {place:dem} und {place2:dem}
?which bus goes from the {place} to the {place2}
    welcher Bus fährt {place:vom} {place2:zum}
the {place} is on the main square opposite the {place2}
    {place:der} ist am Hauptplatz gegenüber {place2:dem}
we passed the {place} {small} times in one hour
    wir sind in einer Stunde {small} Mal {place:am} vorbeigekommen
?go past the {place} and wait for {name} by the {place2}
    geh {place:am} vorbei und warte {place2:beim} auf {name}
i left my {item} in the {place} {ago}
    ich habe {ago} {item:meinen} {place:im} gelassen
their {item} is over there by the {opening} of the {place}
    {item:ihr} ist dort drüben {opening:beim} {place:des}
{name} and {name2} walked {goal} in {small} hours
    {name} und {name2} sind in {small} Stunden {goal} gelaufen
you can't see the {place} {spot} from here
    man kann {place:den} {spot} von hier nicht sehen
?would you show {name} the way to the {place} {soon}
    würdest du {name} {soon} den Weg {place:zum} zeigen
there is {item:a look} lying in the road near the {place}
    in der Nähe {place:des} liegt {item:ein look} auf der Straße
"""

WEATHER = """
the weather in {city} will be {sky} {soon}
    das Wetter in {city} wird {soon} {sky}
there will be {weather} and {weather2} in {country} {soon}
    in {country} gibt es {soon} {weather} und {weather2}
?do you know whether {name} will be in {city} {soon}
    weißt du ob {name} {soon} in {city} sein wird
it rained for {small} days and {small2} nights in {city}
    es hat in {city} {small} Tage und {small2} Nächte geregnet
the wind blew from the sea {ago} and the sky was {sky}
    der Wind wehte {ago} vom Meer und der Himmel war {sky}
the {season} in {country} was {sky} and too short
    der {season} in {country} war {sky} und zu kurz
it was {sky} {daypart} and {sky2} {daypart2}
    es war {daypart} {sky} und {daypart2} {sky2}
because of so much {weather} the {place} is closed {soon}
    wegen so viel {weather} ist {place:der} {soon} geschlossen
we knew the {weather} would come through the valley of {city}
    wir wussten {weather:der} würde durch das Tal von {city} kommen
the sun shone on our {item} by the {place}
    die Sonne schien {place:beim} auf {item:unseren}
our son loves the {weather} in {country} in {month}
    unser Sohn mag {weather:den} in {country} im {month}
?where will you go {soon} if the weather is too {sky}
    wohin gehst du {soon} wenn das Wetter zu {sky} ist
the mist {spot} was gone by {clock} {ago}
    der Dunst {spot} war {ago} um {clock} weg
it is {tens} degrees in {city} and {tens2} degrees in {city2}
    es sind {tens} Grad in {city} und {tens2} Grad in {city2}
?wear a warm {clothes} it will be {sky} {soon}
    trag {clothes:einen +warm} es wird {soon} {sky}
{name} hates the {weather} {spot} {daypart}
    {name} hasst {daypart} {weather:den} {spot}
the roads to {city} and {city2} are bad after so much {weather}
    die Straßen nach {city} und {city2} sind nach so viel {weather} schlecht
not a single cloud was seen {spot} for {small} days
    {spot} war {small} Tage lang keine einzige Wolke zu sehen
"""

TEMPLATES = (
    *templates("travel", TRAVEL, STATEMENT, QUESTION),
    *templates("directions", DIRECTIONS, STATEMENT, QUESTION),
    *templates("weather", WEATHER, STATEMENT, QUESTION),
)
