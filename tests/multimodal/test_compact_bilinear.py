"""Compact bilinear pooling against the double loop, and every way in which it has been got wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from multimodal.fusions.bilinear import outer_products
from multimodal.fusions.compact_bilinear import CompactBilinear, CountSketch, convolve, draw_hashes
from multimodal.fusions.configuration import FusionConfig
from multimodal.fusions.methods import make_fusion
from multimodal.fusions.normalization import normalized, signed_root
from nlprep.core.randomness import combine


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def pooling(n: int, m: int, dimension: int, *, seed: int = 1, normalized: bool = False) -> CompactBilinear:
    config = FusionConfig(kind="compact-bilinear", dimension=dimension, normalized=normalized)
    return CompactBilinear(n, m, config, seed=seed)


def slow_convolution(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    size = first.shape[1]
    made = torch.zeros_like(first)
    for i in range(size):
        for j in range(size):
            made[:, (i + j) % size] += first[:, i] * second[:, j]
    return made


def slow_pooling(fusion: CompactBilinear, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Every product of a number of the text and one of the image, put where the sum of their hashes says."""
    one, other, size = fusion.text_sketch, fusion.image_sketch, fusion.dimension
    made = torch.zeros(len(text), size, dtype=text.dtype)
    for i in range(text.shape[1]):
        for j in range(image.shape[1]):
            place = int(one.places[i] + other.places[j]) % size
            made[:, place] += one.signs[i] * other.signs[j] * text[:, i] * image[:, j]
    return made


@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_convolution_is_the_double_loop_with_its_gradient(size: int) -> None:
    first, second = drawn(3, size).requires_grad_(), drawn(3, size, seed=1).requires_grad_()
    made, expected = convolve(first, second), slow_convolution(first, second)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-12)
    weights = drawn(3, size, seed=2)
    gradients = torch.autograd.grad((made * weights).sum(), (first, second))
    for one, other in zip(gradients, torch.autograd.grad((expected * weights).sum(), (first, second)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(convolve, (first, second))
    assert torch.equal(
        torch.autograd.grad(convolve(first, second.detach()).sum(), first)[0], gradient_of_one(first, second)
    )


def gradient_of_one(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(convolve(first, second).sum(), first)[0]


def test_a_second_gradient_is_refused_not_wrong() -> None:
    first, second = drawn(2, 4).requires_grad_(), drawn(2, 4, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(convolve(first, second).square().sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("dimension", [1, 5, 9, 24, 101])
def test_it_is_the_double_loop_over_all_products_in_every_dimension(dimension: int) -> None:
    """In few places all indices collide; an odd length would come back a number short without being said."""
    fusion = pooling(8, 6, dimension)
    text, image = drawn(4, 8), drawn(4, 6, seed=1)
    torch.testing.assert_close(fusion(text, image), slow_pooling(fusion, text, image), rtol=0, atol=1e-12)
    single = fusion(text.float(), image.float())
    torch.testing.assert_close(single.double(), slow_pooling(fusion, text, image), rtol=0, atol=1e-5)


def test_indices_that_share_a_place_add_up_with_their_signs() -> None:
    sketch = CountSketch(50, 3, seed=1)
    values = drawn(2, 50)
    made = sketch(values)
    for place in range(3):
        here = sketch.places == place
        assert here.sum() > 1
        torch.testing.assert_close(made[:, place], (values[:, here] * sketch.signs[here]).sum(1))


def test_sketches_are_a_function_of_the_seed_and_each_side_has_its_own() -> None:
    one, same, other = (pooling(40, 40, 1000, seed=seed).state_dict() for seed in (1, 1, 2))
    assert sorted(one) == ["image_sketch.places", "image_sketch.signs", "text_sketch.places", "text_sketch.signs"]
    for key in one:
        assert torch.equal(one[key], same[key])
        assert not torch.equal(one[key], other[key])
    assert (one["text_sketch.places"] == one["image_sketch.places"]).sum() < 3
    assert 5 < (one["text_sketch.signs"] == one["image_sketch.signs"]).sum() < 35
    # A prefix of a longer hash is the hash: features that are appended leave the others where they were.
    assert torch.equal(pooling(60, 40, 1000).text_sketch.places[:40], one["text_sketch.places"])


def test_hashes_and_signs_are_uniform() -> None:
    sketch = CountSketch(60_000, 30, seed=3)
    counts = torch.bincount(sketch.places, minlength=30).double()
    # Chi-square with 29 degrees of freedom: mean 29, standard deviation 7.6.
    assert abs(float((counts - 2000).square().sum() / 2000) - 29) < 5 * 7.7
    assert abs(float(sketch.signs.mean())) < 5 / math.sqrt(60_000)
    assert sorted(sketch.signs.unique().tolist()) == [-1, 1]
    together = torch.corrcoef(torch.stack([sketch.places.double(), sketch.signs.double()]))[0, 1]
    assert abs(float(together)) < 5 / math.sqrt(60_000)


SKETCHES, PLACES, NUMBERS = 4000, 60, 12


def sketched(values: torch.Tensor, first_seed: int) -> torch.Tensor:
    """Rows (2, n) by the sketch of each of 4,000 seeds, (8000, d)."""
    places, signs = draw_hashes(combine(first_seed + np.arange(SKETCHES)), NUMBERS, PLACES)
    single = CountSketch(NUMBERS, PLACES, seed=first_seed + 17)
    assert single.places.tolist() == places[17].tolist()
    assert single.signs.tolist() == signs[17].tolist()
    made = torch.zeros(SKETCHES, 2, PLACES, dtype=values.dtype)
    index = torch.from_numpy(places)[:, None].expand(-1, 2, -1)
    made.scatter_add_(2, index, torch.from_numpy(signs)[:, None] * values)
    torch.testing.assert_close(single(values), made[17])
    return made.flatten(0, 1)


def inner_products(*, shared: bool) -> tuple[torch.Tensor, float]:
    """Of two pairs, by each of 4,000 sketches, the inner product of what is pooled; and (t . t') (v . v')."""
    # Sides alike in what they say, where one hash for both shows most.
    text, image = drawn(2, NUMBERS).abs(), drawn(2, NUMBERS, seed=1).abs()
    expected = float((text[0] @ text[1]) * (image[0] @ image[1]))
    pooled = convolve(sketched(text, 0), sketched(image, 0 if shared else SKETCHES)).unflatten(0, (SKETCHES, 2))
    return (pooled[:, 0] * pooled[:, 1]).sum(1), expected


def test_inner_products_are_unbiased_and_with_one_hash_for_both_sides_they_are_not() -> None:
    for shared in (False, True):
        found, expected = inner_products(shared=shared)
        error = (float(found.mean()) - expected) / (float(found.std()) / math.sqrt(SKETCHES))
        assert (abs(error) > 6) if shared else (abs(error) < 3), (shared, error)


def test_the_sides_of_a_fusion_are_as_apart_as_those_of_the_test_above() -> None:
    sketches = [pooling(NUMBERS, NUMBERS, PLACES, seed=seed) for seed in range(100)]
    shares = [float((one.text_sketch.places == one.image_sketch.places).double().mean()) for one in sketches]
    # One in sixty indices has the same place on both sides by chance.
    assert abs(sum(shares) / 100 - 1 / PLACES) < 5 * math.sqrt(1 / PLACES / (100 * NUMBERS))


def test_the_default_dimension_is_quick_to_transform() -> None:
    dimension = make_fusion(3, 4, "compact-bilinear").dimension
    assert dimension == 8000
    for factor in (2, 3, 5):
        while dimension % factor == 0:
            dimension //= factor
    assert dimension == 1


def test_roots_have_signs_and_derivatives_everywhere() -> None:
    values = torch.tensor([-4.0, -1e-6, 0.0, 1e-30, 0.25, 9.0], dtype=torch.float64, requires_grad=True)
    roots = signed_root(values)
    torch.testing.assert_close(roots, torch.tensor([-2, -1e-4, 0, 1e-28, 0.5, 3], dtype=torch.float64))
    (slopes,) = torch.autograd.grad(roots.sum(), values)
    torch.testing.assert_close(slopes, torch.tensor([0.25, 100, 100, 100, 1, 1 / 6], dtype=torch.float64))
    around = torch.tensor([1e-4 - 1e-12, 1e-4 + 1e-12], dtype=torch.float64)
    assert float(signed_root(around).diff()) == pytest.approx(0, abs=1e-8)


def test_rows_have_length_one_whatever_their_magnitude() -> None:
    values = drawn(4, 6)
    expected = values.sign() * values.abs().sqrt()
    expected = expected / expected.norm(dim=1, keepdim=True)
    for scale in (1e-30, 1.0, 1e30):
        torch.testing.assert_close(normalized(scale * values), expected)
    low = normalized((1e-30 * values).float())
    torch.testing.assert_close(low, expected.float())
    assert torch.autograd.gradcheck(normalized, values.requires_grad_())


@pytest.mark.parametrize("side", ["text", "image", "both", "a number"])
def test_zeros_have_finite_gradients(side: str) -> None:
    """A side that is missing is a row of zeros; and numbers that are 0 are what rectified features mostly are."""
    fusion = pooling(5, 4, 60, normalized=True)
    text, image = drawn(3, 5, dtype=torch.float32), drawn(3, 4, seed=1, dtype=torch.float32)
    if side in ("text", "both"):
        text[1] = 0
    if side in ("image", "both"):
        image[1] = 0
    if side == "a number":
        text[1, 2:] = 0
        image[1, 1:] = 0
    text.requires_grad_()
    image.requires_grad_()
    fused = fusion(text, image)
    assert torch.isfinite(fused).all()
    (fused * drawn(3, 60, seed=2, dtype=torch.float32)).sum().backward()
    for gradient in (text.grad, image.grad):
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() < 1e4


@pytest.mark.parametrize("name", ["compact-bilinear", "mfb"])
def test_magnitudes_whose_products_leave_the_range_of_half_numbers(name: str) -> None:
    fusion = make_fusion(64, 48, FusionConfig(kind=name, dimension=90), seed=1).half()
    text, image = ((400 * drawn(4, size, dtype=torch.float32)).half() for size in (64, 48))
    assert outer_products(text, image).isinf().any()
    fused = fusion(text, image)
    assert fused.dtype == torch.float16
    assert torch.isfinite(fused).all()
    torch.testing.assert_close(fused.float().norm(dim=1), torch.ones(4), atol=2e-3, rtol=0)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(fusion(text, image), fused)
