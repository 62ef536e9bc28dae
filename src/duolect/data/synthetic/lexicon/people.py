"""Names, relatives, occupations and the characters of stories; cities and countries; days, months and seasons."""

from duolect.data.synthetic.entries import Name, listed, nouns, words

_WOMEN = listed("""
    anna mary kate jane rose grace sue claire dawn emma laura sarah julia helen lucy alice ellen nora clara ruth eva
    maria linda susan diana sophie carol heidi olivia hannah martha amy joan nina paula vera
""")
_MEN = listed("""
    peter mark bill jack tom will ray robin jim phil finn pete nick dean neil mike barry harry paul david daniel martin
    george oliver simon robert henry walter adam ben leo oscar victor frank edward art
""")
NAMES = tuple(Name(name, "f") for name in _WOMEN) + tuple(Name(name, "m") for name in _MEN)

KIN = nouns("""
    mother | die Mutter, Mütter
    father | der Vater, Väter
    son | der Sohn, Söhne
    daughter | die Tochter, Töchter
    aunt | die Tante, Tanten
    uncle | der Onkel, Onkel
    brother | der Bruder, Brüder
    sister | die Schwester, Schwestern
    cousin | der Cousin, Cousins
    grandmother | die Großmutter, Großmütter
    grandfather | der Großvater, Großväter
    niece | die Nichte, Nichten
    nephew | der Neffe, Neffen, Neffen
    neighbour | der Nachbar, Nachbarn, Nachbarn
    friend | der Freund, Freunde
    boss | der Chef, Chefs
    teacher | der Lehrer, Lehrer
    godmother | die Patin, Patinnen
""")

JOBS = nouns("""
    doctor | der Arzt, Ärzte
    teacher | der Lehrer, Lehrer
    nurse | die Krankenschwester, Krankenschwestern
    baker | der Bäcker, Bäcker
    mayor | der Bürgermeister, Bürgermeister
    seller | der Verkäufer, Verkäufer
    driver | der Fahrer, Fahrer
    pilot | der Pilot, Piloten, Piloten
    farmer | der Bauer, Bauern, Bauern
    lawyer | der Anwalt, Anwälte
    principal | der Schulleiter, Schulleiter
    waiter | der Kellner, Kellner
    painter | der Maler, Maler
    sailor | der Matrose, Matrosen, Matrosen
    captain | der Kapitän, Kapitäne
    soldier | der Soldat, Soldaten, Soldaten
    writer | der Schriftsteller, Schriftsteller
    dentist | der Zahnarzt, Zahnärzte
    plumber | der Klempner, Klempner
    engineer | der Ingenieur, Ingenieure
    student | der Student, Studenten, Studenten
    tailor | der Schneider, Schneider
    singer | die Sängerin, Sängerinnen
    butcher | der Metzger, Metzger
    judge | der Richter, Richter
    clerk | der Angestellte, Angestellten, Angestellten
    guest | der Gast, Gäste
    buyer | der Käufer, Käufer
    manager | der Geschäftsführer, Geschäftsführer
    gardener | der Gärtner, Gärtner
    journalist | die Journalistin, Journalistinnen
    electrician | der Elektriker, Elektriker
""")

HEROES = nouns("""
    knight | der Ritter, Ritter
    king | der König, Könige
    queen | die Königin, Königinnen
    prince | der Prinz, Prinzen, Prinzen
    princess | die Prinzessin, Prinzessinnen
    sailor | der Matrose, Matrosen, Matrosen
    farmer | der Bauer, Bauern, Bauern
    hunter | der Jäger, Jäger
    witch | die Hexe, Hexen
    giant | der Riese, Riesen, Riesen
    thief, thieves | der Dieb, Diebe
    miller | der Müller, Müller
    fisherman, fishermen | der Fischer, Fischer
    soldier | der Soldat, Soldaten, Soldaten
    monk | der Mönch, Mönche
    nun | die Nonne, Nonnen
    heir | der Erbe, Erben, Erben
    duke | der Herzog, Herzöge
    rider | der Reiter, Reiter
    shepherd | der Hirte, Hirten, Hirten
    wizard | der Zauberer, Zauberer
    maid | die Magd, Mägde
    goose girl | die Gänsemagd, Gänsemägde
    tailor | der Schneider, Schneider
    beggar | der Bettler, Bettler
    merchant | der Kaufmann, Kaufleute
""")

CITIES = words("""
    london | London
    paris | Paris
    rome | Rom
    munich | München
    vienna | Wien
    berlin | Berlin
    madrid | Madrid
    prague | Prag
    cologne | Köln
    geneva | Genf
    zurich | Zürich
    brussels | Brüssel
    warsaw | Warschau
    milan | Mailand
    florence | Florenz
    moscow | Moskau
    york | York
    leeds | Leeds
    bath | Bath
    cork | Cork
    reading | Reading
    oxford | Oxford
    cambridge | Cambridge
    edinburgh | Edinburgh
    glasgow | Glasgow
    cardiff | Cardiff
    manchester | Manchester
    chicago | Chicago
    new york | New York
    toronto | Toronto
    tokyo | Tokio
    cairo | Kairo
    lyon | Lyon
    salzburg | Salzburg
""")

PORTS = words("""
    lisbon | Lissabon
    athens | Athen
    dover | Dover
    hamburg | Hamburg
    naples | Neapel
    oslo | Oslo
    boston | Boston
    dublin | Dublin
    venice | Venedig
    stockholm | Stockholm
    copenhagen | Kopenhagen
    genoa | Genua
    barcelona | Barcelona
    sydney | Sydney
    plymouth | Plymouth
    bristol | Bristol
    helsinki | Helsinki
    nice | Nizza
    cape town | Kapstadt
    liverpool | Liverpool
""")

COUNTRIES = words("""
    france | Frankreich
    germany | Deutschland
    england | England
    scotland | Schottland
    ireland | Irland
    wales | Wales
    spain | Spanien
    portugal | Portugal
    italy | Italien
    greece | Griechenland
    austria | Österreich
    norway | Norwegen
    sweden | Schweden
    finland | Finnland
    denmark | Dänemark
    poland | Polen
    hungary | Ungarn
    russia | Russland
    china | China
    japan | Japan
    india | Indien
    egypt | Ägypten
    canada | Kanada
    mexico | Mexiko
    brazil | Brasilien
    chile | Chile
    peru | Peru
    kenya | Kenia
""")

DAYS = words("""
    monday | Montag
    tuesday | Dienstag
    wednesday | Mittwoch
    thursday | Donnerstag
    friday | Freitag
    saturday | Samstag
    sunday | Sonntag
""")

MONTHS = words("""
    january | Januar
    february | Februar
    march | März
    april | April
    may | Mai
    june | Juni
    july | Juli
    august | August
    september | September
    october | Oktober
    november | November
    december | Dezember
""")

SEASONS = words("""
    spring | Frühling
    summer | Sommer
    autumn | Herbst
    winter | Winter
""")
