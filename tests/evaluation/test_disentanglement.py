"""Codes whose disentanglement is known, and slow counts of the same."""

from __future__ import annotations

import json
from itertools import product
from math import log

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation.configuration import DisentanglementConfig
from nlprep.evaluation.disentanglement import (
    evaluate_disentanglement,
    importance_scores,
    information_gaps,
    mutual_information,
)

SIZES = (3, 4, 2)
FACTORS = np.array([combination for combination in product(*map(range, SIZES)) for _ in range(12)])
VALUES = FACTORS / (np.array(SIZES) - 1)


def rotated(codes):
    return codes @ np.linalg.qr(np.random.default_rng(5).normal(size=(codes.shape[1],) * 2))[0]


def test_a_code_that_is_the_factors_is_perfect():
    # In another order, of other scales and signs, beside a dimension that is dead.
    codes = np.column_stack([-5 * VALUES[:, 2], 0.1 * VALUES[:, 0], np.full(len(VALUES), 3.0), VALUES[:, 1] + 7])
    found = evaluate_disentanglement(codes, FACTORS, names=["shape", "size", "place"])
    assert found.mig == pytest.approx(1)
    assert found.disentanglement == pytest.approx(1)
    assert found.completeness == pytest.approx(1)
    assert found.informativeness == 1
    # The best dimension is right always; the second best guesses one of the values, or does worse by chance.
    assert found.sap_by_factor == pytest.approx([1 - 1 / 3, 1 - 1 / 4, 1 - 1 / 2], abs=0.12)
    assert found.bins == 20
    assert found.importance.argmax(axis=0).tolist() == [1, 3, 0]
    assert (found.importance[2] == 0).all()
    assert found.num_held_out == round(0.2 * len(VALUES))
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["factors"] == ["shape", "size", "place"]
    assert np.shape(plain["importance"]) == (4, 3)


@pytest.mark.slow
def test_turned_and_repeated_codes_are_less():
    perfect = evaluate_disentanglement(VALUES, FACTORS)
    turned = evaluate_disentanglement(rotated(VALUES), FACTORS)
    assert turned.mig < 0.3 < perfect.mig
    assert turned.disentanglement < 0.7 < perfect.disentanglement
    assert turned.completeness < 0.7
    assert turned.sap < 0.5 * perfect.sap
    # All is still there to be read, by all dimensions together.
    assert turned.informativeness > 0.9
    # Each factor twice: every dimension has one factor, no factor one dimension.
    twice = evaluate_disentanglement(np.column_stack([VALUES, VALUES]), FACTORS)
    assert twice.mig == pytest.approx(0, abs=1e-12)
    assert twice.sap == pytest.approx(0, abs=1e-12)
    assert twice.disentanglement == pytest.approx(1)
    # Two factors in one dimension, the other dimension the third: a dimension has two factors.
    joined = evaluate_disentanglement(
        np.column_stack([FACTORS[:, 0] * 4 + FACTORS[:, 1], FACTORS[:, 2]]), FACTORS, DisentanglementConfig(bins=12)
    )
    assert joined.completeness == pytest.approx(1)
    assert joined.disentanglement < 0.7
    noise = evaluate_disentanglement(np.random.default_rng(0).normal(size=(len(FACTORS), 3)), FACTORS)
    assert noise.disentanglement < 0.1
    assert noise.mig < 0.1
    assert noise.sap < 0.15


def test_mutual_information_is_a_count():
    codes = np.random.default_rng(0).normal(size=(len(FACTORS), 2)) + FACTORS[:, :2]
    found = mutual_information(codes, FACTORS, bins=5)
    n = len(codes)
    for dimension, factor in product(range(2), range(3)):
        low, high = codes[:, dimension].min(), codes[:, dimension].max()
        edges = low + (high - low) / 5 * np.arange(1, 5)
        places = [sum(value >= edge for edge in edges) for value in codes[:, dimension]]
        pairs = list(zip(places, FACTORS[:, factor].tolist(), strict=True))
        slow = sum(
            pairs.count(pair)
            / n
            * log(n * pairs.count(pair) / (places.count(pair[0]) * (FACTORS[:, factor] == pair[1]).sum()))
            for pair in set(pairs)
        )
        assert found[dimension, factor] == pytest.approx(slow)
    gaps = information_gaps(found, FACTORS)
    # Every value is as frequent: the entropy is the logarithm of their number.
    assert gaps == pytest.approx(np.abs(found[0] - found[1]) / np.log(SIZES))


def test_mig_depends_on_bins_which_are_told():
    codes = rotated(VALUES) + 0.2 * np.random.default_rng(1).normal(size=VALUES.shape)
    found = {
        bins: evaluate_disentanglement(codes, FACTORS, DisentanglementConfig(bins=bins, trees=1))
        for bins in (4, 20, 100)
    }
    assert len({result.mig for result in found.values()}) == 3
    assert [result.bins for result in found.values()] == [4, 20, 100]
    # More bins of few examples find more, whether it is there or not.
    assert (
        found[4].mutual_information.mean() < found[20].mutual_information.mean() < found[100].mutual_information.mean()
    )


def test_dci_of_importances_is_entropies():
    importance = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    rows = [-(0.75 * log(0.75) + 0.25 * log(0.25)), log(2)]
    disentanglement = sum(4 / 8 * (1 - entropy / log(3)) for entropy in rows)
    columns = [(3, 0.0), (3, -(1 / 3 * log(1 / 3) + 2 / 3 * log(2 / 3))), (2, 0.0)]
    completeness = sum(weight / 8 * (1 - entropy / log(3)) for weight, entropy in columns)
    assert importance_scores(importance) == pytest.approx((disentanglement, completeness))
    assert importance_scores(np.zeros((2, 2))) == (0, 0)


def test_separability_is_that_of_the_best_threshold():
    generator = np.random.default_rng(3)
    factors = np.column_stack([generator.integers(0, 2, 300), generator.integers(0, 2, 300)])
    codes = np.column_stack([generator.normal(size=300) + 1.5 * factors[:, 0], generator.normal(size=300)])
    found = evaluate_disentanglement(codes, factors)
    from nlprep.evaluation.disentanglement import _held_out

    aside = _held_out(factors, DisentanglementConfig())

    def balanced(given, truth):
        return np.mean([(given[truth == value] == value).mean() for value in (0, 1)])

    def gini(weights):
        return 1 - sum((weight / sum(weights)) ** 2 for weight in weights)

    for dimension, number in product(range(2), range(2)):
        column, answers = codes[:, dimension], factors[:, number]
        learned, truth = column[~aside], answers[~aside]
        weight = np.array([1 / (truth == value).mean() for value in (0, 1)])
        best, cut = np.inf, None
        places = np.sort(learned)
        for threshold in (places[1:] + places[:-1]) / 2:
            sides = [
                [weight[v] * ((truth == v) & ((learned > threshold) == up)).sum() for v in (0, 1)] for up in (0, 1)
            ]
            impurity = sum(sum(side) * gini(side) for side in sides)
            if impurity < best:
                best, cut = impurity, (threshold, [int(np.argmax(side)) for side in sides])
        given = np.array(cut[1])[(column[aside] > cut[0]).astype(int)]
        assert found.separability[dimension, number] == pytest.approx(balanced(given, answers[aside]))
    assert found.sap_by_factor[0] == pytest.approx(abs(found.separability[0, 0] - found.separability[1, 0]))


@pytest.mark.slow
def test_it_is_a_function_of_the_seed():
    codes = rotated(VALUES)
    one, again, other = (
        evaluate_disentanglement(codes, FACTORS, DisentanglementConfig(seed=seed)).to_dict() for seed in (1, 1, 2)
    )
    assert one == again
    assert one["importance"] != other["importance"]


@pytest.mark.parametrize(
    ("codes", "factors", "problem"),
    [
        (np.where(VALUES == 1, np.nan, VALUES), FACTORS, "row 1?[0-9]* of the codes has values that are not finite"),
        (VALUES[:, :1], FACTORS, "codes of one dimension"),
        (VALUES, FACTORS[:, :1], "two factors or more"),
        (VALUES, FACTORS[:-1], r"factors of shape \(287, 3\) for 288 codes"),
        (VALUES, VALUES, "number each factor's values from 0"),
        (VALUES, FACTORS - 1, "number each factor's values from 0"),
        (VALUES, FACTORS * [1, 0, 1], "factor 1 is 0 in every example"),
        (VALUES[:2], np.array([[0, 1], [1, 0]]), "2 examples are all needed"),
    ],
)
def test_what_cannot_be_measured(codes, factors, problem):
    with pytest.raises(NlprepError, match=problem):
        evaluate_disentanglement(codes, factors)


def test_what_cannot_be_asked():
    with pytest.raises(NlprepError, match="2 names for 3 factors"):
        evaluate_disentanglement(VALUES, FACTORS, names=["a", "b"])
    with pytest.raises(OptionError, match="bins = 1"):
        DisentanglementConfig(bins=1)
    # A value that one example has is learned from and not held out.
    few = FACTORS.copy()
    few[0, 0] = 9
    assert np.isfinite(evaluate_disentanglement(VALUES, few).sap)
