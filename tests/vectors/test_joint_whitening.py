import numpy as np
import pytest

from nlprep.core.errors import OptionError
from nlprep.vectors.configuration import WhiteningConfig
from nlprep.vectors.joint_whitening import PairedVectors, fit_jointly
from nlprep.vectors.whitening import fit_whitened


def make_pairs(*dimensions, noise=0.5, count=400, seed=1):
    """The same meanings in several languages, each turned and noisy."""
    generator = np.random.default_rng(seed)
    meanings = generator.standard_normal((count, min(dimensions))) * np.linspace(1.5, 0.5, min(dimensions))
    return [
        meanings @ np.linalg.qr(generator.standard_normal((size, size)))[0][: min(dimensions)]
        + noise * generator.standard_normal((count, size))
        for size in dimensions
    ]


def pair(one, other, sides, weights=None):
    weights = np.ones(len(sides[one])) if weights is None else weights
    return PairedVectors(one, other, (sides[one], sides[other]), weights)


def cosines(sides, maps):
    mapped = [side @ matrix for side, matrix in zip(sides, maps, strict=True)]
    mapped = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in mapped]
    return mapped[0] @ mapped[1].T


@pytest.mark.parametrize("dimensions", [(12, 12), (12, 9)])
def test_two_languages_are_the_closed_form(dimensions):
    sides = make_pairs(*dimensions)
    weights = np.random.default_rng(2).random(400)
    config = WhiteningConfig(source_power=0.5, target_power=0.5, dewhitening=0.75, ridge=1e-2)
    expected = cosines(sides, fit_whitened(*sides, weights=weights, config=config))
    found = fit_jointly([pair(0, 1, sides, weights)], reweighting=0.5, dewhitening=0.75, ridge=1e-2)
    # The shared space may be turned differently; what lies close in it is the same.
    np.testing.assert_allclose(cosines(sides, found), expected, atol=1e-6)


def test_a_language_listed_second_counts_alike():
    sides = make_pairs(8, 8)
    in_order = fit_jointly([pair(0, 1, sides)])
    swapped = fit_jointly([PairedVectors(1, 0, (sides[1], sides[0]), np.ones(400))])
    np.testing.assert_allclose(cosines(sides, swapped), cosines(sides, in_order), atol=1e-6)


def test_languages_that_are_never_paired_meet_through_a_third():
    sides = make_pairs(10, 12, 11, noise=0.2)
    maps = fit_jointly([pair(0, 1, sides), pair(0, 2, sides)])
    assert [matrix.shape for matrix in maps] == [(10, 10), (12, 10), (11, 10)]
    nearest = cosines(sides[1:], maps[1:]).argmax(axis=1)
    assert np.mean(nearest == np.arange(400)) > 0.9


def sum_of_traces(sides, maps, pairs):
    """What is maximised, of languages whitened by maps without re-weighting and de-whitening."""
    return sum(np.trace((sides[i] @ maps[i]).T @ (sides[j] @ maps[j])) / len(sides[i]) for i, j in pairs)


def test_no_turn_of_one_language_raises_the_sum_of_traces():
    sides = make_pairs(6, 6, 6, 6, noise=1.0)
    pairs = [(0, 1), (0, 2), (1, 2), (2, 3)]
    maps = fit_jointly([pair(*both, sides) for both in pairs], reweighting=0, dewhitening=0)
    best = sum_of_traces(sides, maps, pairs)
    generator = np.random.default_rng(5)
    for language in range(4):
        for _ in range(20):
            # A small turn: the exponential of a skew matrix, to the second order, made orthonormal.
            skew = 0.05 * generator.standard_normal((6, 6))
            turn = np.linalg.qr(np.eye(6) + (skew - skew.T))[0]
            turned = list(maps)
            turned[language] = maps[language] @ (turn * np.sign(np.diag(turn)))
            assert sum_of_traces(sides, turned, pairs) <= best + 1e-5


def test_a_third_language_helps_two_that_hardly_know_each_other():
    sides = make_pairs(20, 20, 20, noise=1.0, count=500)
    few = PairedVectors(0, 1, (sides[0][:30], sides[1][:30]), np.ones(30))
    many = [PairedVectors(i, 2, (sides[i][:300], sides[2][:300]), np.ones(300)) for i in (0, 1)]

    def share_right(maps):
        nearest = cosines(sides[:2], maps[:2])[300:, 300:].argmax(axis=1)
        return np.mean(nearest == np.arange(200))

    alone = share_right(fit_jointly([few], ridge=1e-2))
    assert share_right(fit_jointly([few, *many], ridge=1e-2)) > alone + 0.1


def test_what_cannot_be_fitted_is_refused():
    sides = make_pairs(5, 5, 5, 5)
    with pytest.raises(OptionError, match="no pairs"):
        fit_jointly([])
    with pytest.raises(OptionError, match="not reached"):
        fit_jointly([pair(0, 1, sides), pair(2, 3, sides)])
    with pytest.raises(OptionError, match="in no pair"):
        fit_jointly([pair(0, 2, sides)])
    few = [PairedVectors(0, 1, (sides[0][:3], sides[1][:3]), np.ones(3))]
    with pytest.raises(OptionError, match="variance"):
        fit_jointly(few)
