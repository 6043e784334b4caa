"""The linear probe against Newton's method, its choices of labels, and what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array
from scipy.special import softmax

from nlprep.core.errors import NlprepError, OptionError
from nlprep.evaluation import linear_probe
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.intervals import wilson_interval
from nlprep.evaluation.linear_probe import (
    L2_GRID,
    LinearProbe,
    ProbePoint,
    ProbeWarning,
    choose_l2,
    fit_linear_probe,
    probe_features,
    stratified_order,
)
from nlprep.evaluation.nearest_neighbors import evaluate_neighbors


def blobs(
    n: int, *, classes: int = 3, dimension: int = 6, apart: float = 1.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dimension)) * apart
    labels = generator.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    return (centres[labels] + generator.normal(size=(n, dimension))).astype(np.float32), labels


def newton_fit(features: np.ndarray, labels: np.ndarray, classes: int, l2: float) -> np.ndarray:
    """The minimum (d + 1, C) by Newton's method with the whole Hessian: slow, and nothing of L-BFGS."""
    n, d = features.shape
    inputs = np.column_stack([features, np.ones(n)])
    penalty = l2 * np.diag(np.append(np.ones(d), 0.0))
    targets = np.eye(classes)[labels]
    weights = np.zeros((d + 1, classes))
    for _ in range(60):
        chances = softmax(inputs @ weights, axis=1)
        gradient = inputs.T @ (chances - targets) / n + penalty @ weights
        hessian = np.zeros(((d + 1) * classes,) * 2)
        for row, chance in zip(inputs, chances, strict=True):
            hessian += np.kron(np.outer(row, row), np.diag(chance) - np.outer(chance, chance)) / n
        hessian += np.kron(penalty, np.eye(classes))
        # A number added to every bias changes nothing: the least step of all that solve it.
        weights -= np.linalg.lstsq(hessian, gradient.ravel(), rcond=1e-10)[0].reshape(weights.shape)
        if np.abs(gradient).max() < 1e-12:
            break
    return weights


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_fit_is_that_of_newtons_method(l2, classes):
    features, labels = blobs(120, classes=classes)
    features = features * np.array([1, 10, 0.1, 1, 1, 1]) + 5
    probe = fit_linear_probe(features, labels, classes, l2=l2, tolerance=1e-8)
    assert probe.converged
    middle, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    reference = newton_fit((features - middle) / spread, labels, classes, l2)
    np.testing.assert_allclose(probe.weights, reference[:-1], atol=1e-5)
    tests, _ = blobs(50, classes=classes, seed=1)
    logits = (tests - middle) / spread @ reference[:-1] + reference[-1]
    np.testing.assert_allclose(softmax(probe.logits(tests), axis=1), softmax(logits, axis=1), atol=2e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_gradient_vanishes_at_the_fit(classes):
    features, labels = blobs(60, classes=classes)
    probe = fit_linear_probe(features, labels, classes, l2=0.01, tolerance=1e-8)
    standard = torch.from_numpy((features - probe.centre) / probe.scale)
    weights = torch.from_numpy(probe.weights.copy()).requires_grad_()
    bias = torch.from_numpy(probe.bias.copy()).requires_grad_()
    loss = torch.nn.functional.cross_entropy(standard @ weights + bias, torch.from_numpy(labels))
    (loss + 0.01 / 2 * weights.square().sum()).backward()
    assert weights.grad.abs().max() < 1e-7
    assert bias.grad.abs().max() < 1e-7


@pytest.mark.parametrize("classes", [2, 3])
def test_a_fit_that_ends_early_says_so(classes):
    features, labels = blobs(80, classes=classes)
    with pytest.warns(ProbeWarning, match="80 examples with l2 = 0.0001 stopped after 2 steps") as caught:
        probe = fit_linear_probe(features, labels, classes, l2=1e-4, max_iterations=2)
    assert not probe.converged
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_linear_probe(features, labels, classes, l2=1e-4).converged


def test_sparse_features_give_what_dense_ones_do():
    generator = np.random.default_rng(3)
    dense = generator.normal(size=(80, 12)) * (generator.random((80, 12)) < 0.3)
    labels = (dense[:, 0] + 0.3 * generator.normal(size=80) > 0).astype(np.int64)
    sparse = torch.from_numpy(dense).to_sparse_coo()
    one = fit_linear_probe(dense, labels, 2, l2=1e-3, standardize=False, tolerance=1e-8)
    other = fit_linear_probe(sparse, labels, 2, l2=1e-3, tolerance=1e-8)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
    np.testing.assert_array_equal(one.predict(dense), other.predict(sparse))
    kinds = (sparse, csr_array(dense), coo_array(dense))
    curves = [
        probe_features("x", (kind, labels), (kind, labels), ProbeConfig(labels="20,80", repeats=2, l2=0.01))
        for kind in kinds
    ]
    assert curves[0] == curves[1] == curves[2]
    np.testing.assert_array_equal(one.predict(torch.from_numpy(dense)), one.predict(dense))


def test_a_constant_feature_does_no_harm():
    features, labels = blobs(60)
    features[:, 2] = 7.3
    probe = fit_linear_probe(features, labels, 3, l2=1e-3)
    assert np.isfinite(probe.weights).all()
    assert probe.accuracy(features, labels) > 0.8


@pytest.mark.parametrize("classes", [2, 3])
def test_a_start_elsewhere_ends_at_the_same_place(classes):
    features, labels = blobs(100, classes=classes)
    plain = fit_linear_probe(features, labels, classes, l2=1e-3, tolerance=1e-8)
    begun = fit_linear_probe(
        features, labels, classes, l2=1e-3, tolerance=1e-8, start=fit_linear_probe(features, labels, classes, l2=1.0)
    )
    np.testing.assert_allclose(plain.weights, begun.weights, atol=1e-5)
    # From the solution itself no step is left to make.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = fit_linear_probe(features, labels, classes, l2=1e-3, max_iterations=1, start=plain)
    np.testing.assert_allclose(plain.weights, again.weights, atol=1e-4)


@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=60).map(lambda found: [0, 1, 2, 3, *found]),
    st.integers(0, 2**40),
)
@settings(max_examples=50, deadline=None)
def test_every_beginning_of_the_order_is_stratified(labels, seed):
    labels = np.array(labels)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert set(labels[order[:4]]) == {0, 1, 2, 3}
    for number in range(4, len(labels) + 1):
        counts = np.bincount(labels[order[:number]], minlength=4)
        expected = number * np.bincount(labels) / len(labels)
        # The first of each class comes early, which shifts the others by as much.
        assert np.abs(counts - expected).max() <= 4


def test_orders_differ_by_seed_and_only_by_it():
    labels = np.arange(40) % 4
    assert (stratified_order(labels, 1) == stratified_order(labels, 1)).all()
    assert (stratified_order(labels, 1) != stratified_order(labels, 2)).any()


@pytest.mark.slow
def test_more_labels_help_and_everything_is_reproducible():
    train, test = blobs(400, apart=0.7), blobs(300, apart=0.7, seed=5)
    config = ProbeConfig(labels="2%,20%,100%", repeats=4)
    curve = probe_features("blobs", train, test, config)
    assert curve == probe_features("blobs", train, test, config)
    assert [point.num_labels for point in curve.points] == [8, 80, 400]
    assert [len(point.accuracies) for point in curve.points] == [4, 4, 1]
    accuracies = [point.accuracy for point in curve.points]
    assert accuracies[0] < accuracies[1] <= accuracies[2] + 0.02
    assert curve.points[0].spread > 0
    assert curve.points[2].spread == 0
    written = curve.to_dict()
    assert written["points"][1]["accuracy"] == pytest.approx(accuracies[1])
    assert written["dimension"] == 6


def test_the_penalty_is_chosen_by_held_out_labels():
    generator = np.random.default_rng(0)
    # Forty examples of two hundred features, of which one counts: without a penalty the rest is learnt by heart.
    labels = np.arange(40) % 2
    features = generator.normal(size=(40, 200))
    features[:, 0] += 3 * labels
    assert choose_l2(features, labels, 2) in L2_GRID
    # One of each class: nothing to hold out.
    assert choose_l2(features[:2], labels[:2], 2) == 0.01


@pytest.mark.slow
def test_of_many_examples_rough_fits_choose_what_exact_ones_do(monkeypatch):
    features, labels = blobs(5600, dimension=12, apart=0.3)
    features[:, ::2] *= np.random.default_rng(5).normal(size=(len(labels), 6))
    tolerances = []

    def record(*data, tolerance, **settings):
        tolerances.append(tolerance)
        return fit_linear_probe(*data, tolerance=tolerance, **settings)

    monkeypatch.setattr(linear_probe, "fit_linear_probe", record)
    rough = choose_l2(features, labels, 3)
    monkeypatch.setattr(linear_probe, "_ROUGHLY", linear_probe._EXACTLY)
    assert choose_l2(features, labels, 3) == rough
    choose_l2(features[:100], labels[:100], 3)
    assert tolerances == [1e-4] * len(L2_GRID) + [1e-6] * 2 * len(L2_GRID)


def test_spread_is_the_sample_standard_deviation():
    point = ProbePoint(10, 0.1, (0.5, 0.7, 0.9), (1.0, 1.0, 1.0), 100)
    assert point.accuracy == pytest.approx(0.7)
    assert point.spread == pytest.approx(np.std([0.5, 0.7, 0.9], ddof=1))


def test_logits_are_of_standardised_features():
    probe = LinearProbe(np.eye(2), np.array([0.5, 0.0]), np.array([1.0, 2.0]), np.array([2.0, 4.0]), 0.1)
    np.testing.assert_allclose(probe.logits(np.array([[3.0, 2.0]])), [[1.5, 0.0]])


@pytest.mark.parametrize(
    "labels", ["ten", "0", "0%", "-3", "", "5%,x%", "1.5", "/class", "0/class", "-1/class", "5%/class"]
)
def test_numbers_of_labels_that_are_none(labels):
    with pytest.raises(OptionError, match="labels = "):
        ProbeConfig(labels=labels)


def test_numbers_of_labels():
    def numbers(labels, available, classes=2):
        return [(amount.number, amount.per_class) for amount in ProbeConfig(labels=labels).amounts(available, classes)]

    assert numbers("100%, 1%,10%", 300) == [(3, None), (30, None), (300, None)]
    assert numbers("50,0.5%", 1000) == [(5, None), (50, None)]
    assert numbers("1/class,8/class,1%,10", 1000, 10) == [(10, None), (10, 1), (80, 8)]
    with pytest.raises(OptionError, match="only 40"):
        numbers("50", 40)
    with pytest.raises(OptionError, match="only 40"):
        numbers("21/class", 40)


def uneven(n, seed=0):
    features, labels = blobs(n, seed=seed)
    keep = (labels != 2) | (np.arange(n) % 4 == 0)
    return features[keep], labels[keep]


@pytest.mark.parametrize("classifier", ["linear", "neighbors"])
@pytest.mark.slow
def test_few_labels_of_each_class(classifier, monkeypatch):
    from nlprep.evaluation import linear_probe

    given = []
    fitted = linear_probe._fit_chosen

    def spy(matrix, labels, *rest):
        given.append((matrix.copy(), labels.copy()))
        return fitted(matrix, labels, *rest)

    monkeypatch.setattr(linear_probe, "_fit_chosen", spy)
    (features, labels), test = uneven(240), uneven(160, seed=1)
    config = ProbeConfig(labels="1/class,2/class,4/class,8/class,100%", repeats=3, classifier=classifier)
    curve = probe_features("x", (features, labels), test, config)
    assert [point.per_class for point in curve.points] == [1, 2, 4, 8, None]
    assert [point.num_labels for point in curve.points] == [3, 6, 12, 24, len(labels)]
    chosen: dict[int, list] = {}
    for matrix, answers in given:
        if len(answers) < len(labels):
            # As many of each, however rare.
            assert set(np.bincount(answers).tolist()) == {len(answers) // 3}
        chosen.setdefault(len(answers), []).append({tuple(row) for row in matrix.tolist()})
    assert len(chosen[3]) == 3
    for small, large in zip(chosen[3], chosen[24], strict=True):
        assert small < large
    assert len({frozenset(rows) for rows in chosen[3]}) > 1
    assert curve.points[0].accuracy < curve.points[-1].accuracy
    assert curve == probe_features("x", (features, labels), test, config)


def test_neighbours_are_those_of_their_own_module():
    train, test = blobs(90), blobs(60, seed=1)
    (point,) = probe_features("x", train, test, ProbeConfig(labels="100%", classifier="neighbors")).points
    alone = evaluate_neighbors(train, test)
    assert point.accuracy == alone.accuracy.value
    assert point.chosen == (alone.k,)
    with pytest.raises(NlprepError, match="dense features: choose the linear"):
        probe_features("x", (csr_array(train[0]), train[1]), test, ProbeConfig(classifier="neighbors", labels="100%"))
    with pytest.raises(NlprepError, match=r"'40/class': one class has \d+ training examples only"):
        probe_features("x", uneven(240), test, ProbeConfig(labels="40/class"))


def test_an_interval_holds_both_sources_of_chance():
    tested = wilson_interval(70, 100)
    one = ProbePoint(10, 0.1, (0.7,), (1.0,), 100)
    assert (one.interval.low, one.interval.high) == pytest.approx((tested.low, tested.high))
    # Student's 97.5% quantile with two degrees of freedom is 4.302653.
    point = ProbePoint(10, 0.1, (0.65, 0.7, 0.75), (1.0,) * 3, 100)
    choices = 4.302653 * 0.05 / np.sqrt(3)
    assert point.interval.low == pytest.approx(0.7 - np.hypot(choices, 0.7 - tested.low))
    assert point.interval.high == pytest.approx(0.7 + np.hypot(choices, tested.high - 0.7))
    assert ProbePoint(2, 0.1, (0.0, 1.0), (1.0,) * 2, 10).interval.to_dict() == {
        "value": 0.5,
        "low": 0.0,
        "high": 1.0,
        "level": 0.95,
    }


@pytest.mark.slow
def test_intervals_hold_the_accuracy_of_other_choices_and_examples():
    # A threshold at the middle of two normals; the truth is the mean over many choices on a large test set.
    generator = np.random.default_rng(0)

    def draw(n):
        labels = np.arange(n) % 2
        return generator.normal(size=(n, 1)) + 1.2 * labels[:, None], labels

    config = ProbeConfig(labels="2/class", repeats=5, l2=0.01)
    truth = np.mean(
        [
            probe_features("x", draw(400), draw(4000), ProbeConfig(labels="2/class", repeats=5, l2=0.01, seed=seed))
            .points[0]
            .accuracy
            for seed in range(8)
        ]
    )
    held = [
        found.low <= truth <= found.high
        for seed in range(30)
        for found in [probe_features("x", draw(60), draw(50), config).points[0].interval]
    ]
    assert 26 <= sum(held) <= 30


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x, y: ((x, y * 0), (x, y * 0)), "one class only"),
        (lambda x, y: ((x, y[:-1]), (x, y)), "a row for each label"),
        (lambda x, y: ((x, y), (x[:, :2], y)), "must be the same"),
        (lambda x, y: ((x, y * 2), (x, y)), "without a gap"),
        (lambda x, y: ((x, y), (x, y + 1)), "test labels reach 3"),
        (lambda x, y: ((x, y), (x[:0], y[:0])), "no test examples"),
        (lambda x, y: ((np.where(x == x.max(), np.nan, x), y), (x, y)), "not finite"),
        (lambda x, y: ((csr_array(np.where(x == x.max(), np.inf, x)), y), (x, y)), "not finite"),
        (lambda x, y: ((x[:40], y[:40]), (x, y)), "fewer than the 3 classes"),
    ],
)
def test_data_that_cannot_be_probed(change, problem):
    train, test = change(*blobs(60))
    with pytest.raises(NlprepError, match=problem):
        probe_features("x", train, test, ProbeConfig(labels="5%,100%"))


def test_a_class_without_examples():
    features, labels = blobs(60)
    with pytest.raises(NlprepError, match="2 of 3 classes"):
        fit_linear_probe(features[labels < 2], labels[labels < 2], 3, l2=1e-3)
