"""The nouns of the demonstration; `nlprep.demonstration.concepts` explains the columns."""

NOUNS = {
    "animal": """
dog chien m house street park bone barks brown black faithful child hunter
cat chat m house kitchen milk fish sleeps grey black sofa
horse cheval m farm field road hay carrot gallops brown fast strong
cow vache f farm field grass hay milk farmer
bird oiseau m tree sky garden sings flies seed insect
sheep mouton m farm mountain field grass wool shepherd
pig cochon m farm mud corn pink fat dirty
hen poule f farm garden corn egg seed
mouse souris f cellar cheese kitchen hides small grey
wolf loup m forest mountain winter night howls hunts sheep dangerous
lion lion m savanna meat roars strong dangerous hunts
bear ours m forest mountain honey winter sleeps brown heavy
rabbit lapin m field garden forest carrot cabbage jumps soft
duck canard m farm lake pond river swims bread
fox renard m forest hen night red clever hunts
goat chèvre f farm mountain grass leaf climbs cheese
elephant éléphant m savanna jungle leaf grey heavy enormous slow
monkey singe m jungle banana climbs tree clever nut
snake serpent m desert jungle crawls green dangerous egg
tiger tigre m jungle meat hunts night dangerous
eagle aigle m mountain sky flies rabbit
bee abeille f garden flower honey yellow summer
frog grenouille f pond lake river green jumps insect
donkey âne m farm road carrot hay grey slow
butterfly papillon m garden flower meadow summer light
deer cerf m forest meadow grass leaf gallops
crow corbeau m field black corn winter autumn
owl hibou m! forest night tree mouse
squirrel écureuil m forest park nut climbs tree
pigeon pigeon m square city bread roof grey
whale baleine f sea ocean swims enormous blue
shark requin m sea ocean hunts dangerous swims
dolphin dauphin m sea ocean jumps swims clever
turtle tortue f beach sea slow green old
ant fourmi f garden sugar black crawls small
spider araignée f cellar attic black insect crawls
parrot perroquet m jungle green clever seed noisy
swan cygne m lake pond white swims
goose oie f farm pond grass white noisy
rooster coq m farm morning sings corn noisy
crocodile crocodile m river swamp jungle meat dangerous green
camel chameau m desert slow thirsty
giraffe girafe f savanna leaf tree tall yellow
zebra zèbre m savanna grass gallops
mosquito moustique m swamp pond night summer
hedgehog hérisson m! garden night apple small
seal phoque m ice sea swims fat
penguin pingouin m ice ocean swims cold
swallow hirondelle f sky roof spring flies
fly mouche f kitchen sugar summer meat
snail escargot m garden rain cabbage slow leaf
octopus pieuvre f ocean sea hides
beaver castor m river tree wood swims
""",
    "person": """
man homme m city street work beer
woman femme f city shop work
child enfant m school park game toy chocolate plays
mother mère f family kitchen child daughter love
father père m family work garage child
boy garçon m school football river plays
girl fille f school park sings
teacher professeur m school classroom book pencil pupil student
doctor médecin m hospital sick medicine patient
friend ami m party restaurant trip
farmer fermier m farm field tractor cow corn
king roi m castle crown throne war
brother frère m family game football
sister sœur f family bedroom
student étudiant m university library book exam
neighbour voisin m garden street building
soldier soldat m war camp gun
cook cuisinier m kitchen restaurant soup knife pan
baker boulanger m bakery bread flour cake oven
queen reine f castle crown palace
granny mamie f family cake armchair wool
husband mari m family love wedding
nurse infirmière f hospital patient bandage sick
driver chauffeur m road bus lorry taxi
police policier m street prison thief
thief voleur m night prison bank money
fisherman pêcheur m sea lake boat net fish
hunter chasseur m forest gun dog deer
gardener jardinier m garden flower spade tree
baby bébé m bedroom milk family cradle
aunt tante f family tea
uncle oncle m family wine
painter peintre m museum workshop art brush picture
singer chanteuse f theatre song music stage
writer écrivain m book library pen novel
judge juge m court law prison
lawyer avocat m court law office
priest prêtre m church wedding sunday
sailor marin m harbour sea ship
pilot pilote m airport plane sky
carpenter menuisier m workshop wood hammer saw nail
butcher boucher m market meat knife sausage
dentist dentiste m hospital tooth pain
musician musicien m theatre piano violin music
dancer danseuse f theatre music stage
actor acteur m theatre cinema film stage
engineer ingénieur m factory bridge machine computer
worker ouvrier m factory machine building
tailor tailleur m shop needle thread coat
shepherd berger m mountain sheep meadow
waiter serveur m restaurant plate wine
merchant marchand m market shop money
journalist journaliste m office newspaper camera
scientist chercheur m university laboratory computer
miner mineur m mine coal lamp
tourist touriste m museum beach hotel camera
prince prince m castle palace horse
pupil élève m school classroom exam pencil
""",
    "food": """
bread pain m bakery breakfast flour butter
water eau f drink river glass
milk lait m drink breakfast cow
meat viande f butcher dinner pan
apple pomme f fruit tree garden autumn
fish poisson m sea market dinner
soup soupe f dinner winter bowl hot
wine vin m drink dinner bottle grape
egg œuf m breakfast hen pan
cheese fromage m lunch cellar goat
coffee café m drink breakfast cup morning
cake gâteau m sweet party oven sugar
rice riz m lunch dinner bowl
tea thé m drink cup afternoon
butter beurre m breakfast bread
chicken poulet m dinner oven roasted
salt sel m cook sea soup
sugar sucre m sweet coffee cake
salad salade f lunch vegetable oil
beer bière f drink evening bottle
chocolate chocolat m sweet party gift
tomato tomate f vegetable salad red summer
carrot carotte f vegetable soup garden
honey miel m sweet breakfast bee
cabbage chou m vegetable winter garden
onion oignon m vegetable soup cook knife
banana banane f fruit jungle
grape raisin m fruit autumn vineyard
strawberry fraise f fruit summer sweet red
cherry cerise f fruit summer tree red
pear poire f fruit autumn tree
lemon citron m fruit sour yellow tea
ham jambon m lunch pig
sausage saucisse f lunch butcher pig
oil huile f salad cook pan
pepper poivre m cook meat spicy
flour farine f baker cake mill
jam confiture f sweet breakfast fruit
juice jus m drink breakfast fruit glass
mushroom champignon m forest autumn soup
garlic ail m cook vegetable bitter
bean haricot m! vegetable lunch garden
pea pois m vegetable green spring
biscuit biscuit m sweet tea afternoon
cream crème f sweet milk strawberry
pancake crêpe f sweet flour pan
lobster homard m! sea restaurant expensive
shrimp crevette f sea restaurant salad
melon melon m fruit summer sweet
plum prune f fruit autumn jam
vinegar vinaigre m sour salad oil
mustard moutarde f spicy sausage yellow
""",
    "feed": """
grass herbe f field meadow
hay foin m farm barn
corn maïs m farm field
leaf feuille f tree forest
nut noix f forest tree autumn
seed graine f garden spring
insect insecte m garden pond summer
bone os m dog garden
""",
    "place": """
house maison f family home
city ville f modern traffic noisy
street rue f city traffic
school école f pupil teacher
garden jardin m flower spring green
forest forêt f tree wild autumn
sea mer f water blue summer
mountain montagne f snow high winter
river rivière f water
field champ m farm summer
farm ferme f animal country
market marché m vegetable fruit saturday
church église f sunday old wedding
shop magasin m city buys
village village m quiet country
road route f^ traffic long
park parc m tree sunday city
hospital hôpital m sick patient
lake lac m water quiet mountain
beach plage f^ summer sand holiday
office bureau m monday work
restaurant restaurant m dinner saturday
bridge pont m^ river long
castle château m old king
station gare f train
university université f student
factory usine f machine smoke
island île f^ sea ocean holiday
theatre théâtre m stage evening
museum musée m art old
library bibliothèque f book quiet
desert désert m sand hot dry
square place f^ city
harbour port m ship
hotel hôtel m holiday tourist
airport aéroport m plane
ocean océan m ship deep
jungle jungle f wild rain tropical
meadow prairie f flower spring
bakery boulangerie f bread morning
workshop atelier m tool wood
prison prison f dark thief
bank banque f money rich
savanna savane f wild dry
court tribunal m judge law
cinema cinéma m film evening
pond étang m water garden
palace palais m rich king
mine mine f coal dark deep
camp camp m soldier tent
laboratory laboratoire m scientist
swamp marais m mud wet
barn grange f hay old
mill moulin m flour wind
vineyard vignoble m wine autumn
coast côte f^ sea wind
valley vallée f river green
cave grotte f dark bear deep
""",
    "room": """
kitchen cuisine f cook oven fridge
bedroom chambre f sleep bed night
bathroom salle f wash soap bath
cellar cave f dark wine cold
attic grenier m old dust box
garage garage m car tool
classroom classe f blackboard pupil
corridor couloir m dark long
balcony balcon m^ flower sun
lounge salon m sofa television evening
""",
    "furniture": """
table table f kitchen dinner wood
bed lit m bedroom sleep night
chair chaise f kitchen classroom
window fenêtre f light garden
lamp lampe f light evening
mirror miroir m bathroom glass
sofa canapé m lounge soft
clock horloge f lounge morning
cupboard placard m kitchen plate
carpet tapis m lounge soft wool
shelf étagère f book library
oven four m kitchen hot
bath baignoire f bathroom hot
armchair fauteuil m lounge old
wall mur m stone corridor
television télévision f lounge film
staircase escalier m corridor high
desk pupitre m classroom pencil
fridge frigo m kitchen cold
cradle berceau m baby bedroom
curtain rideau m window light
blackboard tableau m classroom teacher
""",
    "object": """
book livre m library school student
money argent m bank shop
knife couteau m kitchen meat sharp
letter lettre f post pen
newspaper journal m office morning
picture image f museum art
key clé f house metal
telephone téléphone m office modern
bottle bouteille f wine beer glass
plate assiette f kitchen dinner
hammer marteau m carpenter nail heavy
box boîte f attic gift
computer ordinateur m office modern
glass verre m wine water
cup tasse f coffee tea
pen stylo m school office letter
machine machine f factory metal noisy
axe hache f! forest wood sharp
spoon cuillère f soup kitchen
bag sac m school market
rope corde f ship mountain long
pencil crayon m school drawing
pan poêle f kitchen hot
ball ballon m child park football
toy jouet m child gift
spade pelle f garden mud
candle bougie f church night party
bowl bol m soup breakfast
needle aiguille f tailor thread sharp
camera caméra f film tourist
gun fusil m soldier hunter dangerous
saw scie f carpenter wood sharp
basket panier m market fruit
broom balai m dust kitchen
net filet m fisherman fish
brush pinceau m painter art
ladder échelle f roof wall high
umbrella parapluie m rain wet
ring bague f gold wedding
crown couronne f king gold
nail clou m wall carpenter
bucket seau m water barn
map carte f trip road
soap savon m bathroom wash
medicine médicament m sick doctor
bandage pansement m sick nurse
thread fil m tailor long
gift cadeau m party friend
flag drapeau m castle soldier ship
""",
    "clothes": """
shirt chemise f office cotton clean
shoe chaussure f leather street
hat chapeau m sun old
coat manteau m winter wool cold warm
dress robe f party silk elegant
tie cravate f office silk
skirt jupe f summer cotton
glove gant m winter snow leather
scarf écharpe f winter wool cold
boot botte f mud rain leather
jacket veste f autumn leather
sock chaussette f wool warm
belt ceinture f leather
suit costume m office elegant wedding
apron tablier m kitchen cook
jumper pull m winter wool
swimsuit maillot m beach summer
helmet casque m soldier worker
""",
    "body": """
hand main f glove wash ring
head tête f hat pain
eye œil m light blue
heart cœur m love sick
foot pied m shoe football
face visage m mirror wash
arm bras m strong
leg jambe f football long
beard barbe f old grey white
mouth bouche f tooth
ear oreille f noisy music
nose nez m cold red
back dos m bag pain
tooth dent f dentist pain white
finger doigt m ring needle
knee genou m fall football
shoulder épaule f bag
neck cou m scarf
stomach ventre m hungry pain
skin peau f sun soft
blood sang m red war
tongue langue f salt
elbow coude m table
throat gorge f cold thirsty
""",
    "material": """
wood bois m forest tree
gold or m rich crown expensive
stone pierre f wall castle
iron fer m factory
paper papier m letter book
leather cuir m shoe bag
wool laine f sheep warm
silk soie f elegant soft
cotton coton m shirt light
steel acier m knife machine
plastic plastique m toy cheap
clay argile f bowl
marble marbre m palace cold
""",
    "vehicle": """
car voiture f road garage city
train train m station long
boat bateau m lake river
bus bus m city school
bicycle vélo m park village
plane avion m airport sky
ship navire m ocean harbour
lorry camion m factory road
tractor tracteur m farm field
taxi taxi m hotel city
motorbike moto f noisy fast road
ambulance ambulance f hospital sick
cart charrette f donkey village
tram tramway m city square
sledge traîneau m snow ice
rocket fusée f sky fast
""",
    "instrument": """
piano piano m school lounge elegant
guitar guitare f beach friend
violin violon m sad theatre
drum tambour m soldier noisy
flute flûte f shepherd quiet
trumpet trompette f soldier noisy
organ orgue m church sunday
accordion accordéon m village party
harp harpe f! queen elegant
cello violoncelle m theatre sad
""",
    "sport": """
football football m boy saturday
tennis tennis m summer
golf golf m rich
rugby rugby m strong winter
hockey hockey m! ice winter
basketball basketball m tall school
volleyball volleyball m beach
billiards billard m evening uncle
""",
    "country": """
France France f wine cheese paris
England Angleterre f tea rain
Italy Italie f church summer
Spain Espagne f sun beach
Germany Allemagne f beer factory
Russia Russie f snow cold
China Chine f rice tea
Japan Japon m fish rice
Egypt Égypte f desert camel
Canada Canada m forest snow
Mexico Mexique m spicy corn
Switzerland Suisse f mountain bank
Greece Grèce f island sea
Brazil Brésil m jungle football coffee
Norway Norvège f ice fish
India Inde f tiger spicy elephant
""",
    "language": """
French français m france
English anglais m england canada
Italian italien m italy music
Spanish espagnol m spain mexico
German allemand m germany switzerland
Russian russe m russia
Chinese chinois m china
Japanese japonais m japan
Greek grec m greece
Portuguese portugais m brazil
Arabic arabe m egypt
""",
    "weather": """
rain pluie f autumn november wet
snow neige f winter january white
wind vent m autumn coast
sun soleil m summer july
cloud nuage m grey sky
storm orage m summer night
fog brouillard m! november morning
ice glace f winter february lake
heat chaleur f july desert
frost gel m december night
hail grêle f march field
lightning éclair m storm night
""",
    "moment": """
morning matin m coffee bread rooster
evening soir m beer theatre
night nuit f owl wolf
""",
    "plant": """
tree arbre m forest park
flower fleur f garden meadow spring
oak chêne m forest old strong
pine sapin m mountain winter
tulip tulipe f garden april
willow saule m river pond
lily lis m church pond
ivy lierre m wall castle
palm palmier m desert beach
moss mousse f stone wet forest
wheat blé m field july yellow
daisy pâquerette f meadow may small
fern fougère f forest wet
poppy coquelicot m field june red
""",
}
