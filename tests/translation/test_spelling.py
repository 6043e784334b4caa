from __future__ import annotations

import numpy as np

from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.alignment import AlignmentConfig, align
from nlprep.translation.lexicon import Lexicon
from nlprep.translation.spelling import pair_spelled_alike


def test_only_frequent_words_of_four_letters_or_more_that_nothing_is_known_of() -> None:
    source = ["the", "or", "paris", "table", "1995", "rare", "train"]
    target = ["or", "train", "le", "1995", "table", "paris", "rare"]
    assert pair_spelled_alike(source, target).tolist() == [[2, 5], [3, 4], [4, 3], [5, 6], [6, 1]]
    assert pair_spelled_alike(source, target, cutoff=5).tolist() == [[3, 4], [4, 3]]
    left = pair_spelled_alike(source, target, excluded_source={2}, excluded_target={4})
    assert left.tolist() == [[4, 3], [5, 6], [6, 1]]
    assert pair_spelled_alike(["a"], ["b"]).shape == (0, 2)


def test_pairs_spelled_alike_make_up_for_a_small_dictionary() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((400, 20))
    rotation = np.linalg.qr(generator.standard_normal((20, 20)))[0]
    noisy = vectors @ rotation + 0.8 * generator.standard_normal((400, 20))
    # The first two hundred words are spelled alike in both languages.
    names = [f"name{number}" for number in range(200)]
    source = WordVectors(names + [f"s{number}" for number in range(200)], vectors.astype(np.float32))
    target = WordVectors(names + [f"t{number}" for number in range(200)], noisy.astype(np.float32))
    lexicon = Lexicon([(f"s{number}", f"t{number}") for number in range(30)])
    found = {}
    for spelling in (True, False):
        config = AlignmentConfig(method="procrustes", refine=0, spelling=spelling)
        alignment = align(source, target, lexicon, config)
        one, other = alignment.map_source(source.matrix[200:]), alignment.map_target(target.matrix[200:])
        found[spelling] = float((one * other).sum())
        assert alignment.provenance["lexicon"]["pairs_spelled_alike"] == (200 if spelling else 0)
    assert found[True] > 1.05 * found[False]
