"""What is said about the world: sentence frames, each with its wording in English and in French.

A frame lists its slots as ``name:categories<parent``: the first is drawn by frequency, the others by how well
they go with their parent. Wordings hold fields in braces. In both, ``{noun}`` is the bare word and
``{noun adjective}`` the two in the language's own order. English adds ``{a noun}`` (a, an) and
``{in noun}`` (in the, on the); French adds the article to be contracted and elided (``le``, ``un``, ``du``,
``au``), ``{dans noun}`` (in, on) and ``{adjective:noun}``, an adjective that agrees with a noun elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One way to say something.

    Attributes:
        weight: How often it is said, relative to the others.
        slots: The slots, separated by commas.
        english: Wordings, all equally likely.
        french: The same for French; their number and order need not agree with the English.
    """

    weight: float
    slots: str
    english: tuple[str, ...]
    french: tuple[str, ...]


FRAMES = (
    Frame(
        10,
        "animal, colour<animal, eating<animal, food:food+feed<animal, place<animal",
        (
            "the {animal colour} {eating} the {food} {in place}",
            "{in place} {a animal colour} {eating} the {food}",
        ),
        (
            "{le animal colour} {eating} {le food} {dans place}",
            "près {du place}, {un animal colour} {eating} {le food}",
        ),
    ),
    Frame(
        9,
        "animal, quality<animal, moving<animal, place<animal, moment<animal",
        (
            "the {animal quality} {moving} near the {place} in the {moment}",
            "in the {moment} the {animal quality} {moving} {in place}",
        ),
        (
            "{le moment}, {le animal quality} {moving} {dans place}",
            "{le animal quality} {moving} près {du place} {le moment}",
        ),
    ),
    Frame(
        5,
        "animal, quality<animal, colour<animal, feed:food+feed<animal",
        ("the {animal} is {quality} and {colour} and likes the {feed}",),
        ("{le animal} est {quality:animal} et {colour:animal} et adore {le feed}",),
    ),
    Frame(
        6,
        "animal, chasing<animal, other:animal<animal, place<animal",
        ("the {animal} {chasing} the {other} {in place}",),
        ("{le animal} {chasing} {le other} {dans place}",),
    ),
    Frame(
        6,
        "person, tending<person, animal<person, place<animal",
        ("the {person} {tending} the {animal} near the {place}",),
        ("{dans place}, {le person} {tending} {le animal}",),
    ),
    Frame(
        9,
        "food, taste<food, cooking<food, other:food<food, person<food, room<food",
        (
            "the {person} {cooking} the {food taste} with the {other} {in room}",
            "{in room} the {person} {cooking} some {food} and some {taste} {other}",
        ),
        (
            "{le person} {cooking} {le food taste} avec {le other} {dans room}",
            "{dans room}, {le person} {cooking} {du food} et {du other taste}",
        ),
    ),
    Frame(
        6,
        "food, taste<food, colour<food, thing:object<food, country<food",
        (
            "the {food} from {country} is {taste} and {colour}",
            "the {food colour} is in the {thing} and it tastes {taste}",
        ),
        (
            "{le food} {du country} est {taste:food} et {colour:food}",
            "{le food colour} est dans {le thing} et semble {taste:food}",
        ),
    ),
    Frame(
        10,
        "object, quality<object, handling<object, person<object, place:place+room<object",
        (
            "the {person} {handling} {a object quality} {in place}",
            "{in place} the {person} {handling} the {object quality}",
        ),
        (
            "{le person} {handling} {un object quality} {dans place}",
            "{le person} {handling} {le object quality} près {du place}",
        ),
    ),
    Frame(
        7,
        "object:object+furniture+clothes+instrument, material<object, colour<object, quality<object",
        (
            "the {object colour} is made of {material} and it is {quality}",
            "{a object colour} made of {material} is {quality}",
        ),
        (
            "{le object colour} est en {material} et paraît {quality:object}",
            "{un object colour} en {material} est {quality:object}",
        ),
    ),
    Frame(
        7,
        "furniture, colour<furniture, quality<furniture, room<furniture, other:object<furniture",
        (
            "there is {a furniture colour} {in room} with {a other}",
            "the {furniture quality} stands {in room} near the {other}",
        ),
        (
            "il y a {un furniture colour} {dans room} avec {un other}",
            "{le furniture quality} est {dans room} avec {le other}",
        ),
    ),
    Frame(
        7,
        "person, clothes<person, colour<clothes, material<clothes, season:season+month<clothes",
        (
            "in {season} the {person} wears {a clothes colour} made of {material}",
            "the {person} wears {a clothes colour} in {season}",
        ),
        (
            "en {season}, {le person} porte {un clothes colour} en {material}",
            "{le person} porte {un clothes colour} en {season}",
        ),
    ),
    Frame(
        7,
        "person, curing<person, body<curing, patient:person<person, place:place+clothes<body",
        ("the {person} {curing} the {body} of the {patient} near the {place}",),
        ("{le person} {curing} {le body} {du patient} avec {le place}",),
    ),
    Frame(
        5,
        "body, other:body<body, thing:clothes+object<body, feeling<body",
        ("the {body} and the {other} are under the {thing} and he is {feeling}",),
        ("{le body} et {le other} sont sous {le thing}",),
    ),
    Frame(
        8,
        "person, living<person, place<person, day<place, number<day",
        (
            "on {day} the {person} {living} {in place} at {number} o'clock",
            "the {person} {living} {in place} on {day}",
        ),
        (
            "{le day}, {le person} {living} {dans place} à {number} heures",
            "{le person} {living} près {du place} {le day}",
        ),
    ),
    Frame(
        6,
        "person, feeling<person, place<feeling, other:person<person, meeting<other",
        (
            "the {person} is {feeling} because the {other} {meeting} the {feeling} {person}",
            "the {person feeling} {meeting} the {other} {in place}",
        ),
        (
            "{le person} est {feeling:person} car {le other} {meeting} {le person}",
            "{le person feeling} {meeting} {le other} {dans place}",
        ),
    ),
    Frame(
        7,
        "person, meeting<person, other:person<person, place<person, day<place",
        (
            "on {day} the {person} {meeting} the {other} {in place}",
            "the {person} and the {other} are {in place}",
        ),
        (
            "{le day}, {le person} {meeting} {le other} {dans place}",
            "{le person} et {le other} sont {dans place}",
        ),
    ),
    Frame(
        7,
        "country, person<country, vehicle<person, month<country, language<country, food<country",
        (
            "in {month} the {person} travels to {country} and speaks {language}",
            "the {person} speaks {language} in {country} and eats {food}",
            "the {food} of {country} is famous in {month}",
        ),
        (
            "en {month}, {le person} visite {le country} et parle {language}",
            "{le person} parle {language} et pense {au country} et {au food}",
            "{le food} {du country} est célèbre en {month}",
        ),
    ),
    Frame(
        7,
        "vehicle, driving<vehicle, person<vehicle, place<vehicle, quality<vehicle, unit<vehicle, number<unit",
        (
            "the {person} {driving} the {vehicle quality} to the {place}",
            "the {vehicle quality} stops near the {place} for {number} {unit}",
        ),
        (
            "{le person} {driving} {le vehicle quality} vers {le place}",
            "{le vehicle quality} reste {number} {unit} près {du place}",
        ),
    ),
    Frame(
        4,
        "unit, number<unit, person<unit, place<unit, living<place",
        ("the {person} {living} {in place} for {number} {unit}",),
        ("{le person} {living} {number} {unit} {dans place}",),
    ),
    Frame(
        7,
        "weather, month<weather, falling<weather, place<weather, taste<weather",
        (
            "in {month} the {weather} {falling} the {place}",
            "the {weather} {falling} the {place} in {month}",
        ),
        ("en {month}, {le weather} {falling} {le place}", "{le weather} {falling} {le place} en {month}"),
    ),
    Frame(
        4,
        "weather, other:weather<weather, season:season+month<weather, feeling<weather, person<feeling, country<weather",
        (
            "the {weather} and the {other} come in {season}",
            "in {country} the {person} is {feeling} because of the {weather}",
        ),
        (
            "{le weather} et {le other} arrivent en {season}",
            "{le person} est {feeling:person} à cause {du weather} {du country}",
        ),
    ),
    Frame(
        4,
        "instrument, person<instrument, place:place+room<instrument, feeling<instrument, day<instrument",
        (
            "on {day} the {person} plays the {instrument} {in place}",
            "the {person feeling} plays the {instrument} {in place}",
        ),
        (
            "{le day}, {le person} joue {du instrument} {dans place}",
            "{le person feeling} joue {du instrument} près {du place}",
        ),
    ),
    Frame(
        4,
        "sport, person<sport, place:place+room<sport, season:season+month<sport, country<sport",
        (
            "in {season} the {person} plays {sport} {in place}",
            "the {person} plays {sport} in {country}",
        ),
        (
            "en {season}, {le person} joue {au sport} {dans place}",
            "{le person} joue {au sport} et rêve {du country}",
        ),
    ),
    Frame(
        5,
        "plant, quality<plant, colour<plant, growing<plant, place<plant, month:month+season<plant",
        (
            "{a plant quality} {growing} {in place} in {month}",
            "the {plant colour} {growing} near the {place} in {month}",
        ),
        (
            "en {month}, {un plant quality} {growing} {dans place}",
            "{le plant colour} {growing} près {du place} en {month}",
        ),
    ),
    Frame(
        5,
        "place, quality<place, country<place, other:place<place, weather<place",
        (
            "the {place quality} is near the {other} in {country}",
            "{a place quality} in the {weather} near the {other}",
        ),
        (
            "{le place quality} est près {du other} {du country}",
            "{un place quality} sous {le weather} près {du other}",
        ),
    ),
)
