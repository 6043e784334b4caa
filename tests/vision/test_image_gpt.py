"""Image GPT: probabilities that add up, places that do not know what comes, and samples of the same probabilities."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from vision_toys import settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.models.image_gpt import ImageGpt
from vision.models.pretext_configuration import ImageGptConfig

SMALL = ImageGptConfig(levels=3, colour_levels=2, width=6, depth=2, heads=2)


@torch.no_grad()
def sharpened(model: ImageGpt) -> ImageGpt:
    """With weights large enough for its answers to depend on what it sees."""
    generator = torch.Generator().manual_seed(4)
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.normal_(0, 0.4, generator=generator)
    return model.eval()


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 1, 2)])
@torch.no_grad()
def test_probabilities_of_all_images_add_up_to_one(shape: tuple[int, int, int]) -> None:
    model = sharpened(ImageGpt(shape, SMALL))
    every = torch.tensor(list(itertools.product(range(model.colours), repeat=model.pixels)))
    images = model.images_of(every)
    assert torch.equal(model.tokens_of(images), every)
    probabilities = model.log_likelihood(images).double().exp()
    assert float(probabilities.sum()) == pytest.approx(1, rel=1e-5)
    assert float(probabilities.std()) > 1e-4
    found = model(images)
    assert float(found["loss"]) == pytest.approx(-float(probabilities.log().mean()), rel=1e-5)
    assert float(found["bits"]) == pytest.approx(float(found["loss"]) / math.prod(shape) / math.log(2), rel=1e-6)


@torch.no_grad()
def test_a_network_that_says_nothing_has_eight_bits() -> None:
    model = ImageGpt((1, 4, 3), replace(SMALL, levels=256))
    model.head.weight.zero_()
    model.head.bias.zero_()
    images = torch.arange(12, dtype=torch.uint8).view(1, 1, 4, 3) * 20
    assert float(model(images)["bits"]) == pytest.approx(8)
    # Of bytes nothing is lost.
    assert torch.equal((model.images_of(model.tokens_of(images)) * 255).round().byte(), images)


@torch.no_grad()
def test_no_place_knows_of_what_comes_later() -> None:
    model = sharpened(ImageGpt((1, 3, 3), SMALL))
    tokens = torch.randint(3, (1, 9), generator=torch.Generator().manual_seed(2))
    logits = model.predict(tokens)
    for place in range(9):
        other = tokens.clone()
        other[0, place] = (other[0, place] + 1) % 3
        changed = model.predict(other)
        torch.testing.assert_close(changed[:, : place + 1], logits[:, : place + 1])
        if place < 8:
            assert (changed[:, place + 1 :] - logits[:, place + 1 :]).abs().amax((0, 2)).min() > 1e-6


@torch.no_grad()
def test_samples_are_drawn_of_the_same_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sharpened(ImageGpt((1, 2, 3), SMALL))
    seen = []
    draw = torch.multinomial

    def remembered(shares: torch.Tensor, number: int) -> torch.Tensor:
        seen.append(shares)
        return draw(shares, number)

    monkeypatch.setattr(torch, "multinomial", remembered)
    with seeded_torch(1):
        tokens = model.draw(50)
    torch.testing.assert_close(torch.stack(seen, 1), model.predict(tokens).softmax(2), atol=1e-5, rtol=1e-4)
    assert len(torch.unique(tokens, dim=0)) > 5
    with seeded_torch(1):
        assert torch.equal(model.sample(50), model.images_of(tokens))


@pytest.mark.slow
def test_what_always_follows_is_learned() -> None:
    pixels = np.zeros((16, 1, 3, 3), np.uint8)
    pixels[:, :, :, 1] = 255
    pixels[::2] = 255 - pixels[::2]
    images = ImageExamples(Images(pixels))
    model = ImageGpt((1, 3, 3), replace(SMALL, width=12))
    fit(model.step(), images, config=settings(steps=60, learning_rate=2e-2))
    with torch.no_grad():
        # One bit is open: which of the two it is.
        assert float(model(torch.from_numpy(pixels))["loss"]) < math.log(2) + 0.5
        odd = model.scores(torch.from_numpy(toy_images(2, (1, 3, 3)).pixels))["negative_log_likelihood"]
    assert float(odd.min()) > 2
    with pytest.raises(OptionError, match="sees no labels"):
        ImageGpt((1, 3, 3), SMALL, num_classes=2)
