from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlprep.embeddings.skipgram.sampling import TWO_TO_32, AliasTable, as_thresholds, keep_probabilities, noise_weights


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60))
def test_alias_table_represents_the_distribution(weights: list[float]) -> None:
    table = AliasTable.build(np.array(weights))
    size = len(weights)
    own = (table.thresholds.astype(np.float64) + 1) / TWO_TO_32
    represented = np.zeros(size)
    np.add.at(represented, np.arange(size), own / size)
    np.add.at(represented, table.aliases, (1 - own) / size)
    np.testing.assert_allclose(represented, np.array(weights) / np.sum(weights), atol=1e-8)


def test_keep_probabilities_are_word2vecs() -> None:
    counts = np.array([50_000, 900, 10], np.int64)
    share = counts / counts.sum()
    keep = keep_probabilities(counts, 1e-2)
    assert keep[0] == pytest.approx((np.sqrt(share[0] / 1e-2) + 1) * 1e-2 / share[0])
    assert keep[2] == 1
    assert (keep_probabilities(counts, 0) == 1).all()


def test_thresholds_reach_both_ends() -> None:
    assert as_thresholds(np.array([0.0, 0.5, 1.0])).tolist() == [0, TWO_TO_32 // 2 - 1, TWO_TO_32 - 1]


def test_noise_follows_the_power_of_counts() -> None:
    np.testing.assert_allclose(noise_weights(np.array([16, 1], np.int64), 0.75), [8, 1])
