"""The U-Net: any size, what it is told, and that its examples are apart."""

from __future__ import annotations

import math

import pytest
import torch

from nlprep.core.randomness import seeded_torch
from vision.backbones.configuration import UNetConfig
from vision.backbones.unet import UNet, wave_features


def make(shape: tuple[int, int, int], **changes) -> UNet:
    with seeded_torch(1):
        network = UNet(shape, UNetConfig(**{"width": 8} | changes))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 13), (1, 1, 5), (2, 16, 8)])
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_images_of_any_size_give_images_of_that_size(shape: tuple[int, int, int], patch: int) -> None:
    network = make(shape, patch=patch)
    with torch.no_grad():
        said = network(torch.randn(2, *shape), torch.tensor([3.0, 400.0]))
        assert said.shape == (2, *shape)
        assert network.middle_maps(torch.randn(0, *shape), torch.zeros(0)).shape[:2] == (0, network.dimension)


def test_it_says_nothing_at_first() -> None:
    network = UNet((1, 8, 8), UNetConfig(width=8))
    assert not network(torch.randn(2, 1, 8, 8), torch.ones(2)).any()


@pytest.mark.parametrize("changes", [{}, {"attention": False, "blocks": 2, "depth": 2}])
def test_each_image_has_its_own_level_and_no_other_image(changes: dict) -> None:
    network, images = make((1, 12, 12), **changes), torch.randn(3, 1, 12, 12)
    with torch.no_grad():
        together = network(images, torch.tensor([1.0, 2.0, 900.0]))
        alone = torch.cat(
            [
                network(image[None], torch.tensor([level]))
                for image, level in zip(images, (1.0, 2.0, 900.0), strict=True)
            ]
        )
        other = network(images, torch.tensor([1.0, 2.0, 901.0]))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[:2], other[:2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together[2], other[2])


def test_attention_reaches_across_the_image() -> None:
    with seeded_torch(1):
        images = torch.randn(1, 1, 32, 32)
    changed = images.clone()
    changed[0, 0, 0, 0] += 5
    # One halving, and few convolutions: without attention the far corner does not see the near one, but for the groups
    # that are normalised together.
    for attention in (True, False):
        network = make((1, 32, 32), depth=1, attention=attention, patch=1)
        for part in network.modules():
            if isinstance(part, torch.nn.GroupNorm):
                part.forward = lambda maps: maps  # type: ignore[method-assign]
        with torch.no_grad():
            moved = network(changed, torch.ones(1)) - network(images, torch.ones(1))
        # Convolutions of a whole image may round otherwise where nothing has changed.
        assert bool(moved[0, 0, -1, -1].abs() > 1e-7 * moved.abs().max()) == attention


def test_levels_are_told_by_waves() -> None:
    found = wave_features(torch.tensor([0.0, 3.0]), 6)
    for place in range(3):
        angle = 3 / 10_000 ** (place / 3)
        assert float(found[1, place]) == pytest.approx(math.sin(angle), abs=1e-6)
        assert float(found[1, 3 + place]) == pytest.approx(math.cos(angle), abs=1e-6)
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
