"""The GAN: losses of its players, the penalty on gradients, spectral norm, labels, and averages of both players."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import Moment, fit
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples, Images
from vision.models.configuration import GanConfig
from vision.models.gan import Gan
from vision.models.latents import CanGenerate, CanInvert, interpolate_latents, telling_numbers, traverse_latents
from vision.training import train_images

pytestmark = pytest.mark.slow

PIXELS = torch.from_numpy(toy_images().pixels)
LABELS = torch.from_numpy(toy_images().labels)


def make(num_classes: int = 0, **changes: Any) -> Gan:
    given = {"dimension": 6, "latent": 3, "backbone": SMALL["mlp"]} | changes
    return Gan((1, 8, 8), GanConfig(**given), num_classes=num_classes)


class Linear(nn.Module):
    """A discriminator whose gradient is known: its weights, everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(-0.2, 0.3, 64))

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return pixels.flatten(1) @ self.weights


@pytest.mark.parametrize("kind", ["non-saturating", "hinge"])
def test_losses_of_both_players(kind: str) -> None:
    model = make(r1=0.0, loss=kind)
    step, batch, moment = model.step(), {"images": PIXELS}, Moment(0, 10)
    with seeded_torch(1):
        telling = step.losses("discriminator", step.players, batch, moment=moment)
    with seeded_torch(1):
        deceiving = step.losses("generator", step.players, batch, moment=moment)
    with seeded_torch(1):
        whole = model(PIXELS)
    with seeded_torch(1):
        made = model.sample(len(PIXELS))
    real, fake = model.discriminator(PIXELS / 255), model.discriminator(made)
    if kind == "hinge":
        wanted = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()
    else:
        wanted = softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()
    torch.testing.assert_close((telling["loss"], deceiving["loss"]), wanted)
    torch.testing.assert_close((whole["discriminator_loss"], whole["loss"]), wanted)
    torch.testing.assert_close(telling["real"], real.detach().mean())
    # The discriminator's turn leaves the generator alone.
    telling["loss"].backward()
    assert all(parameter.grad is None for parameter in model.generator.parameters())


def test_the_penalty_is_the_square_of_a_linear_discriminators_weights_every_so_many_steps() -> None:
    model = make(r1=3.0, r1_every=4)
    step, linear, batch = model.step(), Linear(), {"images": PIXELS}
    modules = {"generator": model.generator, "discriminator": linear}
    for number in range(9):
        with seeded_torch(2):
            found = step.losses("discriminator", modules, batch, moment=Moment(number, 9))
        with seeded_torch(2):
            made = model.sample(len(PIXELS)).detach()
        plain = softplus(-linear(PIXELS / 255)).mean() + softplus(linear(made)).mean()
        if number % 4:
            assert "penalty" not in found
            torch.testing.assert_close(found["loss"], plain)
            continue
        square = linear.weights.square().sum()
        torch.testing.assert_close(found["penalty"], square.detach())
        # Four times as strong, for the three steps that have none.
        torch.testing.assert_close(found["loss"], plain + 4 * 3.0 / 2 * square)
        found_gradient, plain_gradient = (
            torch.autograd.grad(loss, linear.weights)[0] for loss in (found["loss"], plain)
        )
        torch.testing.assert_close(found_gradient - plain_gradient, 4 * 3.0 * linear.weights.detach())
    with torch.no_grad():
        assert "penalty" not in step.losses("discriminator", modules, batch, moment=Moment(0, 9))


@pytest.mark.parametrize("name", ["convolutional", "residual", "vit"])
def test_every_backbone_takes_a_penalty_and_spectral_norm(name: str) -> None:
    model = make(backbone=SMALL[name], spectral_norm=True)
    step = model.step()
    losses = step.losses("discriminator", step.players, {"images": PIXELS}, moment=Moment(0, 1))
    assert float(losses["penalty"]) > 0
    losses["loss"].backward()
    gradients = [parameter.grad for parameter in model.discriminator.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_spectral_norm_is_of_kernels_laid_flat() -> None:
    model = make(2, spectral_norm=True, backbone=SMALL["convolutional"])
    model.train()
    with torch.no_grad():
        for _ in range(200):
            model.discriminator(PIXELS / 255, LABELS)
    parts = [part for part in model.discriminator.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(parts) == 5
    for part in parts:
        assert float(torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=1e-3)
    # The convolution's own norm, by its matrix, is another: at most the root of the kernel's places larger.
    last = [part for part in parts if isinstance(part, nn.Conv2d)][-1]
    basis = torch.eye(4 * 4 * 4).view(-1, 4, 4, 4)
    matrix = nn.functional.conv2d(basis, last.weight.detach(), stride=2, padding=1).flatten(1)
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert 1.05 < norm <= 4
    # Evaluation moves nothing.
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.encode(PIXELS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_classes_mean_nothing_at_first_and_are_projected_on() -> None:
    model = make(2)
    pixels = PIXELS / 255
    other = 1 - LABELS
    torch.testing.assert_close(model.discriminator(pixels, LABELS), model.discriminator(pixels, other))
    assert model.discriminator.of_classes is not None
    with torch.no_grad(), seeded_torch(4):
        model.discriminator.of_classes.weight.normal_()
    features = model.encode(PIXELS)
    head, classes = model.discriminator.to_logit, model.discriminator.of_classes.weight
    slow = [
        float((head.weight[0] @ one + head.bias[0] + classes[label] @ one).detach())
        for one, label in zip(features, LABELS.tolist(), strict=True)
    ]
    torch.testing.assert_close(model.discriminator(pixels, LABELS).detach(), torch.tensor(slow))
    # Both players are told: another label is another image, of the same numbers.
    latents = model.draw_latents(4)
    first, second = (model.generate(latents, torch.full((4,), label)) for label in (0, 1))
    assert not torch.allclose(first, second)
    with seeded_torch(5):
        in_turn = model.sample(4)
    with seeded_torch(5):
        told = model.sample(4, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(in_turn, told)
    with pytest.raises(NlprepError, match="conditioned on 2 classes"):
        model.discriminator(pixels)
    with pytest.raises(NlprepError, match="conditioned on 2 classes"):
        model.generate(latents)


def test_the_discriminator_moves_first_and_shares_nothing() -> None:
    step = make(discriminator_updates=2).step()
    assert list(step.turns(0)) == ["discriminator", "discriminator", "generator"]
    one, other = ({id(each) for each in module.parameters()} for module in step.players.values())
    assert not one & other


def test_both_players_end_as_averages_of_their_weights() -> None:
    found = {}
    for steps, average in ((1, 0.0), (2, 0.0), (2, 0.5)):
        model = make()
        start = {name: value.detach().clone() for name, value in model.named_parameters()}
        config = settings(steps=steps, average=average, schedule="constant", warmup=0.0)
        fit(model.step(), ImageExamples(toy_images()), config=config)
        found[steps, average] = {name: value.detach().clone() for name, value in model.named_parameters()}
    moved = 0
    for name, value in found[2, 0.5].items():
        # Memories of the first two steps: 2 / 11 and 3 / 12.
        once = start[name] * 2 / 11 + found[1, 0.0][name] * 9 / 11
        torch.testing.assert_close(value, once * 0.25 + found[2, 0.0][name] * 0.75, atol=1e-6, rtol=1e-5)
        moved += not torch.allclose(value, found[2, 0.0][name])
    assert moved > 4


def test_images_become_like_the_real_ones() -> None:
    pixels = torch.full((64, 1, 8, 8), 30, dtype=torch.uint8)
    pixels[:, :, :4] = 220
    model = make(r1=0.1)
    with seeded_torch(0):
        before = model.sample(200).mean((0, 1))
    config = settings(steps=250, batch_size=32, beta1=0.0, weight_decay=0.0)
    fit(model.step(), ImageExamples(Images(pixels.numpy())), config=config)
    with seeded_torch(0):
        after = model.sample(200).detach().mean((0, 1))
    wanted = pixels[0, 0] / 255
    assert float((before.detach() - wanted).abs().mean()) > 0.3
    assert float((after - wanted).abs().mean()) < 0.1


def test_a_run_ends_in_evaluation_mode_with_pictures(tmp_path) -> None:
    run = train_images(
        toy_images(), tmp_path / "run", model="conditional-gan", training=settings(steps=3),
        config=GanConfig(dimension=6, latent=3, backbone=SMALL["mlp"]), validation=0.25,
    )  # fmt: skip
    assert not any(part.training for part in run.model.modules())
    assert {"generator_loss", "discriminator_loss", "discriminator_penalty"} <= run.history.records[0].keys()
    assert list((tmp_path / "run" / "pictures").rglob("samples*"))


def test_between_numbers_are_images() -> None:
    model = make(2)
    first, second = model.draw_latents(3), model.draw_latents(3)
    labels = torch.tensor([0, 1, 1])
    way = interpolate_latents(model, first, second, 5, labels=labels)
    assert way.shape == (3, 5, 1, 8, 8)
    torch.testing.assert_close(way[:, 0], model.generate(first, labels))
    torch.testing.assert_close(way[:, -1], model.generate(second, labels))
    with pytest.raises(OptionError, match=r"latents of shapes \[3, 3\] and \[2, 3\]"):
        interpolate_latents(model, first, second[:2])


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(OptionError, match="norm = 'batch'"):
        GanConfig(backbone=BackboneConfig(norm="batch"))
    with pytest.raises(OptionError, match="compiled discriminator"):
        make().step().make_optimizer("discriminator", settings(compile=True))


class Steps(nn.Module):
    """Makes images of three numbers, whose first says nothing and whose last the most."""

    def generate(self, latents: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        shares = torch.tensor([0.0, 0.05, 0.1]) * latents
        shift = 0 if labels is None else labels[:, None, None, None] * 0.1
        return 0.5 + shares.sum(1)[:, None, None, None].expand(-1, 1, 2, 2) + shift

    def draw_latents(self, number: int) -> torch.Tensor:
        return torch.randn(number, 3)


def test_one_number_at_a_time_is_given_one_value_after_another():
    latents = torch.tensor([[0.3, -0.2, 0.1]])
    assert telling_numbers(Steps(), latents, 2) == [2, 1]
    made = traverse_latents(Steps(), latents, [2, 1], [-1.0, 0.5])
    assert made.shape == (2, 2, 1, 2, 2)
    expected = [[0.5 - 0.01 - 0.1, 0.5 - 0.01 + 0.05], [0.5 - 0.05 + 0.01, 0.5 + 0.025 + 0.01]]
    torch.testing.assert_close(made[..., 0, 0, 0], torch.tensor(expected))
    labelled = traverse_latents(Steps(), latents, [2], [-1.0, 0.5], labels=torch.tensor([2]))
    torch.testing.assert_close(labelled, made[:1] + 0.2)
    assert isinstance(Steps(), CanGenerate)
    assert not isinstance(Steps(), CanInvert)
