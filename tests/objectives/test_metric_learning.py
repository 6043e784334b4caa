"""Losses of distances against slow loops, finite differences and torch's own, and where distances are 0."""

from __future__ import annotations

import itertools

import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.wholeness import divided
from nlprep.objectives.metric_learning import centre, contrastive, contrastive_in_batch, distances, triplet

LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3])


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return sum(float(a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def slow_pair(one: torch.Tensor, other: torch.Tensor, *, alike: bool, margin: float) -> float:
    apart = slow_distance(one, other)
    return apart**2 / 2 if alike else max(0.0, margin - apart) ** 2 / 2


def slow_triplet(vectors: torch.Tensor, labels: torch.Tensor, margin: float, mining: str) -> float:
    found = []
    for a in range(len(vectors)):
        same = [slow_distance(vectors[a], vectors[p]) for p in range(len(vectors)) if labels[p] == labels[a] and p != a]
        others = [slow_distance(vectors[a], vectors[n]) for n in range(len(vectors)) if labels[n] != labels[a]]
        if mining == "hard" and same and others:
            found.append(max(0.0, margin + max(same) - min(others)))
        if mining == "all":
            found += [max(0.0, margin + p - n) for p, n in itertools.product(same, others)]
    return sum(found) / len(found)


@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_pairs_are_the_slow_loop(margin: float) -> None:
    first, second, alike = drawn(6, 3), drawn(6, 3, seed=1), torch.arange(6) % 3 == 0
    wanted = [slow_pair(first[n], second[n], alike=bool(alike[n]), margin=margin) for n in range(6)]
    assert float(contrastive(first, second, alike, margin=margin)) == pytest.approx(sum(wanted) / 6, rel=1e-12)
    same = LABELS[:, None] == LABELS
    vectors = drawn(7, 3)
    kinds: dict[bool, list[float]] = {True: [], False: []}
    for one, other in itertools.combinations(range(7), 2):
        kind = bool(same[one, other])
        kinds[kind].append(slow_pair(vectors[one], vectors[other], alike=kind, margin=margin))
    expected = sum(sum(found) / len(found) for found in kinds.values())
    assert float(contrastive_in_batch(vectors, same, margin=margin)) == pytest.approx(expected, rel=1e-12)
    # The diagonal, which says that each is like itself, does not count.
    bare = same & ~torch.eye(7, dtype=torch.bool)
    assert contrastive_in_batch(vectors, bare, margin=margin) == contrastive_in_batch(vectors, same, margin=margin)


@pytest.mark.parametrize("mining", ["hard", "all"])
@pytest.mark.parametrize("margin", [0.1, 2.0])
def test_triplets_are_the_slow_loop(margin: float, mining: str) -> None:
    found = triplet(drawn(7, 3), LABELS, margin=margin, mining=mining)
    assert float(found) == pytest.approx(slow_triplet(drawn(7, 3), LABELS, margin, mining), rel=1e-12)


def test_one_triplet_is_torchs() -> None:
    vectors = drawn(3, 4)
    # With the first as anchor and then the second.
    pairs = (torch.nn.functional.triplet_margin_loss(*vectors[[a, p, 2]][:, None], margin=2, eps=0)
             for a, p in ((0, 1), (1, 0)))  # fmt: skip
    expected = sum(pairs) / 2
    for mining in ("hard", "all"):
        torch.testing.assert_close(triplet(vectors, torch.tensor([0, 0, 1]), margin=2, mining=mining), expected)


def test_centres_are_the_slow_loop_and_settle_on_the_means() -> None:
    vectors, centres = drawn(7, 3), drawn(4, 3, seed=1)
    wanted = sum(slow_distance(vectors[n], centres[LABELS[n]]) ** 2 / 2 for n in range(7)) / 7
    assert float(centre(vectors, LABELS, centres)) == pytest.approx(wanted, rel=1e-12)
    means = torch.stack([vectors[number == LABELS].mean(0) for number in range(4)]).requires_grad_()
    (gradient,) = torch.autograd.grad(centre(vectors, LABELS, means), means)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    first, second, centres = (drawn(7, 3, seed=seed).requires_grad_() for seed in range(3))
    same = LABELS[:, None] == LABELS
    assert torch.autograd.gradcheck(lambda a, b: contrastive(a, b, LABELS == 0, margin=3.0), (first, second))
    assert torch.autograd.gradcheck(lambda v: contrastive_in_batch(v, same, margin=3.0), first)
    for mining in ("hard", "all"):
        assert torch.autograd.gradcheck(lambda v, by=mining: triplet(v, LABELS, margin=1.0, mining=by), first)
    assert torch.autograd.gradcheck(lambda v, c: centre(v, LABELS, c), (first, centres))


def test_vectors_that_coincide_have_finite_gradients() -> None:
    vectors = torch.ones(7, 3, requires_grad=True)
    same = LABELS[:, None] == LABELS
    losses = [
        (0.5, contrastive(vectors, vectors.detach(), torch.zeros(7, dtype=torch.bool))),
        (0.5, contrastive_in_batch(vectors, same)),
        (0.2, triplet(vectors, LABELS)),
        (0.2, triplet(vectors, LABELS, mining="all")),
        (0.0, centre(vectors, LABELS, torch.ones(4, 3))),
    ]
    for value, loss in losses:
        assert float(loss) == pytest.approx(value)
        (gradient,) = torch.autograd.grad(loss, vectors)
        assert torch.equal(gradient, torch.zeros(7, 3))


def test_small_distances_are_not_lost_far_from_the_origin() -> None:
    vectors = torch.tensor([[1000.0, 0.0], [1000.0, 0.25]])
    assert float(distances(vectors, vectors)[0, 1]) == 0.25


def test_batches_without_a_pair_or_a_triplet_are_worth_nothing() -> None:
    vectors = torch.randn(4, 3, requires_grad=True)
    for labels in (torch.arange(4), torch.zeros(4, dtype=torch.int64)):
        for mining in ("hard", "all"):
            loss = triplet(vectors, labels, mining=mining)
            assert float(loss) == 0
            assert torch.equal(torch.autograd.grad(loss, vectors)[0], torch.zeros(4, 3))
    alone = contrastive_in_batch(vectors[:1], torch.ones(1, 1, dtype=torch.bool))
    assert torch.equal(torch.autograd.grad(alone, vectors)[0], torch.zeros(4, 3))


def test_autocast_and_half_precision_lose_nothing() -> None:
    vectors, same = drawn(7, 3).float(), LABELS[:, None] == LABELS
    for loss in (lambda v: contrastive_in_batch(v, same), lambda v: triplet(v, LABELS)):
        exact = loss(vectors)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(vectors), exact)
        assert torch.equal(loss(vectors.bfloat16()), loss(vectors.bfloat16().float()))


def test_what_does_not_fit_is_said() -> None:
    vectors = torch.ones(3, 2)
    with pytest.raises(OptionError, match=r"pairs of shapes \[3, 2\] and \[2, 2\]"):
        contrastive(vectors, vectors[:2], torch.ones(3))
    with pytest.raises(OptionError, match=r"alike of shape \[2\] for 3 pairs"):
        contrastive(vectors, vectors, torch.ones(2))
    with pytest.raises(OptionError, match=r"alike of shape \[3\] for 3 vectors"):
        contrastive_in_batch(vectors, torch.ones(3))
    with pytest.raises(OptionError, match="margin = 0: must be above 0"):
        triplet(vectors, torch.zeros(3), margin=0)
    with pytest.raises(OptionError, match="mining = 'soft': choose from hard, all"):
        triplet(vectors, torch.zeros(3), mining="soft")
    with pytest.raises(OptionError, match=r"labels of shape \[2\] for 3 vectors"):
        triplet(vectors, torch.zeros(2))
    with pytest.raises(OptionError, match=r"centres of shape \[2, 3\]: expected \(classes, 2\)"):
        centre(vectors, torch.zeros(3, dtype=torch.int64), torch.ones(2, 3))
    with divided(2), pytest.raises(OptionError, match="a loss of triplets couples the examples"):
        triplet(vectors, torch.zeros(3))
    with divided(2), pytest.raises(OptionError, match="a loss of pairs couples the examples"):
        contrastive_in_batch(vectors, torch.ones(3, 3))
