"""Templates for family and names, and for small talk."""

from duolect.data.synthetic.domains.openers import QUESTION, STATEMENT
from duolect.data.synthetic.grammar import templates

FAMILY = """
this is {name} and that is {name:his} {kin}
    das ist {name} und das ist {kin:sein@name}
{name:s} {kin} has {small} sons and one daughter
    {name:s} {kin} hat {small} Söhne und eine Tochter
their {kin} is {tens} years old and lives with {name}
    {kin:ihr} ist {tens} Jahre alt und wohnt bei {name}
our {kin} knows {name} and {name2} very well
    {kin:unser} kennt {name} und {name2} sehr gut
?have you met {name} and {name:his} {kin} from {city}
    hast du {name} und {kin:seinen@name} aus {city} getroffen
{name} wrote to {name:his} {kin} {ago}
    {name} hat {ago} an {kin:seinen@name} geschrieben
my {kin} and i will visit {name} in {city}
    {kin:mein} und ich werden {name} in {city} besuchen
{name} has known my {kin} since {year}
    {name} kennt {kin:meinen} seit {year}
?who's the {job} whose {kin} lives in {city}
    wer ist {job:der} {job:dessen} {kin} in {city} wohnt
dear {name} your {kin} is here with {name2}
    {name:lieber} {name} {kin:dein} ist mit {name2} hier
my aunt's {kin} won {item:a look} at the fair
    {kin:der} meiner Tante hat auf dem Jahrmarkt {item:einen look} gewonnen
{name} and {name2} have named their son {name3}
    {name} und {name2} haben ihren Sohn {name3} genannt
the heir of {name:s} {kin} is {tens} years old
    der Erbe von {name:s} {kin:acc} ist {tens} Jahre alt
{name} would not read {name:his} {kin} the {text}
    {name} wollte {kin:seinem@name} {text:den} nicht vorlesen
we sent {name} some {gift} and {name:his} {kin} {item:a}
    wir haben {name} {gift} und {kin:seinem@name} {item:einen} geschickt
my {kin} brought {name} some {gift} and {item:a look}
    {kin:mein} hat {name} {gift} und {item:einen look} mitgebracht
the whole family ate {dish:a} with {name} {ago}
    die ganze Familie hat {ago} mit {name} {dish:einen} gegessen
{name} is the {few} of {small} children and {name2} the last
    {name} ist das {few:e} von {small} Kindern und {name2} das letzte
their {kin} will be {tens} next {day}
    {kin:ihr} wird nächsten {day} {tens}
"""

SMALL_TALK = """
?how are you {name} you and your {kin} look {mood}
    wie geht es dir {name} du und {kin:dein} seht {mood} aus
?did you hear that {name} is {mood} again
    hast du gehört dass {name} wieder {mood} ist
{name} was too {mood} and did not want to {act} {ago}
    {name} war zu {mood} und wollte {ago} nicht {act}
i don't know whether {name} will {act} {soon}
    ich weiß nicht ob {name} {soon} {act} wird
?would you like to {act} with us {soon}
    möchtest du {soon} mit uns {act}
it's so nice to see you here {name} your {kin} is {mood}
    es ist so schön dich hier zu sehen {name} {kin:dein} ist {mood}
we {act:past} and then we {act2:past}
    wir {act:haben} {act:part} und dann {act2:haben} wir {act2:part}
?do you know {name} no but i know {name:his} {kin}
    kennst du {name} nein aber ich kenne {kin:seinen@name}
{name} and i {act:past} {ago}
    {name} und ich {act:haben} {ago} {act:part}
you're right {name} {act:past} {ago}
    du hast recht {name} {act:hat} {ago} {act:part}
?who's going to {act} and whose {item} is this
    wer wird {act} und wem gehört {item:dieser}
i was bored so i {act:past} {daypart}
    mir war langweilig also {act:habe} ich {daypart} {act:part}
?have you seen my {look} {item} {spot}
    hast du {item:meinen look} {spot} gesehen
{name} never knew that my {kin} was {mood}
    {name} hat nie gewusst dass {kin:mein} {mood} war
?are you allowed to {act} on {day}
    darfst du am {day} {act}
?let's meet {spot} on {day} at {clock}
    treffen wir uns am {day} um {clock} {spot}
{name} thinks the {text} about the {animal} is {quality}
    {name} findet {text:den} über {animal:den} {quality}
it's your turn to {act} {soon}
    du bist {soon} dran und musst {act}
they're over there with their {item} and {item2:a look}
    sie sind dort drüben mit {item:ihrem} und {item2:einem look}
?thank you for the {gift} {name} they're for my {kin}
    danke für die {gift} {name} sie sind für {kin:meinen}
"""

TEMPLATES = (
    *templates("family", FAMILY, STATEMENT, QUESTION),
    *templates("talk", SMALL_TALK, STATEMENT, QUESTION),
)
