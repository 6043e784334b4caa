"""Each fusion against the formula of its paper, a pair and a number at a time, in double precision."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from multimodal.fusions.configuration import FusionConfig
from multimodal.fusions.fusion import Fusion
from multimodal.fusions.methods import make_fusion
from multimodal.fusions.places import coordinates_of
from nlprep.core.randomness import seeded_torch

TEXT, IMAGE = 4, 3
SIZES = {"dimension": 5, "width": 6, "depth": 2, "rank": 3, "glimpses": 2, "heads": 2}


def made(kind: str, **changes: object) -> tuple[Fusion, torch.Tensor, torch.Tensor]:
    """A fusion in double precision, whose intercepts are not zeros, and one pair for it."""
    fusion = make_fusion(TEXT, IMAGE, dataclasses.replace(FusionConfig(kind=kind, **SIZES), **changes)).double()
    places = (2, 3) if fusion.gridded else ()
    with seeded_torch(5), torch.no_grad():
        for parameter in fusion.parameters():
            parameter.copy_(torch.randn_like(parameter))
        return fusion, torch.randn(1, TEXT).double(), torch.randn(1, *places, IMAGE).double()


def mapped(layer: nn.Linear, values: torch.Tensor) -> torch.Tensor:
    """A linear map of a vector."""
    return layer.weight @ values + (0 if layer.bias is None else layer.bias)


def checked(fused: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(fused[0], expected, rtol=0, atol=1e-10)


def test_concatenation_sum_and_mlp() -> None:
    fusion, text, image = made("concatenation")
    checked(fusion(text, image), torch.cat([text[0], image[0]]))
    fusion, text, image = made("sum")
    checked(fusion(text, image), mapped(fusion.from_text, text[0]) + fusion.from_image.weight @ image[0])
    fusion, text, image = made("mlp")
    first, _, second, _, last = fusion.layers
    both = torch.cat([text[0], image[0]])
    checked(fusion(text, image), mapped(last, mapped(second, mapped(first, both).relu()).relu()))


def test_product_and_low_rank_bilinear_pooling() -> None:
    fusion, text, image = made("product")
    checked(fusion(text, image), mapped(fusion.from_text, text[0]) * mapped(fusion.from_image, image[0]))
    fusion, text, image = made("mlb")
    joint = mapped(fusion.from_text, text[0]).tanh() * mapped(fusion.from_image, image[0]).tanh()
    checked(fusion(text, image), mapped(fusion.out, joint))


def test_bilinear_is_torchs_own() -> None:
    fusion, text, image = made("bilinear")
    weights = fusion.layer.weight.view(5, TEXT, IMAGE)
    checked(fusion(text, image), functional.bilinear(text, image, weights, fusion.layer.bias)[0])
    slow = [text[0] @ weights[k] @ image[0] + fusion.layer.bias[k] for k in range(5)]
    checked(fusion(text, image), torch.stack(slow))


def test_low_rank_tensor_fusion_is_tensor_fusion_with_a_tensor_of_that_rank() -> None:
    fusion, text, image = made("low-rank-tensor")
    one = torch.ones(1, dtype=torch.float64)
    outer = torch.outer(torch.cat([text[0], one]), torch.cat([image[0], one]))
    texts, images = (
        torch.cat([layer.weight, layer.bias[:, None]], 1).view(3, 5, -1)
        for layer in (fusion.from_text, fusion.from_image)
    )
    tensor = torch.einsum("rki,rkj->kij", texts, images)
    assert all(torch.linalg.matrix_rank(tensor[k]) == 3 for k in range(5))
    checked(fusion(text, image), (tensor * outer).sum((1, 2)) + fusion.bias)


def test_tensor_fusion_keeps_what_each_side_says_alone() -> None:
    fusion, text, image = made("tensor")
    one = torch.ones(1, dtype=torch.float64)
    kept = [torch.cat([mapped(fusion.from_text, text[0]), one]), torch.cat([mapped(fusion.from_image, image[0]), one])]
    outer = torch.outer(*kept)
    assert torch.equal(outer[-1, :-1], kept[1][:-1])
    assert torch.equal(outer[:-1, -1], kept[0][:-1])
    checked(fusion(text, image), mapped(fusion.layer, outer.reshape(-1)))


def test_mutan_is_a_tucker_decomposition_whose_slices_have_the_rank() -> None:
    fusion, text, image = made("mutan", rank=2)
    for layer in (fusion.text_slices, fusion.image_slices):
        nn.init.zeros_(layer.bias)
    texts, images = (layer.weight.view(2, 6, 6) for layer in (fusion.text_slices, fusion.image_slices))
    core = torch.einsum("rki,rkj->ijk", texts, images)
    assert all(torch.linalg.matrix_rank(core[:, :, k]) == 2 for k in range(6))
    first, second = mapped(fusion.from_text, text[0]).tanh(), mapped(fusion.from_image, image[0]).tanh()
    checked(fusion(text, image), mapped(fusion.out, torch.einsum("ijk,i,j->k", core, first, second)))


def test_factorised_bilinear_pooling_adds_products_that_follow_each_other() -> None:
    for normalized in (False, True):
        fusion, text, image = made("mfb", normalized=normalized)
        products = mapped(fusion.from_text, text[0]) * mapped(fusion.from_image, image[0])
        sums = torch.stack([products[3 * k : 3 * k + 3].sum() for k in range(5)])
        roots = sums.sign() * sums.abs().sqrt()
        checked(fusion(text, image), roots / roots.norm() if normalized else sums)


def places_of(image: torch.Tensor) -> list[torch.Tensor]:
    """The places of a grid of two by three, each with where its middle lies."""
    middles = [(down, across) for down in (-1 / 2, 1 / 2) for across in (-2 / 3, 0, 2 / 3)]
    where = torch.tensor(middles, dtype=torch.float64)
    torch.testing.assert_close(coordinates_of(image).view(6, 2), where)
    return [torch.cat([vector, place]) for vector, place in zip(image[0].view(6, IMAGE), where, strict=True)]


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_product_at_every_place(pooling: str) -> None:
    fusion, text, image = made("grid-product", pooling=pooling)
    asked = mapped(fusion.from_text, text[0])
    units = torch.stack(
        [mapped(fusion.layers[0], asked * mapped(fusion.from_place, place)).relu() for place in places_of(image)]
    )
    checked(fusion(text, image), mapped(fusion.out, units.amax(0) if pooling == "max" else units.mean(0)))


def test_attention() -> None:
    fusion, text, image = made("attention", then="product")
    asked, places = mapped(fusion.from_text, text[0]).tanh(), places_of(image)
    scores = torch.stack([mapped(fusion.scores, asked * mapped(fusion.from_place, place).tanh()) for place in places])
    shares = scores.exp() / scores.exp().sum(0)
    torch.testing.assert_close(fusion.attend(text, image)[0], shares.T.reshape(2, 2, 3))
    found = torch.cat([sum(shares[p, g] * places[p] for p in range(6)) for g in range(2)])
    then = mapped(fusion.then.from_text, text[0]) * mapped(fusion.then.from_image, found)
    checked(fusion(text, image), then)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_film(pooling: str) -> None:
    fusion, text, image = made("film", depth=1, pooling=pooling)
    (block,) = fusion.blocks
    places = places_of(image)
    where = [place[IMAGE:] for place in places]
    stem = [mapped(fusion.stem, place[:IMAGE]).relu() for place in places]
    kept = [mapped(block.layer, torch.cat([one, at])).relu() for one, at in zip(stem, where, strict=True)]
    scales, shifts = mapped(block.modulation, text[0]).split(6)
    made_of = []
    for row in range(2):
        for column in range(3):
            seen = torch.zeros(6, dtype=torch.float64)
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    if 0 <= row + down < 2 and 0 <= column + across < 3:
                        weights = block.convolution.weight[:, :, down + 1, across + 1]
                        seen = seen + weights @ kept[3 * (row + down) + column + across]
            even = (seen - seen.mean()) / (seen.var(correction=0) + 1e-5).sqrt()
            number = 3 * row + column
            changed = kept[number] + ((1 + scales) * even + shifts).relu()
            made_of.append(mapped(fusion.layer[0], torch.cat([changed, where[number]])).relu())
    units = torch.stack(made_of)
    checked(fusion(text, image), mapped(fusion.out, units.amax(0) if pooling == "max" else units.mean(0)))


def test_cross_attention_reads_as_torchs_own() -> None:
    fusion, text, image = made("cross-attention", depth=1)
    (step,) = fusion.steps
    places = fusion.places_norm(
        torch.stack([mapped(fusion.from_image, p[:IMAGE]) + fusion.position(p[IMAGE:]) for p in places_of(image)])
    )
    vectors = mapped(fusion.from_text, text[0]).view(2, 6)
    reader = nn.MultiheadAttention(6, 2, batch_first=True).double()
    with torch.no_grad():
        reader.in_proj_weight.copy_(torch.cat([step.queries.weight, step.keys.weight, step.values.weight]))
        reader.in_proj_bias.copy_(torch.cat([step.queries.bias, torch.zeros(6), step.values.bias]))
        reader.out_proj.load_state_dict(step.read.state_dict())
        read, shares = reader(step.norm(vectors)[None], places[None], places[None])
        expected = step.block(vectors[None] + read)
        checked(fusion(text, image), mapped(fusion.out, fusion.norm(expected).reshape(-1)))
        torch.testing.assert_close(fusion.attend(text, image), shares.view(1, 2, 2, 3))


def bound_pairs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two objects of two that are red or blue, a square or a disc, and a text that asks for one such: is it there?

    In every "no" the colour and the shape are both there, on other objects, so that one vector of all places, which
    holds how many there are of each, does not tell.
    """
    generator = torch.Generator().manual_seed(seed)
    asked = torch.randint(0, 2, (count, 2), generator=generator)
    there = torch.randint(0, 2, (count,), generator=generator)
    # The objects: as asked and the other way round in both, or a trait of each.
    first = torch.stack([asked[:, 0], torch.where(there == 1, asked[:, 1], 1 - asked[:, 1])], 1)
    objects = torch.stack([first, 1 - first], 1)
    order = torch.randint(0, 2, (count,), generator=generator)
    objects = torch.where(order[:, None, None] == 1, objects.flip(1), objects)
    grid = torch.zeros(count, 2, 2, 4)
    lies = torch.stack([torch.randperm(4, generator=generator)[:2] for _ in range(count)])
    features = functional.one_hot(objects, 2).float().flatten(2)
    grid.view(count, 4, 4)[torch.arange(count)[:, None], lies] = 2 * features
    return 2 * functional.one_hot(asked, 2).float().flatten(1), grid, there


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["product", "compact-bilinear", "grid-product", "attention"])
def test_what_is_bound_in_one_place_is_seen_by_fusions_of_grids_alone(kind: str) -> None:
    sizes = {"dimension": 64, "width": 64, "depth": 1, "glimpses": 2}
    fusion = make_fusion(4, 4, FusionConfig(kind=kind, then="mlp", **sizes))

    def fused(text: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return fusion(text, grid if fusion.gridded else grid.mean((1, 2)))

    with seeded_torch(1):
        above = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam([*fusion.parameters(), *above.parameters()], lr=0.01)
    text, grid, there = bound_pairs(1024, 1)
    for step in range(120):
        rows = torch.arange(64 * step, 64 * (step + 1)) % len(text)
        optimizer.zero_grad()
        functional.cross_entropy(above(fused(text[rows], grid[rows])), there[rows]).backward()
        optimizer.step()
    text, grid, there = bound_pairs(600, 2)
    with torch.no_grad():
        right = float((above(fused(text, grid)).argmax(1) == there).float().mean())
    assert right > 0.9 if fusion.gridded else 0.4 < right < 0.6
