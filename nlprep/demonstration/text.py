"""Comparable English and French text, generated.

Two speakers talk about one world without hearing each other: what goes with what (`company`) is the same for
both, up to a small disturbance of their own, while sentences, word order, articles and agreement are each
language's. So a translator can be learned from the two texts in seconds, and measured; but the two languages
are more alike than real ones ever are, and precision here says nothing about precision on real text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.demonstration.concepts import read_concepts
from nlprep.demonstration.frames import FRAMES
from nlprep.demonstration.grammar import english_phrase, french_agreement, french_phrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nlprep.demonstration.concepts import Concept
    from nlprep.demonstration.frames import Frame

Language = Literal["en", "fr"]

_WORLD_SEED = 20
_LANGUAGE_SEEDS = {"en": 21, "fr": 22}
_STRANGERS = 0.01
"""Weight of company that shares no tag, against 1 for each shared tag."""
_NAMED = 3.0
"""Extra weight of company that is named outright."""
_TASTE = 0.9
"""Spread (of the logarithm) of the fixed preferences that tell apart words with the same tags."""
_ACCENT = 0.25
"""Spread (of the logarithm) of each language's own departures from the common world."""
_BLOCK = 20_000


@cache
def company(language: Language) -> NDArray[np.float64]:
    """How readily each concept calls for each other, (concepts, concepts), in the order of `read_concepts`.

    Times the frequency of the one called for; only the ratios within a row matter.
    """
    concepts = read_concepts()
    columns = {tag: column for column, tag in enumerate(sorted({t for c in concepts for t in c.tags}))}
    tags = np.zeros((len(concepts), len(columns)))
    names = np.zeros_like(tags)
    for row, concept in enumerate(concepts):
        tags[row, [columns[tag] for tag in concept.tags]] = 1
        names[row, columns[concept.english.lower()]] = 1
    named = tags @ names.T
    world = np.random.default_rng(_WORLD_SEED)
    own = np.random.default_rng(_LANGUAGE_SEEDS[language])
    shape = (len(concepts), len(concepts))
    weights = _STRANGERS + tags @ tags.T + _NAMED * (named + named.T)
    weights *= np.exp(world.normal(0, _TASTE, shape) + own.normal(0, _ACCENT, shape))
    # Nobody meets himself.
    np.fill_diagonal(weights, 0)
    weights *= _frequencies(language)
    return weights


@cache
def _frequencies(language: Language) -> NDArray[np.float64]:
    concepts = read_concepts()
    ranks: dict[str, int] = {}
    frequencies = np.empty(len(concepts))
    for row, concept in enumerate(concepts):
        rank = ranks[concept.category] = ranks.get(concept.category, 0) + 1
        # Zipf's law, flattened so that the rarest word still occurs often enough to be learned.
        frequencies[row] = (rank + 5) ** -0.6
    own = np.random.default_rng([_LANGUAGE_SEEDS[language], 1])
    return frequencies * np.exp(own.normal(0, _ACCENT, len(concepts)))


def generate_sentences(language: Language, num_sentences: int, *, seed: int = 1) -> Iterator[str]:
    """Write sentences of simple English (``en``) or French (``fr``), about nine words each.

    The same language, number and seed give the same sentences; the two languages never share a draw.

    Raises:
        OptionError: Another language, or fewer than one sentence.
    """
    if language not in _LANGUAGE_SEEDS:
        raise OptionError(f"language {language!r}: the demonstration speaks en and fr")
    if num_sentences < 1:
        raise OptionError(f"num_sentences = {num_sentences}: must be at least 1")
    random = np.random.default_rng([seed, _LANGUAGE_SEEDS[language]])
    weights = np.array([frame.weight for frame in FRAMES])
    for start in range(0, num_sentences, _BLOCK):
        amount = min(_BLOCK, num_sentences - start)
        sentences: list[str] = []
        for frame, count in zip(FRAMES, random.multinomial(amount, weights / weights.sum()), strict=True):
            sentences.extend(_speak(language, frame, int(count), random))
        for position in random.permutation(amount):
            yield sentences[position]


def _speak(language: Language, frame: Frame, count: int, random: np.random.Generator) -> list[str]:
    drawn = _draw_slots(language, frame, count, random)
    wordings = frame.english if language == "en" else frame.french
    choice = random.integers(len(wordings), size=count)
    sentences: list[str] = []
    for number, wording in enumerate(wordings):
        chosen = {name: ids[choice == number] for name, ids in drawn.items()}
        columns = [
            _fill(language, piece, chosen) if odd else [piece] * int((choice == number).sum())
            for odd, piece in ((i % 2, p) for i, p in enumerate(re.split(r"[{}]", wording)))
        ]
        for pieces in zip(*columns, strict=True):
            sentence = "".join(pieces)
            sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
    return sentences


def _draw_slots(
    language: Language, frame: Frame, count: int, random: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Concept numbers (count,) for every slot of a frame."""
    drawn: dict[str, NDArray[np.int64]] = {}
    for slot in frame.slots.split(", "):
        described, _, parent = slot.partition("<")
        name, _, categories = described.partition(":")
        members = _members(categories or name)
        if parent:
            weights = company(language)[:, members]
            rows = drawn[parent]
        else:
            weights = _frequencies(language)[members][None]
            rows = np.zeros(count, np.int64)
        cumulative = np.cumsum(weights, axis=1)
        cumulative /= cumulative[:, -1:]
        # Row r's steps lie in (r, r + 1]: one sorted search serves all rows.
        steps = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
        position = np.searchsorted(steps, rows + random.random(count), side="right") - rows * len(members)
        drawn[name] = members[np.minimum(position, len(members) - 1)]
    return drawn


@cache
def _members(categories: str) -> NDArray[np.int64]:
    wanted = categories.split("+")
    return np.array([number for number, c in enumerate(read_concepts()) if c.category in wanted])


def _fill(language: Language, field: str, drawn: dict[str, NDArray[np.int64]]) -> list[str]:
    """The text of one field for every sentence; each distinct filling is worded once."""
    concepts = read_concepts()
    adjective_of, _, agreed = field.partition(":")
    if agreed:
        first, second = drawn[adjective_of], drawn[agreed]
        article = ""
    else:
        words = field.split()
        article = "" if words[0] in drawn else words.pop(0)
        first = drawn[words[0]]
        second = drawn[words[1]] if len(words) > 1 else np.full(len(first), -1)
    codes, inverse = np.unique(first * (len(concepts) + 1) + second + 1, return_inverse=True)
    texts = []
    for code in codes:
        one, two = divmod(int(code), len(concepts) + 1)
        texts.append(_word(language, article, concepts[one], concepts[two - 1] if two else None, bool(agreed)))
    return [texts[number] for number in inverse]


def _word(language: Language, article: str, first: Concept, second: Concept | None, agreed: bool) -> str:
    if agreed and second is not None:
        return first.english if language == "en" else french_agreement(first, second)
    return (english_phrase if language == "en" else french_phrase)(article, first, second)
