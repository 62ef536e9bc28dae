"""Templates for the office, and for school and leisure."""

from duolect.data.synthetic.domains.openers import QUESTION, STATEMENT
from duolect.data.synthetic.grammar import templates

WORK = """
?please send the {paper} to {name} by {day}
    bitte schick {paper:den} bis {day} an {name}
{name} will write the {paper} {soon}
    {name} wird {soon} {paper:den} schreiben
the {paper} for {name} is {small} pages too long
    {paper:der} für {name} ist {small} Seiten zu lang
our boss read the {paper} aloud {ago}
    unser Chef hat {ago} {paper:den} laut vorgelesen
we are not allowed to sell the {item:pl} in {country}
    wir dürfen die {item:pl} in {country} nicht verkaufen
the board will meet {name} on {day} at {clock}
    der Vorstand trifft {name} am {day} um {clock}
sales in {country} rose by {tens} percent in {month}
    der Umsatz in {country} ist im {month} um {tens} Prozent gestiegen
?could you check the {paper} before {clock} {soon}
    könntest du {paper:den} {soon} vor {clock} prüfen
there are {small} mistakes in their {paper} for the {job}
    in {paper:ihrem} für {job:den} sind {small} Fehler
{name} took a break and read the {paper} {spot}
    {name} hat eine Pause gemacht und {spot} {paper:den} gelesen
the new {job} starts on the {ordinal} of {month}
    {job:der +neu} fängt am {ordinal:ten} {month} an
{name} has worked for the {job} for {small} years
    {name} arbeitet seit {small} Jahren für {job:den}
we hired {small} new people for the {place} in {city}
    wir haben {small} neue Leute für {place:den} in {city} eingestellt
the mail from {city} came through at {clock}
    die Post aus {city} kam um {clock} an
?who wrote the {paper} that {name} sent to the {job}
    wer hat {paper:den} geschrieben {paper:racc} {name} {job:dem} geschickt hat
the role of the {job} is not clear to {name}
    die Rolle {job:des} ist {name} nicht klar
my {kin} sells {item:pl} and {item2:pl} in {city}
    {kin:mein} verkauft {item:pl} und {item2:pl} in {city}
{name} knew the {paper} was {quality} before {clock}
    {name} wusste vor {clock} dass {paper:der} {quality} war
the {paper} goes to the {job} in the {place}
    {paper:der} geht an {job:den} {place:im}
their {job} lost {hundreds} dollars in one hour
    {job:ihr} hat in einer Stunde {hundreds} Dollar verloren
"""

LEISURE = """
{name} read the whole {text} in {small} hours
    {name} hat {text:den +ganz} in {small} Stunden gelesen
?would you read us the {text} about the {animal}
    würdest du uns {text:den} über {animal:den} vorlesen
the {few} {text} in the book is about {animal:a}
    {text:der few} im Buch handelt von {animal:einem}
we won the game by {small} points in {city} {ago}
    wir haben {ago} das Spiel in {city} mit {small} Punkten gewonnen
{name} threw the ball through the {opening} of the {place}
    {name} hat den Ball durch {opening:den} {place:des} geworfen
our {kin} plays the flute for {name} on {day}
    {kin:unser} spielt am {day} Flöte für {name}
in the {text} {animal:a} meets {animal2:a trait}
    {text:im} trifft {animal:ein} {animal2:einen trait}
{name} learned to write {text:a} at school in {city}
    {name} hat in der Schule in {city} gelernt wie man {text:einen} schreibt
we heard the band {spot} play for {small} hours
    wir haben die Band {spot} {small} Stunden lang spielen hören
?who ate the {fruit:pl} and who read the {text}
    wer hat die {fruit:pl} gegessen und wer hat {text:den} gelesen
{name:s} {text} won the {few} prize in {city}
    {name:s} {text} hat in {city} den {few:en} Preis gewonnen
the principal knew every {text} by heart in {year}
    der Schulleiter kannte im Jahr {year} {text:jeden} auswendig
{name} and {name2} rode their bicycles {goal} {ago}
    {name} und {name2} sind {ago} mit dem Fahrrad {goal} gefahren
there's no seat left for the {show} at {clock}
    für {show:den} um {clock} gibt es keinen Platz mehr
my {kin} paints {animal:pl} and {colour} flowers {daypart}
    {kin:mein} malt {daypart} {animal:pl} und {colour:e} Blumen
?do you know the main idea of the {text} on page {tens}
    kennst du die Hauptidee {text:des} auf Seite {tens}
the class has to write about {animal:a trait} by {day}
    die Klasse muss bis {day} über {animal:einen trait} schreiben
{name} plays the role of the {hero} in the new play
    {name} spielt im neuen Theaterstück die Rolle {hero:des}
"""

TEMPLATES = (
    *templates("work", WORK, STATEMENT, QUESTION),
    *templates("leisure", LEISURE, STATEMENT, QUESTION),
)
