from __future__ import annotations

import re

import numpy as np
import pytest
from language_model_toys import toy_tokenizer

from nlprep.core.errors import OptionError
from nlprep.language_models.pretraining.configuration import MaskingConfig
from nlprep.language_models.pretraining.masking import Masking
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.tokenizers import train_tokenizer
from nlprep.objectives.labels import IGNORED

CLS, SEP, MASK, PAD = 2, 3, 4, 0


def random_blocks(number: int, length: int, seed: int = 0) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(5, 300, (number, length))
    ids[:, 0], ids[:, -1] = CLS, SEP
    return ids


def seeds_for(number: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2**64, number, dtype=np.uint64)


def test_shares_are_those_of_the_recipe() -> None:
    ids, seeds = random_blocks(2000, 128), seeds_for(2000)
    inputs, positions, labels = Masking(toy_tokenizer(), MaskingConfig()).apply(ids, seeds)
    rows = np.arange(2000)[:, None]
    assert positions.shape == labels.shape == (2000, 19)
    # 15% of the 126 ordinary tokens: all 19 places are used.
    assert (labels != IGNORED).all()
    assert (labels == ids[rows, positions]).all()
    shown = inputs[rows, positions]
    total = labels.size
    masked, kept = (shown == MASK).mean(), (shown == labels).mean()
    # Within four standard errors of the shares; a random token is the same one once in 295.
    error = 4 * np.sqrt(0.8 * 0.2 / total)
    assert abs(masked - 0.8) < error
    assert abs(kept - 0.1 - 0.1 / 295) < error
    others = shown[(shown != MASK) & (shown != labels)]
    assert others.min() >= 5
    counts = np.bincount(others, minlength=300)[5:]
    expected = len(others) / 295
    assert ((counts - expected) ** 2 / expected).sum() < 295 + 5 * np.sqrt(2 * 295)
    # Each position equally often, the special ones never; nothing else is changed.
    per_position = np.bincount(positions.ravel(), minlength=128)
    assert per_position[[0, 127]].sum() == 0
    inner, mean = per_position[1:127], total / 126
    assert ((inner - mean) ** 2 / mean).sum() < 126 + 5 * np.sqrt(2 * 126)
    untouched = np.ones(ids.shape, bool)
    untouched[rows, positions] = False
    assert (inputs[untouched] == ids[untouched]).all()


def test_a_block_is_masked_by_its_seed_alone() -> None:
    masking = Masking(toy_tokenizer(), MaskingConfig())
    ids, seeds = random_blocks(50, 40), seeds_for(50)
    together = masking.apply(ids, seeds)
    order = np.random.default_rng(3).permutation(50)
    shuffled = masking.apply(ids[order], seeds[order])
    for whole, part in zip(together, shuffled, strict=True):
        assert (whole[order] == part).all()
    again = masking.apply(ids, seeds + np.uint64(1))
    assert (again[1] != together[1]).any(1).mean() > 0.9


def test_short_and_empty_blocks() -> None:
    ids = np.full((3, 20), PAD)
    ids[0, :4] = [CLS, 10, 11, SEP]
    ids[1, :2] = [CLS, SEP]
    ids[2] = 12
    inputs, positions, labels = Masking(toy_tokenizer(), MaskingConfig()).apply(ids, seeds_for(3))
    assert positions.shape == (3, 3)
    # Two tokens: at least one is chosen. None: nothing is.
    assert (labels[0] != IGNORED).sum() == 1
    assert labels[0, 0] in (10, 11)
    assert (labels[1] == IGNORED).all()
    assert (inputs[1] == ids[1]).all()
    assert (labels[2] == 12).all()


def test_other_shares() -> None:
    ids, seeds = random_blocks(200, 50), seeds_for(200)
    config = MaskingConfig(masking_rate=0.4, mask_share=1.0, random_share=0.0)
    inputs, _, labels = Masking(toy_tokenizer(), config).apply(ids, seeds)
    assert ((inputs == MASK).sum(1) == round(0.4 * 48)).all()
    assert ((labels != IGNORED).sum(1) == round(0.4 * 48)).all()
    keep = MaskingConfig(mask_share=0.0, random_share=0.0)
    assert (Masking(toy_tokenizer(), keep).apply(ids, seeds)[0] == ids).all()
    with pytest.raises(OptionError, match="together at most 1"):
        MaskingConfig(mask_share=0.95, random_share=0.1)


@pytest.mark.parametrize("algorithm", ["wordpiece", "byte-bpe", "unigram", "bpe"])
def test_whole_words_are_masked_or_not(algorithm) -> None:
    text = "unbelievable incomprehensible, it is; the extraordinary 12345 misunderstandings of antiestablishment"
    tokenizer = train_tokenizer(
        ["able in un com it is the of ing s 1 2 3 4 5 , ;", text],
        TokenizerConfig(algorithm=algorithm, min_frequency=3 if algorithm != "unigram" else 1),
    )
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = np.tile(np.array(encoded["input_ids"]), (300, 1))
    # The tokens of each word: those that overlap with it, the space before it aside.
    spans = [found.span() for found in re.finditer(r"\w+", text)]
    words = [[i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > start] for start, end in spans]
    config = MaskingConfig(whole_words=True, mask_share=1.0, random_share=0.0, masking_rate=0.3)
    inputs, _, labels = Masking(tokenizer, config).apply(ids, seeds_for(300))
    hidden = inputs == tokenizer.mask_token_id
    assert (hidden.sum(1) == (labels != IGNORED).sum(1)).all()
    # Cut only where a word alone is more than the share of a block.
    room = round(0.3 * (ids.shape[1] - 2))
    for row in hidden:
        for word in words:
            if len(word) <= room:
                assert row[word].all() or not row[word].any()
    assert hidden.any(1).all()


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    from copy import deepcopy

    tokenizer = deepcopy(toy_tokenizer())
    tokenizer.mask_token = None
    with pytest.raises(OptionError, match="no mask token"):
        Masking(tokenizer, MaskingConfig())
