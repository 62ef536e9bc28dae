"""Adjectives, adverbials of time and place, and what people do."""

from duolect.data.synthetic.entries import actions, adjectives, nouns, words

LOOKS = adjectives("""
    new | neu
    old | alt
    red | rot
    blue | blau
    green | grün
    white | weiß
    black | schwarz
    small | klein
    big | groß
    cheap | billig
    expensive | teuer, teur
    beautiful | schön
    heavy | schwer
    plain | schlicht
    strange | seltsam
    pretty | hübsch
    grey | grau
    brown | braun
    yellow | gelb
    simple | einfach
    great | großartig
    rare | selten
    fine | fein
    ugly | hässlich
""")

TRAITS = adjectives("""
    big | groß
    small | klein
    white | weiß
    black | schwarz
    brown | braun
    grey | grau
    old | alt
    young | jung
    strange | seltsam
    beautiful | schön
    ugly | hässlich
    heavy | schwer
    wild | wild
    tame | zahm
    pretty | hübsch
    rare | selten
    fat | fett
    lame | lahm
    hungry | hungrig
    tired | müde
    weak | schwach
    pale | blass
""")

COLOURS = adjectives("""
    red | rot
    blue | blau
    green | grün
    white | weiß
    black | schwarz
    grey | grau
    brown | braun
    yellow | gelb
    pale blue | hellblau
    dark red | dunkelrot
""")

MOODS = adjectives("""
    tired | müde
    weak | schwach
    bored | gelangweilt
    happy | glücklich
    sad | traurig
    ill | krank
    hungry | hungrig
    thirsty | durstig
    angry | wütend
    nervous | nervös
    hoarse | heiser
    pale | blass
    alone | allein
    ready | bereit
    busy | beschäftigt
    proud | stolz
    quiet | still
    patient | geduldig
    idle | untätig
    calm | ruhig
    lonely | einsam
    cheerful | fröhlich
    polite | höflich
    surprised | überrascht
""")

TASTES = adjectives("""
    sweet | süß
    salty | salzig
    sour | sauer
    bitter | bitter
    hot | heiß
    cold | kalt
    weak | schwach
    dear | teuer
    dry | trocken
    plain | fad
    strong | stark
    old | alt
""")

QUALITIES = adjectives("""
    good | gut
    great | großartig
    fair | gerecht
    plain | schlicht
    boring | langweilig
    new | neu
    short | kurz
    clear | klar
    strange | seltsam
    useful | nützlich
    important | wichtig
    simple | einfach
    weak | schwach
    expensive | teuer
    bad | schlecht
    perfect | perfekt
    careful | sorgfältig
    brief | knapp
    honest | ehrlich
    correct | richtig
""")

SKIES = adjectives("""
    cold | kalt
    warm | warm
    wet | nass
    dry | trocken
    mild | mild
    grey | grau
    cloudy | bewölkt
    windy | windig
    rainy | regnerisch
    fine | schön
    stormy | stürmisch
    foggy | neblig
    hot | heiß
    cool | kühl
    sunny | sonnig
    bright | heiter
""")

WEATHER = nouns("""
    rain | der Regen
    snow | der Schnee
    hail | der Hagel
    fog | der Nebel
    frost | der Frost
    wind | der Wind
    sun | die Sonne
    mist | der Dunst
    sleet | der Schneeregen
    thunder | der Donner
    ice | das Eis
    drizzle | der Nieselregen
    heat | die Hitze
    dew | der Tau
""")

PAIRS = words("""
    shoes | Schuhe
    boots | Stiefel
    socks | Socken
    gloves | Handschuhe
    sandals | Sandalen
    earrings | Ohrringe
    slippers | Hausschuhe
    skates | Schlittschuhe
    skis | Skier
    stockings | Strümpfe
    mittens | Fäustlinge
    sneakers | Turnschuhe
""")

GIFTS = words("""
    flowers | Blumen
    roses | Rosen
    chocolates | Pralinen
    books | Bücher
    lilies | Lilien
    candles | Kerzen
    tulips | Tulpen
    pears | Birnen
    nuts | Nüsse
    biscuits | Kekse
    cookies | Plätzchen
    berries | Beeren
    stamps | Briefmarken
    toys | Spielsachen
    sweets | Süßigkeiten
    beads | Perlen
""")

SPOTS = words("""
    by the sea | am Meer
    in the wood | im Wald
    on the beach | am Strand
    near the river | am Fluss
    on the island | auf der Insel
    behind the church | hinter der Kirche
    by the lake | am See
    under the old bridge | unter der alten Brücke
    in the main square | auf dem Hauptplatz
    at the bus stop | an der Bushaltestelle
    on the quay | am Kai
    in the bay | in der Bucht
    by the creek | am Bach
    on the hill | auf dem Hügel
    in the valley | im Tal
    in the village | im Dorf
    at the market | auf dem Markt
    in the harbour | im Hafen
    at the corner | an der Ecke
    by the main road | an der Hauptstraße
    on the pier | auf der Mole
    in the meadow | auf der Wiese
    by the gate | am Tor
    in the car park | auf dem Parkplatz
    at the farm | auf dem Bauernhof
    in front of the inn | vor dem Gasthaus
    at the fair | auf dem Jahrmarkt
    by the stairs | an der Treppe
    in the barn | in der Scheune
    by the well | am Brunnen
""")

GOALS = words("""
    to the sea | ans Meer
    into the wood | in den Wald
    to the beach | zum Strand
    to the river | zum Fluss
    to the island | zur Insel
    to the lake | an den See
    to the bay | in die Bucht
    to the quay | zum Kai
    up the hill | auf den Hügel
    through the valley | durch das Tal
    over the bridge | über die Brücke
    to the harbour | zum Hafen
    to the market | zum Markt
    through the wood | durch den Wald
    to the main road | zur Hauptstraße
    along the coast | an der Küste entlang
    to the fair | zum Jahrmarkt
    across the field | über das Feld
    to the village | ins Dorf
    through the gate | durch das Tor
    past the church | an der Kirche vorbei
    home | nach Hause
""")

SOON = words("""
    tomorrow | morgen
    tonight | heute Abend
    today | heute
    this week | diese Woche
    next week | nächste Woche
    next month | nächsten Monat
    next year | nächstes Jahr
    on monday | am Montag
    on tuesday | am Dienstag
    on friday | am Freitag
    on sunday | am Sonntag
    at the weekend | am Wochenende
    in an hour | in einer Stunde
    in two weeks | in zwei Wochen
    in four days | in vier Tagen
    after work | nach der Arbeit
    before eight | vor acht
    tomorrow night | morgen Abend
    at noon | am Mittag
    later today | heute noch
""")

AGO = words("""
    yesterday | gestern
    last night | gestern Abend
    last week | letzte Woche
    last month | letzten Monat
    last year | letztes Jahr
    on monday | am Montag
    on thursday | am Donnerstag
    on saturday | am Samstag
    this morning | heute Morgen
    an hour ago | vor einer Stunde
    two days ago | vor zwei Tagen
    four weeks ago | vor vier Wochen
    one year ago | vor einem Jahr
    last summer | letzten Sommer
    last winter | letzten Winter
    eight days ago | vor acht Tagen
    a week ago | vor einer Woche
    at the weekend | am Wochenende
""")

PARTS_OF_DAY = words("""
    in the morning | am Morgen
    in the afternoon | am Nachmittag
    in the evening | am Abend
    at night | in der Nacht
    at noon | am Mittag
    at midnight | um Mitternacht
""")

ACTIONS = actions("""
    buy, bought, buying | some bread | Brot kaufen, gekauft, hat
    write, wrote, writing | a letter | einen Brief schreiben, geschrieben, hat
    meet, met, meeting | an old friend | einen alten Freund treffen, getroffen, hat
    sail, sailed, sailing | to the island | zur Insel segeln, gesegelt, ist
    hear, heard, hearing | the news | die Nachrichten hören, gehört, hat
    wait, waited, waiting | for the bus | auf den Bus warten, gewartet, hat
    see, saw, seeing | the doctor | zum Arzt gehen, gegangen, ist
    weigh, weighed, weighing | the parcel | das Paket wiegen, gewogen, hat
    read, read, reading | the whole book | das ganze Buch lesen, gelesen, hat
    knead, kneaded, kneading | the dough | den Teig kneten, geknetet, hat
    brew, brewed, brewing | some tea | Tee kochen, gekocht, hat
    pay, paid, paying | the fare | den Fahrpreis bezahlen, bezahlt, hat
    sell, sold, selling | the old car | das alte Auto verkaufen, verkauft, hat
    send, sent, sending | the mail | die Post verschicken, verschickt, hat
    break, broke, breaking | a cup | eine Tasse zerbrechen, zerbrochen, hat
    peel, peeled, peeling | the pears | die Birnen schälen, geschält, hat
    sew, sewed, sewing | a new dress | ein neues Kleid nähen, genäht, hat
    sow, sowed, sowing | some corn | Mais säen, gesät, hat
    paint, painted, painting | the door | die Tür streichen, gestrichen, hat
    repair, repaired, repairing | the roof | das Dach reparieren, repariert, hat
    feed, fed, feeding | the horses | die Pferde füttern, gefüttert, hat
    ride, rode, riding | through the wood | durch den Wald reiten, geritten, ist
    row, rowed, rowing | across the lake | über den See rudern, gerudert, ist
    climb, climbed, climbing | the hill | auf den Hügel steigen, gestiegen, ist
    walk, walked, walking | by the sea | am Meer spazieren gehen, spazieren gegangen, ist
    clean, cleaned, cleaning | the kitchen floor | den Küchenboden putzen, geputzt, hat
    fry, fried, frying | some meat | Fleisch braten, gebraten, hat
    bake, baked, baking | a cake | einen Kuchen backen, gebacken, hat
    wash, washed, washing | the plates | die Teller waschen, gewaschen, hat
    call, called, calling | the plumber | den Klempner anrufen, angerufen, hat
    play, played, playing | the guitar | Gitarre spielen, gespielt, hat
    sing, sang, singing | in the choir | im Chor singen, gesungen, hat
    catch, caught, catching | the last train | den letzten Zug nehmen, genommen, hat
    miss, missed, missing | the plane | das Flugzeug verpassen, verpasst, hat
    fly, flew, flying | to rome | nach Rom fliegen, geflogen, ist
    drive, drove, driving | to the coast | an die Küste fahren, gefahren, ist
    stay, stayed, staying | at home | zu Hause bleiben, geblieben, ist
    throw, threw, throwing | the ball | den Ball werfen, geworfen, hat
    blow out, blew out, blowing out | the candles | die Kerzen ausblasen, ausgeblasen, hat
    grow, grew, growing | some flowers | Blumen züchten, gezüchtet, hat
    wear, wore, wearing | the blue coat | den blauen Mantel tragen, getragen, hat
    tear up, tore up, tearing up | the letter | den Brief zerreißen, zerrissen, hat
    find, found, finding | the right road | die richtige Straße finden, gefunden, hat
    watch, watched, watching | the birds | die Vögel beobachten, beobachtet, hat
    take, took, taking | a break | eine Pause machen, gemacht, hat
    mow, mowed, mowing | the grass | den Rasen mähen, gemäht, hat
    hire, hired, hiring | a car | ein Auto mieten, gemietet, hat
    sort, sorted, sorting | the mail | die Post sortieren, sortiert, hat
    check, checked, checking | the brakes | die Bremsen prüfen, geprüft, hat
    tow, towed, towing | the van | den Lieferwagen abschleppen, abgeschleppt, hat
    plan, planned, planning | the trip | die Reise planen, geplant, hat
    cut, cut, cutting | the hedge | die Hecke schneiden, geschnitten, hat
    fix, fixed, fixing | the pipe | das Rohr reparieren, repariert, hat
    water, watered, watering | the roses | die Rosen gießen, gegossen, hat
    win, won, winning | the game | das Spiel gewinnen, gewonnen, hat
    lose, lost, losing | the key | den Schlüssel verlieren, verloren, hat
    choose, chose, choosing | a present | ein Geschenk aussuchen, ausgesucht, hat
    build, built, building | a shed | einen Schuppen bauen, gebaut, hat
    dig, dug, digging | a hole | ein Loch graben, gegraben, hat
    carry, carried, carrying | the wood | das Holz tragen, getragen, hat
""")

JOURNEYS = actions("""
    ride, rode, riding | through the wood | durch den Wald reiten, geritten, ist
    sail, sailed, sailing | across the sea | über das Meer segeln, gesegelt, ist
    lose, lost, losing | the golden ring | den goldenen Ring verlieren, verloren, hat
    find, found, finding | the right way | den richtigen Weg finden, gefunden, hat
    hear, heard, hearing | a strange tale | ein seltsames Märchen hören, gehört, hat
    see, saw, seeing | a bear | einen Bären sehen, gesehen, hat
    steal, stole, stealing | the steel sword | das Stahlschwert stehlen, gestohlen, hat
    slay, slew, slaying | the boar | das Wildschwein erlegen, erlegt, hat
    throw, threw, throwing | the key away | den Schlüssel wegwerfen, weggeworfen, hat
    know, knew, knowing | no fear | keine Angst kennen, gekannt, hat
    make, made, making | peace | Frieden schließen, geschlossen, hat
    row, rowed, rowing | to the island | zur Insel rudern, gerudert, ist
    win, won, winning | the fight | den Kampf gewinnen, gewonnen, hat
    flee, fled, fleeing | into the night | in die Nacht fliehen, geflohen, ist
    write, wrote, writing | a long letter | einen langen Brief schreiben, geschrieben, hat
    blow, blew, blowing | the horn | ins Horn blasen, geblasen, hat
    dig, dug, digging | a deep hole | ein tiefes Loch graben, gegraben, hat
    eat, ate, eating | the whole cake | den ganzen Kuchen essen, gegessen, hat
    meet, met, meeting | the queen | die Königin treffen, getroffen, hat
    sell, sold, selling | the last cow | die letzte Kuh verkaufen, verkauft, hat
    fight, fought, fighting | in the war | im Krieg kämpfen, gekämpft, hat
    bring, brought, bringing | some flowers | Blumen mitbringen, mitgebracht, hat
    wait, waited, waiting | at the gate | am Tor warten, gewartet, hat
    sing, sang, singing | a sad song | ein trauriges Lied singen, gesungen, hat
""")
