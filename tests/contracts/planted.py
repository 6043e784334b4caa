"""Two made-up languages whose vectors differ by a rotation and noise, so that the right answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.lexicon import Lexicon


@dataclass(frozen=True)
class Planted:
    """Vectors of both languages, the pairs to learn from and the pairs to test with."""

    source: WordVectors
    target: WordVectors
    train: Lexicon
    test: Lexicon


def plant(*, num_words: int = 600, dimension: int = 20, noise: float = 0.1, num_train: int = 200) -> Planted:
    """The word ``s7`` means ``t7``; both sides are off-centre, as trained vectors are, and shuffled apart."""
    generator = np.random.default_rng(3)
    scale = np.linspace(1.5, 0.5, dimension)
    meanings = generator.standard_normal((num_words, dimension)) * scale
    turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    source = meanings + noise * generator.standard_normal(meanings.shape) + 0.5
    target = (meanings + noise * generator.standard_normal(meanings.shape)) @ turn - 0.3
    order = generator.permutation(num_words)
    pairs = [(f"s{number}", f"t{number}") for number in range(num_words)]
    chosen = generator.permutation(num_words)
    return Planted(
        WordVectors([f"s{number}" for number in range(num_words)], source.astype(np.float32)),
        WordVectors([f"t{number}" for number in order], target[order].astype(np.float32)),
        Lexicon(pairs[number] for number in chosen[:num_train]),
        Lexicon(pairs[number] for number in chosen[num_train:]),
    )
