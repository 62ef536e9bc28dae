"""Nouns for things: food and drink, belongings, the house, places in town, vehicles, animals, papers, the body."""

from duolect.data.synthetic.entries import listed, nouns

GROCERIES = nouns("""
    flour | das Mehl
    meat | das Fleisch
    bread | das Brot
    tea | der Tee
    coffee | der Kaffee
    milk | die Milch
    butter | die Butter
    cheese | der Käse
    rice | der Reis
    sugar | der Zucker
    salt | das Salz
    honey | der Honig
    juice | der Saft
    thyme | der Thymian
    cereal | das Müsli
    ham | der Schinken
    fish | der Fisch
    bacon | der Speck
    jam | die Marmelade
    oil | das Öl
    pepper | der Pfeffer
    garlic | der Knoblauch
    ginger | der Ingwer
    beef | das Rindfleisch
    chicken | das Hähnchen
    chocolate | die Schokolade
    cream | die Sahne
    wine | der Wein
    beer | das Bier
    vinegar | der Essig
    mustard | der Senf
    corn | der Mais
    sauce | die Soße
    pork | das Schweinefleisch
    lamb | das Lammfleisch
    parsley | die Petersilie
    yoghurt | der Joghurt
    celery | der Sellerie
    spinach | der Spinat
    cabbage | der Kohl
""")

_LIQUIDS = listed("tea coffee milk juice wine beer oil vinegar")
FOODS = tuple(noun for noun in GROCERIES if noun.en not in _LIQUIDS)

FRUIT = nouns("""
    pear | die Birne, Birnen
    apple | der Apfel, Äpfel
    plum | die Pflaume, Pflaumen
    peach | der Pfirsich, Pfirsiche
    cherry | die Kirsche, Kirschen
    berry | die Beere, Beeren
    lemon | die Zitrone, Zitronen
    orange | die Orange, Orangen
    leek | die Lauchstange, Lauchstangen
    pea | die Erbse, Erbsen
    bean | die Bohne, Bohnen
    carrot | die Karotte, Karotten
    potato, potatoes | die Kartoffel, Kartoffeln
    tomato, tomatoes | die Tomate, Tomaten
    onion | die Zwiebel, Zwiebeln
    mushroom | der Pilz, Pilze
    egg | das Ei, Eier
    grape | die Traube, Trauben
    date | die Dattel, Datteln
    nut | die Nuss, Nüsse
    currant | die Johannisbeere, Johannisbeeren
    beet | die Rübe, Rüben
    olive | die Olive, Oliven
    fig | die Feige, Feigen
    melon | die Melone, Melonen
    roll | das Brötchen, Brötchen
    banana | die Banane, Bananen
    cucumber | die Gurke, Gurken
    mussel | die Muschel, Muscheln
    sausage | die Wurst, Würste
    chestnut | die Kastanie, Kastanien
    strawberry | die Erdbeere, Erdbeeren
""")

DISHES = nouns("""
    steak | das Steak, Steaks
    salad | der Salat, Salate
    sandwich | das Sandwich, Sandwiches
    pizza | die Pizza, Pizzen
    omelette | das Omelett, Omeletts
    burger | der Burger, Burger
    pancake | der Pfannkuchen, Pfannkuchen
    curry | das Curry, Currys
    stew | der Eintopf, Eintöpfe
    dessert | der Nachtisch, Nachtische
    lobster | der Hummer, Hummer
    cake | der Kuchen, Kuchen
    waffle | die Waffel, Waffeln
    bowl of peas, bowls of peas | die Schale Erbsen, Schalen Erbsen
    plate of mussels, plates of mussels | der Teller Muscheln, Teller Muscheln
    piece of cake, pieces of cake | das Stück Kuchen, Stücke Kuchen
    slice of bread, slices of bread | die Scheibe Brot, Scheiben Brot
    leg of lamb, legs of lamb | die Lammkeule, Lammkeulen
    fish pie | die Fischpastete, Fischpasteten
    pear tart | die Birnentorte, Birnentorten
    leek soup | die Lauchsuppe, Lauchsuppen
    noodle soup | die Nudelsuppe, Nudelsuppen
    meat pie | die Fleischpastete, Fleischpasteten
    currant bun | das Rosinenbrötchen, Rosinenbrötchen
    fruit salad | der Obstsalat, Obstsalate
    cheese roll | das Käsebrötchen, Käsebrötchen
    baked potato, baked potatoes | die Ofenkartoffel, Ofenkartoffeln
    fried egg | das Spiegelei, Spiegeleier
""")

DRINKS = nouns("""
    cup of tea, cups of tea | die Tasse Tee, Tassen Tee
    cup of coffee, cups of coffee | die Tasse Kaffee, Tassen Kaffee
    glass of wine, glasses of wine | das Glas Wein, Gläser Wein
    glass of water, glasses of water | das Glas Wasser, Gläser Wasser
    bottle of beer, bottles of beer | die Flasche Bier, Flaschen Bier
    pot of tea, pots of tea | die Kanne Tee, Kannen Tee
    glass of milk, glasses of milk | das Glas Milch, Gläser Milch
    hot chocolate | der Kakao, Kakaos
    lemonade | die Limonade, Limonaden
    apple juice | der Apfelsaft, Apfelsäfte
    milk shake | der Milchshake, Milchshakes
""")

ITEMS = nouns("""
    coat | der Mantel, Mäntel
    hat | der Hut, Hüte
    shirt | das Hemd, Hemden
    dress | das Kleid, Kleider
    ring | der Ring, Ringe
    watch | die Armbanduhr, Armbanduhren
    phone | das Telefon, Telefone
    key | der Schlüssel, Schlüssel
    book | das Buch, Bücher
    bag | die Tasche, Taschen
    lamp | die Lampe, Lampen
    chair | der Stuhl, Stühle
    table | der Tisch, Tische
    bell | die Glocke, Glocken
    vase | die Vase, Vasen
    pen | der Stift, Stifte
    ball | der Ball, Bälle
    belt | der Gürtel, Gürtel
    umbrella | der Regenschirm, Regenschirme
    camera | die Kamera, Kameras
    radio | das Radio, Radios
    clock | die Uhr, Uhren
    box | die Schachtel, Schachteln
    cup | die Tasse, Tassen
    knife, knives | das Messer, Messer
    blanket | die Wolldecke, Wolldecken
    pillow | das Kissen, Kissen
    mirror | der Spiegel, Spiegel
    basket | der Korb, Körbe
    towel | das Handtuch, Handtücher
    scarf, scarves | der Schal, Schals
    jacket | die Jacke, Jacken
    wallet | der Geldbeutel, Geldbeutel
    suitcase | der Koffer, Koffer
    map | die Landkarte, Landkarten
    guitar | die Gitarre, Gitarren
    doll | die Puppe, Puppen
    kettle | der Wasserkessel, Wasserkessel
    broom | der Besen, Besen
    rug | der Teppich, Teppiche
    candle | die Kerze, Kerzen
    bottle | die Flasche, Flaschen
    spoon | der Löffel, Löffel
    plate | der Teller, Teller
    picture | das Bild, Bilder
    computer | der Computer, Computer
    pan | die Pfanne, Pfannen
    ladder | die Leiter, Leitern
    hammer | der Hammer, Hämmer
    rope | das Seil, Seile
    tent | das Zelt, Zelte
    bow | der Bogen, Bögen
    pail | der Eimer, Eimer
    bed | das Bett, Betten
    desk | der Schreibtisch, Schreibtische
    flute | die Flöte, Flöten
    drum | die Trommel, Trommeln
    toy | das Spielzeug, Spielzeuge
    purse | die Handtasche, Handtaschen
    kite | der Drachen, Drachen
""")

ROOMS = nouns("""
    kitchen | die Küche, Küchen
    cellar | der Keller, Keller
    garden | der Garten, Gärten
    bathroom | das Badezimmer, Badezimmer
    bedroom | das Schlafzimmer, Schlafzimmer
    garage | die Garage, Garagen
    hall | der Flur, Flure
    living room | das Wohnzimmer, Wohnzimmer
    pantry | die Speisekammer, Speisekammern
    shed | der Schuppen, Schuppen
    dining room | das Esszimmer, Esszimmer
    guest room | das Gästezimmer, Gästezimmer
    office | das Büro, Büros
    yard | der Hof, Höfe
""")

HOUSE_PARTS = nouns("""
    window | das Fenster, Fenster
    door | die Tür, Türen
    roof | das Dach, Dächer
    wall | die Wand, Wände
    floor | der Boden, Böden
    ceiling | die Zimmerdecke, Zimmerdecken
    sink | das Spülbecken, Spülbecken
    oven | der Ofen, Öfen
    fridge | der Kühlschrank, Kühlschränke
    gate | das Tor, Tore
    fence | der Zaun, Zäune
    stove | der Herd, Herde
    tap | der Wasserhahn, Wasserhähne
    chimney | der Schornstein, Schornsteine
    shower | die Dusche, Duschen
    lock | das Schloss, Schlösser
    pipe | das Rohr, Rohre
    washing machine | die Waschmaschine, Waschmaschinen
    door bell | die Türklingel, Türklingeln
    window pane | die Fensterscheibe, Fensterscheiben
    kitchen light | das Küchenlicht, Küchenlichter
    garden path | der Gartenweg, Gartenwege
    bath | die Badewanne, Badewannen
    cupboard | der Schrank, Schränke
""")

STORES = nouns("""
    kitchen | die Küche, Küchen
    pantry | die Speisekammer, Speisekammern
    cellar | der Keller, Keller
    fridge | der Kühlschrank, Kühlschränke
    cupboard | der Schrank, Schränke
    freezer | die Gefriertruhe, Gefriertruhen
    basket | der Korb, Körbe
    drawer | die Schublade, Schubladen
""")

SURFACES = nouns("""
    window | das Fenster, Fenster
    door | die Tür, Türen
    roof | das Dach, Dächer
    wall | die Wand, Wände
    floor | der Boden, Böden
    ceiling | die Zimmerdecke, Zimmerdecken
    gate | das Tor, Tore
    fence | der Zaun, Zäune
    cupboard | der Schrank, Schränke
    chimney | der Schornstein, Schornsteine
    balcony | der Balkon, Balkone
    shutter | der Fensterladen, Fensterläden
""")

OPENINGS = nouns("""
    window | das Fenster, Fenster
    door | die Tür, Türen
    gate | das Tor, Tore
    fence | der Zaun, Zäune
    window pane | die Fensterscheibe, Fensterscheiben
    hedge | die Hecke, Hecken
    roof | das Dach, Dächer
    entrance | der Eingang, Eingänge
""")

PLACES = nouns("""
    museum | das Museum, Museen
    church | die Kirche, Kirchen
    bakery | die Bäckerei, Bäckereien
    library | die Bibliothek, Bibliotheken
    hotel | das Hotel, Hotels
    hospital | das Krankenhaus, Krankenhäuser
    school | die Schule, Schulen
    park | der Park, Parks
    theatre | das Theater, Theater
    cinema | das Kino, Kinos
    cafe | das Café, Cafés
    castle | das Schloss, Schlösser
    restaurant | das Restaurant, Restaurants
    pharmacy | die Apotheke, Apotheken
    pub | die Kneipe, Kneipen
    zoo | der Zoo, Zoos
    post office | das Postamt, Postämter
    supermarket | der Supermarkt, Supermärkte
    town hall | das Rathaus, Rathäuser
    bookshop | die Buchhandlung, Buchhandlungen
    flower shop | der Blumenladen, Blumenläden
    bank | die Bank, Banken
    gallery | die Galerie, Galerien
    cathedral | der Dom, Dome
    inn | das Gasthaus, Gasthäuser
    station | der Bahnhof, Bahnhöfe
    stadium | das Stadion, Stadien
    university | die Universität, Universitäten
    court | das Gericht, Gerichte
    factory | die Fabrik, Fabriken
    swimming pool | das Schwimmbad, Schwimmbäder
    toy shop | der Spielzeugladen, Spielzeugläden
    butcher's shop | die Metzgerei, Metzgereien
""")

ROAD_VEHICLES = nouns("""
    bus | der Bus, Busse
    car | das Auto, Autos
    taxi | das Taxi, Taxis
    coach | der Reisebus, Reisebusse
    van | der Lieferwagen, Lieferwagen
    tram | die Straßenbahn, Straßenbahnen
    lorry | der Lastwagen, Lastwagen
    bicycle | das Fahrrad, Fahrräder
    motorbike | das Motorrad, Motorräder
""")

TRANSPORT = nouns("""
    train | der Zug, Züge
    bus | der Bus, Busse
    ferry | die Fähre, Fähren
    boat | das Boot, Boote
    coach | der Reisebus, Reisebusse
    tram | die Straßenbahn, Straßenbahnen
    plane | das Flugzeug, Flugzeuge
    ship | das Schiff, Schiffe
    night train | der Nachtzug, Nachtzüge
    night bus | der Nachtbus, Nachtbusse
    mail boat | das Postschiff, Postschiffe
""")

ANIMALS = nouns("""
    bear | der Bär, Bären, Bären
    deer, deer | das Reh, Rehe
    hare | der Hase, Hasen, Hasen
    horse | das Pferd, Pferde
    dog | der Hund, Hunde
    cat | die Katze, Katzen
    cow | die Kuh, Kühe
    sheep, sheep | das Schaf, Schafe
    goat | die Ziege, Ziegen
    fox | der Fuchs, Füchse
    wolf, wolves | der Wolf, Wölfe
    bird | der Vogel, Vögel
    duck | die Ente, Enten
    goose, geese | die Gans, Gänse
    mouse, mice | die Maus, Mäuse
    rabbit | das Kaninchen, Kaninchen
    lion | der Löwe, Löwen, Löwen
    tiger | der Tiger, Tiger
    seal | die Robbe, Robben
    owl | die Eule, Eulen
    pony | das Pony, Ponys
    donkey | der Esel, Esel
    toad | die Kröte, Kröten
    frog | der Frosch, Frösche
    gull | die Möwe, Möwen
    hen | die Henne, Hennen
    bee | die Biene, Bienen
    monkey | der Affe, Affen, Affen
    snake | die Schlange, Schlangen
    hedgehog | der Igel, Igel
    squirrel | das Eichhörnchen, Eichhörnchen
    boar | das Wildschwein, Wildschweine
    mare | die Stute, Stuten
    mule | das Maultier, Maultiere
    swan | der Schwan, Schwäne
    parrot | der Papagei, Papageien
""")

PAPERS = nouns("""
    report | der Bericht, Berichte
    contract | der Vertrag, Verträge
    letter | der Brief, Briefe
    invoice | die Rechnung, Rechnungen
    document | das Dokument, Dokumente
    plan | der Plan, Pläne
    file | die Akte, Akten
    form | das Formular, Formulare
    presentation | die Präsentation, Präsentationen
    draft | der Entwurf, Entwürfe
    survey | die Umfrage, Umfragen
    schedule | der Zeitplan, Zeitpläne
    budget | der Haushaltsplan, Haushaltspläne
    manual | das Handbuch, Handbücher
    offer | das Angebot, Angebote
    application | die Bewerbung, Bewerbungen
    list | die Liste, Listen
    message | die Nachricht, Nachrichten
    speech | die Rede, Reden
    order | die Bestellung, Bestellungen
    sales report | der Verkaufsbericht, Verkaufsberichte
    role plan | der Rollenplan, Rollenpläne
    tax form | das Steuerformular, Steuerformulare
    job offer | das Stellenangebot, Stellenangebote
""")

BODY = nouns("""
    back | der Rücken, Rücken
    foot, feet | der Fuß, Füße
    heel | die Ferse, Fersen
    knee | das Knie, Knie
    toe | die Zehe, Zehen
    hand | die Hand, Hände
    eye | das Auge, Augen
    ear | das Ohr, Ohren
    nose | die Nase, Nasen
    throat | der Hals, Hälse
    neck | der Nacken, Nacken
    shoulder | die Schulter, Schultern
    arm | der Arm, Arme
    leg | das Bein, Beine
    finger | der Finger, Finger
    wrist | das Handgelenk, Handgelenke
    waist | die Taille, Taillen
    elbow | der Ellbogen, Ellbogen
    ankle | der Knöchel, Knöchel
    thumb | der Daumen, Daumen
    head | der Kopf, Köpfe
    chest | die Brust, Brüste
    calf, calves | die Wade, Waden
    stomach | der Bauch, Bäuche
""")

READING = nouns("""
    tale | das Märchen, Märchen
    story | die Geschichte, Geschichten
    poem | das Gedicht, Gedichte
    novel | der Roman, Romane
    letter | der Brief, Briefe
    essay | der Aufsatz, Aufsätze
    play | das Theaterstück, Theaterstücke
    legend | die Legende, Legenden
    chapter | das Kapitel, Kapitel
    song | das Lied, Lieder
    diary | das Tagebuch, Tagebücher
    fairy tale | das Zaubermärchen, Zaubermärchen
    fable | die Fabel, Fabeln
    serial | die Fortsetzungsgeschichte, Fortsetzungsgeschichten
    comic | der Comic, Comics
    ballad | die Ballade, Balladen
    short story | die Kurzgeschichte, Kurzgeschichten
    theatre piece | das Bühnenstück, Bühnenstücke
""")

SHOWS = nouns("""
    play | das Theaterstück, Theaterstücke
    opera | die Oper, Opern
    concert | das Konzert, Konzerte
    film | der Film, Filme
    musical | das Musical, Musicals
    ballet | das Ballett, Ballette
    puppet show | das Puppentheater, Puppentheater
    magic show | die Zaubervorstellung, Zaubervorstellungen
    choir concert | das Chorkonzert, Chorkonzerte
    dance | der Tanz, Tänze
""")

CLOTHES = nouns("""
    coat | der Mantel, Mäntel
    hat | der Hut, Hüte
    shirt | das Hemd, Hemden
    dress | das Kleid, Kleider
    scarf, scarves | der Schal, Schals
    jacket | die Jacke, Jacken
    belt | der Gürtel, Gürtel
    jumper | der Pullover, Pullover
    cap | die Mütze, Mützen
    skirt | der Rock, Röcke
    blouse | die Bluse, Blusen
    suit | der Anzug, Anzüge
    waistcoat | die Weste, Westen
    apron | die Schürze, Schürzen
    bow tie | die Fliege, Fliegen
    tie | die Krawatte, Krawatten
    dressing gown | der Morgenmantel, Morgenmäntel
    veil | der Schleier, Schleier
""")

WOUNDS = nouns("""
    rash | der Ausschlag, Ausschläge
    burn | die Verbrennung, Verbrennungen
    bruise | der Bluterguss, Blutergüsse
    cut | die Schnittwunde, Schnittwunden
    swelling | die Schwellung, Schwellungen
    scar | die Narbe, Narben
    bite | der Biss, Bisse
    sting | der Stich, Stiche
    blister | die Blase, Blasen
""")

SYMPTOMS = nouns("""
    cold | die Erkältung, Erkältungen
    fever | das Fieber, Fieber
    cough | der Husten, Husten
    migraine | die Migräne, Migränen
    sore throat | die Halsentzündung, Halsentzündungen
    sprain | die Verstauchung, Verstauchungen
    cramp | der Krampf, Krämpfe
""")
