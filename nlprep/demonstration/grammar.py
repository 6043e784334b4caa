"""Just enough English and French grammar to fill the fields of `nlprep.demonstration.frames`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.demonstration.concepts import starts_with_vowel

if TYPE_CHECKING:
    from nlprep.demonstration.concepts import Concept

_MASCULINE = {"le": "le ", "un": "un ", "du": "du ", "au": "au "}
_FEMININE = {"le": "la ", "un": "une ", "du": "de la ", "au": "à la "}
_ELIDED = {"le": "l'", "du": "de l'", "au": "à l'"}


def english_phrase(article: str, noun: Concept, adjective: Concept | None) -> str:
    """A noun with its adjective before it, and with ``a`` as its article, or ``in`` or ``on the``, if asked."""
    phrase = noun.english if adjective is None else f"{adjective.english} {noun.english}"
    if article == "a":
        return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
    if article == "in":
        return f"{'on' if noun.surface else 'in'} the {phrase}"
    return phrase


def french_phrase(article: str, noun: Concept, adjective: Concept | None) -> str:
    """A noun with its adjective, in French order and agreement, and its article, contracted and elided."""
    if article == "dans":
        return f"{'sur' if noun.surface else 'dans'} {french_phrase('le', noun, adjective)}"
    phrase, elided = noun.french[0], noun.elided
    if adjective is not None and adjective.before:
        before_vowel = noun.elided and noun.gender == "m"
        form = adjective.french[2] if before_vowel and len(adjective.french) > 2 else french_agreement(adjective, noun)
        phrase, elided = f"{form} {phrase}", starts_with_vowel(form)
    elif adjective is not None:
        phrase = f"{phrase} {french_agreement(adjective, noun)}"
    if not article:
        return phrase
    if elided and article in _ELIDED:
        return _ELIDED[article] + phrase
    return (_FEMININE if noun.gender == "f" else _MASCULINE)[article] + phrase


def french_agreement(adjective: Concept, noun: Concept) -> str:
    """The form of an adjective that agrees with a noun in gender."""
    return adjective.french[1] if noun.gender == "f" and len(adjective.french) > 1 else adjective.french[0]
