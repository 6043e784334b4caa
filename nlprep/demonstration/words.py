"""Adjectives, verbs and names of times; `nlprep.demonstration.concepts` explains the columns."""

ADJECTIVES = {
    "colour": """
white blanc/blanche > snow milk winter
black noir/noire > night coal
red rouge > apple blood fire
blue bleu/bleue > sea sky
green vert/verte > grass leaf spring
yellow jaune > sun lemon corn
brown brun/brune > wood mud
grey gris/grise > cloud stone
pink rose > flower baby skin
purple violet/violette > grape plum
golden doré/dorée > gold wheat crown
""",
    "quality": """
big grand/grande < elephant house city
small petit/petite < mouse baby child
old vieux/vieille/vieil < castle granny church
new nouveau/nouvelle/nouvel < car computer shop
beautiful beau/belle/bel < flower princess sea
good bon/bonne < friend bread cake
bad mauvais/mauvaise < thief storm
young jeune < boy girl student
heavy lourd/lourde > stone iron
strong fort/forte > lion soldier
fast rapide > car horse plane
slow lent/lente > turtle donkey cart
clean propre > shirt bathroom
dirty sale > pig boot street
expensive cher/chère > gold ring hotel
cheap abordable > market plastic
dangerous dangereux/dangereuse > snake gun
clever malin/maline > fox
soft doux/douce > wool skin
sharp pointu/pointue > knife needle
fat gros/grosse < pig seal
tall haut/haute > giraffe tree
enormous énorme < whale mountain
noisy bruyant/bruyante > machine drum
elegant élégant/élégante > dress suit
modern moderne > city airport
broken cassé/cassée > window toy chair
empty vide > bottle fridge box
full plein/pleine > basket bucket bag
faithful fidèle > dog friend
round rond/ronde > ball clock
rare rare > flower book
quiet calme > lake library
""",
    "taste": """
sweet sucré/sucrée > cake honey
hot chaud/chaude > soup tea coffee
cold froid/froide > beer water
salty salé/salée > ham butter
sour acide > lemon vinegar
bitter amer/amère > coffee chocolate
fresh frais/fraîche > fish salad milk
ripe mûr/mûre > pear banana cherry
spicy épicé/épicée > pepper sausage
raw cru/crue > carrot meat shrimp
delicious délicieux/délicieuse > lobster cream
roasted rôti/rôtie > chicken
""",
    "feeling": """
happy heureux/heureuse > party gift sun wedding
tired fatigué/fatiguée > night work evening
sad triste > rain november
angry fâché/fâchée > judge neighbour storm
hungry affamé/affamée > lunch boy
thirsty assoiffé/assoiffée > heat desert
sick malade > hospital doctor
rich riche > bank merchant king
poor pauvre > street miner
afraid effrayé/effrayée > night wolf
proud fier/fière > king father
bored ennuyé/ennuyée > classroom rain
jealous jaloux/jalouse > husband
brave courageux/courageuse > soldier sailor
famous célèbre > actor singer writer
lonely seul/seule > winter granny
surprised surpris/surprise > gift baby
polite poli/polie > waiter pupil
""",
}

VERBS = {
    "moving": """
sleeps dort night house bed
runs court field park
swims nage water lake
sings chante tree morning
jumps saute meadow
flies vole sky
hides se_cache forest cellar
climbs grimpe tree mountain
gallops galope field savanna
crawls rampe desert mud
barks aboie dog street
howls hurle wolf mountain
roars rugit lion savanna
waits attend hen night
drinks boit river pond
rests se_repose tree summer
trembles tremble cold winter
dies meurt winter old
""",
    "eating": """
eats mange bread grass
devours dévore meat
smells sent flower cheese
tastes goûte soup honey
steals dérobe cheese night
chews mâche hay bone
swallows avale insect fish
finds trouve nut seed
""",
    "cooking": """
buys achète market shop
prepares prépare dinner
cuts coupe onion ham knife
sells vend market merchant
washes lave salad apple
serves sert restaurant wine
orders commande restaurant beer
mixes mélange flour cream
fries frit onion fish
peels épluche carrot pear
pours verse tea juice
freezes congèle bean strawberry
""",
    "handling": """
uses utilise machine computer
breaks casse plate glass
repairs répare car clock
loses perd key ring
carries transporte bag box
cleans nettoie pan
gives donne gift toy
forgets oublie umbrella letter
borrows emprunte book ladder
throws lance ball
draws dessine map picture
hits frappe nail drum
holds tient rope candle
sends envoie letter telephone
counts compte money
burns brûle paper candle
""",
    "meeting": """
loves aime family child
helps aide friend neighbour
knows connaît village
meets rencontre street station
thanks remercie gift nurse
follows suit street thief
teaches instruit school pupil
calls appelle telephone doctor
kisses embrasse baby love
hates déteste war
invites invite party wedding
salutes salue morning
protects protège queen police
punishes punit judge thief
greets accueille hotel waiter
cheats trompe billiards merchant
marries épouse wedding church
obeys écoute soldier king
""",
    "chasing": """
chases chasse forest
watches observe tree
attacks attaque wolf lion
fears craint eagle
bites mord snake dog
escapes fuit fox
""",
    "tending": """
feeds nourrit farm hay
strokes caresse cat soft
kills tue hunter meat
brushes brosse horse
photographs photographie tourist savanna
catches attrape net
""",
    "living": """
works travaille office factory
lives habite village house
walks marche street beach
arrives arrive station airport
dances danse party theatre
studies étudie university library
laughs rit party theatre
cries pleure hospital
prays prie church
smokes fume street
swears jure court
dreams rêve bed beach
shouts crie market camp
""",
    "driving": """
takes prend station
drives conduit road
polishes astique sunday
misses rate morning
""",
    "curing": """
examines examine doctor hospital
hurts blesse war football
touches touche hand
heals soigne nurse medicine
paints peint painter
""",
    "falling": """
covers couvre mountain snow
sweeps balaie coast
darkens assombrit valley
warms réchauffe beach garden
surprises surprend sailor
destroys détruit field
wets mouille street
""",
    "growing": """
grows pousse garden
blooms fleurit meadow spring
dries sèche heat
falls tombe wind forest
""",
}

NAMES = {
    "month": """
January janvier snow cold ice
February février ice frost
March mars wind hail
April avril rain tulip
May mai flower daisy
June juin sun poppy
July juillet heat beach wheat
August août heat storm holiday
September septembre school grape
October octobre mushroom fog
November novembre fog rain
December décembre snow gift frost
""",
    "season": """
summer été heat beach
winter hiver snow cold
autumn automne wind rain
""",
    "day": """
Monday lundi office work
Tuesday mardi school factory
Wednesday mercredi library market
Thursday jeudi bank court
Friday vendredi fish cinema
Saturday samedi party restaurant
Sunday dimanche church park
""",
    "number": """
two deux
three trois
four quatre
five cinq
six six
seven sept
eight huit
nine neuf
ten dix
eleven onze
twelve douze
twenty vingt
""",
    "unit": """
minutes minutes bus oven
days jours hotel trip
weeks semaines hospital holiday
years années prison university castle
hours heures train station office
""",
}
