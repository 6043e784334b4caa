"""The world the demonstration's text speaks of: some seven hundred words with their meanings.

The tables hold one line a concept: the English word, the French word, then what it has to do with. A tag
shared by two concepts, or the name of one among the tags of the other, makes them likely company in a
sentence; that is how a cow comes to eat grass in a field. Within a category, concepts stand by falling
frequency.

Nouns give their gender, ``m`` or ``f``, with ``!`` after it for an aspirated h, which takes no elision, and ``^``
for what one stands on rather than in. Adjectives give masculine/feminine, and a third form before a vowel where
it differs; ``<`` marks those that French puts before the noun, ``>`` the others. Verbs stand in the third person
of the present; an underscore is a space. No word, in either language, belongs to two concepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from nlprep.demonstration.nouns import NOUNS
from nlprep.demonstration.words import ADJECTIVES, NAMES, VERBS


@dataclass(frozen=True)
class Concept:
    """One meaning and its words.

    Attributes:
        category: The group it belongs to, a key of the tables above.
        english: The English word as it is written.
        french: The French forms: one, or masculine, feminine and, for some, masculine before a vowel.
        tags: What it has to do with, its own name among them, in lower case.
        gender: ``m`` or ``f`` for nouns, empty otherwise.
        elided: Whether the French article loses its vowel before it.
        before: Whether the French adjective stands before its noun.
        surface: Whether one is on the place rather than in it.
    """

    category: str
    english: str
    french: tuple[str, ...]
    tags: frozenset[str]
    gender: str = ""
    elided: bool = False
    before: bool = False
    surface: bool = False

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The dictionary entries of this concept, in lower case as the tokenizer leaves them."""
        return tuple((self.english.lower(), form.split()[-1].lower()) for form in dict.fromkeys(self.french))


WordClass = Literal["noun", "adjective", "verb", "name"]
_TABLES: tuple[tuple[WordClass, dict[str, str]], ...] = (
    ("noun", NOUNS),
    ("adjective", ADJECTIVES),
    ("verb", VERBS),
    ("name", NAMES),
)


@cache
def read_concepts() -> tuple[Concept, ...]:
    """Every concept, category by category, in falling frequency within each."""
    return tuple(
        _parse_concept(line.split(), category, word_class)
        for word_class, table in _TABLES
        for category, lines in table.items()
        for line in lines.strip().splitlines()
    )


def _parse_concept(fields: list[str], category: str, word_class: WordClass) -> Concept:
    english, french, *rest = fields
    forms = tuple(french.replace("_", " ").split("/"))
    marks = "" if word_class in ("verb", "name") else rest.pop(0)
    return Concept(
        category=category,
        english=english,
        french=forms,
        tags=frozenset(tag.lower() for tag in (english, *rest)),
        gender=marks[0] if word_class == "noun" else "",
        elided=starts_with_vowel(forms[0]) and "!" not in marks,
        before=marks == "<",
        surface="^" in marks,
    )


def starts_with_vowel(word: str) -> bool:
    """Whether a French article is elided before ``word``; h counts as mute."""
    return word[0].lower() in "aeiouyhâàéèêëîïôûœ"
