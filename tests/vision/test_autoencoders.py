"""What each autoencoder promises, against closed forms, autograd and scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from nlprep.objectives.robust_losses import ROBUST_LOSSES
from nlprep.objectives.sparsity import kl_penalty
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import ImageExamples, Images
from vision.models.autoencoder import Autoencoder, reconstruction_errors
from vision.models.configuration import (
    AutoencoderConfig,
    ContractiveAutoencoderConfig,
    DenoisingAutoencoderConfig,
    LinearAutoencoderConfig,
    MaskedAutoencoderConfig,
    RobustAutoencoderConfig,
    SparseAutoencoderConfig,
)
from vision.models.contractive_autoencoder import ContractiveAutoencoder
from vision.models.denoising_autoencoder import DenoisingAutoencoder
from vision.models.linear_autoencoder import LinearAutoencoder
from vision.models.masked_autoencoder import MaskedAutoencoder
from vision.models.robust_autoencoder import RobustAutoencoder
from vision.models.sparse_autoencoder import SparseAutoencoder

pytestmark = pytest.mark.slow

FLAT = BackboneConfig(kind="mlp", depth=0)
MLP = SMALL["mlp"]


def pixels(count: int = 6, shape: tuple[int, int, int] = (1, 8, 8)) -> torch.Tensor:
    return torch.from_numpy(toy_images(count, shape).pixels).float() / 255


def drawn(model, images: torch.Tensor, seed: int = 0):
    with seeded_torch(seed):
        return model(images)


def trained(model, images: Images, directory, **changes):
    fit(model.step(), ImageExamples(images), config=settings(**{"weight_decay": 0.0} | changes), directory=directory)
    return model


def test_a_linear_autoencoder_spans_the_principal_components(tmp_path) -> None:
    draws = np.random.default_rng(0)
    directions = np.linalg.qr(draws.standard_normal((16, 5)))[0]
    codes = draws.standard_normal((400, 5)) * [0.5, 0.4, 0.3, 0.06, 0.04]
    numbers = 0.5 + 0.5 * codes @ directions.T + 0.01 * draws.standard_normal((400, 16))
    images = Images((numbers.clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, 1, 4, 4))
    model = LinearAutoencoder(images.shape, LinearAutoencoderConfig(dimension=3))
    trained(model, images, tmp_path, steps=900, batch_size=400, learning_rate=1e-2, warmup=0.0, final_learning_rate=0)
    components = PCA(3).fit(images.pixels.reshape(400, -1) / 255).components_
    for found in (model.decoder.weight.detach().numpy(), model.encoder.weight.detach().numpy().T):
        cosines = np.linalg.svd(np.linalg.qr(found.astype(np.float64))[0].T @ components.T)[1]
        assert np.degrees(np.arccos(cosines.clip(max=1))).max() < 1.5
    # And no more error than the components leave.
    flat = images.pixels.reshape(400, -1) / 255
    left = flat - flat.mean(0)
    best = np.square(left - left @ components.T @ components).sum(1).mean()
    found = float(model(torch.from_numpy(images.pixels))["loss"])
    assert best * (1 - 1e-4) <= found < best * 1.01


def test_8_3_8_learns_a_code_of_bits(tmp_path) -> None:
    """Rumelhart, Hinton and Williams 1986; Mitchell 1997, figure 4.7: eight one-hot patterns through three units."""
    patterns = Images((np.eye(8) * 255).astype(np.uint8).reshape(8, 1, 2, 4))
    config = AutoencoderConfig(dimension=3, error="bce", code_activation="sigmoid", backbone=FLAT)
    model = Autoencoder(patterns.shape, config, seed=3)
    trained(model, patterns, tmp_path, steps=900, learning_rate=0.1, schedule="constant", warmup=0.0, clip_norm=None)
    with torch.inference_mode():
        codes = model.encode(torch.from_numpy(patterns.pixels))
        made = model.reconstruct(torch.from_numpy(patterns.pixels)).flatten(1)
    assert sorted(made.argmax(1).tolist()) == list(range(8))
    assert float((made - torch.eye(8)).abs().max()) < 0.1
    away = (codes - codes.round()).abs()
    assert float(away.max()) < 0.3
    assert float(away.mean()) < 0.1
    assert len({tuple(row) for row in codes.round().int().tolist()}) == 8


def test_sparse_codes_have_their_form_and_the_losses_are_the_formulas() -> None:
    images = pixels(shape=(1, 8, 8))
    made = {
        kind: SparseAutoencoder((1, 8, 8), SparseAutoencoderConfig(
            dimension=20, sparsity=kind, weight=0.3, target=0.1, active=4, backbone=MLP
        )) for kind in ("l1", "kl", "k-sparse")
    }  # fmt: skip
    for kind, model in made.items():
        codes = model.encode(images)
        found = model(images)
        error = reconstruction_errors(model.decoder(codes), images, "squared").mean()
        assert (codes >= 0).all()
        if kind == "l1":
            weights = next(layer for layer in model.decoder.modules() if isinstance(layer, torch.nn.Linear)).weight
            price = sum(float(codes[:, j].mean()) * float(weights[:, j].norm()) for j in range(20))
        elif kind == "kl":
            assert (codes < 1).all()
            price = float(kl_penalty(codes, 0.1))
        else:
            assert ((codes > 0).sum(1) <= 4).all()
            price = 0.0
        assert float(found["loss"]) == pytest.approx(float(error) + 0.3 * price, rel=1e-5)
    assert made["kl"].step().coupled is True
    # Scaling codes down and the decoder up changes nothing of the price.
    model = made["l1"]
    before = float(model(images)["loss"])
    with torch.no_grad():
        model.to_code.weight.div_(4)
        model.to_code.bias.div_(4)
        next(layer for layer in model.decoder.modules() if isinstance(layer, torch.nn.Linear)).weight.mul_(4)
    assert float(model(images)["loss"]) == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize("sparsity", ["l1", "kl"])
def test_a_higher_price_leaves_less_activity(sparsity: str, tmp_path) -> None:
    images = toy_images(48)
    active = []
    for weight in (0.0, 3.0):
        config = SparseAutoencoderConfig(dimension=32, sparsity=sparsity, weight=weight, target=0.05, backbone=MLP)
        model = trained(SparseAutoencoder((1, 8, 8), config), images, tmp_path / str(weight), steps=80, batch_size=48)
        codes = model.encode(torch.from_numpy(images.pixels)).detach()
        active.append(float((codes > 0.01).float().mean() if sparsity == "l1" else codes.mean()))
    assert active[1] < active[0] / 2
    if sparsity == "kl":
        assert active[1] == pytest.approx(0.05, abs=0.03)


def test_denoising_without_noise_is_the_plain_autoencoder() -> None:
    images = pixels()
    for noise in ("gaussian", "masking", "salt-and-pepper"):
        config = DenoisingAutoencoderConfig(dimension=5, noise=noise, amount=0.0, backbone=MLP)
        plain = Autoencoder((1, 8, 8), AutoencoderConfig(dimension=5, backbone=MLP))
        model = DenoisingAutoencoder((1, 8, 8), config)
        assert float(model(images)["loss"]) == float(plain(images)["loss"])
        noisy = DenoisingAutoencoder((1, 8, 8), replace(config, amount=0.5))
        first = float(drawn(noisy, images)["loss"])
        assert first != float(plain(images)["loss"])
        assert first == float(drawn(noisy, images)["loss"]) != float(drawn(noisy, images, 1)["loss"])
        assert torch.equal(noisy.encode(images), plain.encode(images))


def test_the_best_linear_denoiser_shrinks_each_direction_by_its_variance(tmp_path) -> None:
    """With Gaussian noise s it is C (C + s^2)^-1: 0.8 of a direction of variance 0.04 where s = 0.1."""
    draws = np.random.default_rng(0)
    values = 0.5 + draws.standard_normal((2000, 4)) * [0.1, 0.1, 0.05, 0.05]
    images = Images((values.clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, 1, 2, 2))
    config = DenoisingAutoencoderConfig(dimension=4, noise="gaussian", amount=0.1, error="squared", backbone=FLAT)
    model = DenoisingAutoencoder(images.shape, config)
    trained(model, images, tmp_path, steps=300, batch_size=500, learning_rate=3e-2, final_learning_rate=0)
    basis = 0.5 + 0.1 * torch.eye(4).view(4, 1, 2, 2)
    with torch.inference_mode():
        out = model.decoder(model.encode(basis)) - model.decoder(model.encode(torch.full((1, 1, 2, 2), 0.5)))
    shrunk = out.flatten(1).numpy() / 0.1
    covariance = np.cov(images.pixels.reshape(2000, -1).T / 255)
    np.testing.assert_allclose(shrunk, np.linalg.solve(covariance + 0.01 * np.eye(4), covariance), atol=0.05)
    assert shrunk[0, 0] == pytest.approx(0.5, abs=0.06)
    assert shrunk[2, 2] == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("backbone", ["mlp", "convolutional", "vit"])
def test_the_contraction_is_autograds_jacobian_and_the_estimate_agrees(backbone: str) -> None:
    images = pixels(3)
    config = ContractiveAutoencoderConfig(dimension=5, probes=300, backbone=SMALL[backbone])
    model = ContractiveAutoencoder((1, 8, 8), config)
    exact = model.squared_norms(images)
    slow = [
        torch.autograd.functional.jacobian(lambda x: model.encode(x[None])[0], image).square().sum() for image in images
    ]
    torch.testing.assert_close(exact, torch.stack(slow), rtol=1e-4, atol=1e-9)
    with seeded_torch(0):
        estimate = model.squared_norms(images, exact=False)
    torch.testing.assert_close(estimate, exact, rtol=0.3, atol=0)
    assert (estimate != exact).any()
    found = model(images)
    torch.testing.assert_close(found["contraction"], exact.mean(), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(found["loss"], found["error"] + 0.1 * found["contraction"])
    # Gradients flow through the derivatives, and losses are the same where gradients are off.
    assert any(g.abs().max() > 0 for g in torch.autograd.grad(found["contraction"], list(model.to_code.parameters())))
    with torch.no_grad():
        torch.testing.assert_close(model(images)["loss"], found["loss"].detach())


def test_the_contraction_of_a_logistic_layer_is_the_closed_form() -> None:
    images = pixels(4)
    model = ContractiveAutoencoder(
        (1, 8, 8), ContractiveAutoencoderConfig(dimension=20, backbone=FLAT, jacobian="exact")
    )
    h = model.encode(images)
    # Pixels are doubled and centred first.
    weights = 2 * model.to_code.weight
    closed = ((h * (1 - h)).square() * weights.square().sum(1)).sum(1)
    torch.testing.assert_close(model.squared_norms(images), closed.detach(), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(model(images)["contraction"], closed.mean(), rtol=1e-4, atol=1e-9)


def test_estimates_are_chosen_for_larger_codes() -> None:
    images = pixels(4)
    for dimension, same in ((16, True), (17, False)):
        model = ContractiveAutoencoder((1, 8, 8), ContractiveAutoencoderConfig(dimension=dimension, backbone=MLP))
        assert (float(drawn(model, images)["loss"]) == float(drawn(model, images, 1)["loss"])) is same
    with pytest.raises(OptionError, match="without batch norm"):
        ContractiveAutoencoderConfig(backbone=BackboneConfig(norm="batch"))


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_robust_errors_are_their_formulas(loss: str) -> None:
    images = pixels()
    for kind in ("pixels", "images"):
        config = RobustAutoencoderConfig(dimension=5, loss=loss, scale=0.2, residuals=kind, backbone=MLP)
        model = RobustAutoencoder((1, 8, 8), config)
        residuals = (images - model.decoder(model.encode(images))).flatten(1)
        if kind == "pixels":
            expected = ROBUST_LOSSES[loss](residuals, 0.2).sum(1).mean()
        else:
            expected = (64 * ROBUST_LOSSES[loss](residuals.square().mean(1).sqrt(), 0.2)).mean()
        torch.testing.assert_close(model(images)["loss"], expected, rtol=1e-4, atol=1e-6)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(model(images)["loss"], model.parameters()))
        torch.testing.assert_close(model.scores(images)["reconstruction_error"].mean(), model(images)["squared_error"])


def planted(kind: str) -> tuple[Images, np.ndarray, np.ndarray]:
    """Images that one direction tells, the clean ones of them, and whether one is an outlier."""
    draws = np.random.default_rng(2)
    count = 200
    shades = np.outer(draws.uniform(-1, 1, count), np.sin(np.arange(36) / 3))
    clean = 0.5 + 0.2 * shades
    spoiled, odd = clean.copy(), np.zeros(count, bool)
    if kind == "pixels":
        # The same corner is stuck at white now and then: an error with a mean.
        stuck = draws.random((count, 36)) < 0.15
        spoiled[stuck] = 1.0
    else:
        odd[::8] = True
        spoiled[odd] = draws.random((1, 36)) > 0.5
    numbers = (spoiled.clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, 1, 6, 6)
    return Images(numbers), clean, odd


@pytest.mark.parametrize("kind", ["pixels", "images"])
def test_outliers_decide_squared_errors_and_not_robust_ones(kind: str, tmp_path) -> None:
    images, clean, odd = planted(kind)
    errors = {}
    tried = ("squared", "huber", "cauchy") if kind == "pixels" else ("squared", "correntropy")
    scale = 0.1 if kind == "pixels" else 0.3
    for loss in tried:
        config = RobustAutoencoderConfig(dimension=1, loss=loss, scale=scale, residuals=kind, backbone=FLAT)
        model = trained(
            RobustAutoencoder((1, 6, 6), config), images, tmp_path / loss, steps=150, batch_size=200, learning_rate=3e-2
        )
        shown = torch.from_numpy(images.pixels)
        made = model.reconstruct(shown).detach().flatten(1).numpy()
        errors[loss] = np.square(made - clean)[~odd].sum(1).mean()
        if kind == "images" and loss == "correntropy":
            scores = model.scores(shown)["reconstruction_error"].detach().numpy()
            assert scores[odd].min() > scores[~odd].max()
    # A pull that is bounded helps, one that forgets helps most.
    assert errors[tried[-1]] < errors["squared"] / 3
    if kind == "pixels":
        assert errors["cauchy"] < errors["huber"] < errors["squared"] * 0.8


MASKED = MaskedAutoencoderConfig(decoder_width=6, decoder_depth=1, decoder_heads=2, backbone=SMALL["vit"])


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 10, 17)])
@pytest.mark.parametrize("normalize", [True, False])
def test_only_hidden_patches_count_in_a_masked_loss(shape, normalize: bool) -> None:
    model = MaskedAutoencoder(shape, replace(MASKED, normalize=normalize))
    images = pixels(2, shape)
    with seeded_torch(0):
        order = torch.rand(2, model.backbone.tokens).argsort(1)
    found = model.masked_errors(images, order)
    predicted, patches = model.predict(images, order), model._patches(images)
    hidden = order[:, model.visible :].tolist()
    for image in range(2):
        total = 0.0
        for place in hidden[image]:
            target = patches[image, place]
            if normalize:
                target = (target - target.mean()) / (target.var(unbiased=False) + 1e-6).sqrt()
            total += float((predicted[image, place] - target).square().sum())
        expected = total / len(hidden[image]) * model.backbone.tokens
        assert float(found[image].detach()) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(model._images(patches), images)
    with seeded_torch(5):
        first = model(images)["loss"]
    assert float(drawn(model, images, 5)["loss"]) == float(first) != float(drawn(model, images, 6)["loss"])


def test_pictures_do_not_leak_what_is_hidden() -> None:
    shape = (1, 16, 16)
    images = pixels(2, shape)
    for normalize in (True, False):
        model = MaskedAutoencoder(shape, replace(MASKED, normalize=normalize))
        hidden = model._images(model._hidden(model._fixed_order(2, torch.device("cpu")))[:, :, None].float().expand(
            -1, -1, 16
        ))  # fmt: skip
        assert float(hidden.mean()) == 0.75
        other = torch.where(hidden > 0, 1 - images, images)
        with torch.inference_mode():
            assert torch.equal(model.reconstruct(images), model.reconstruct(other))
            assert torch.equal(model.masked_images(images), model.masked_images(other))
            # What is visible is shown as it is, and decides what is not.
            torch.testing.assert_close(model.reconstruct(images)[hidden == 0], images[hidden == 0])
            assert not torch.equal(model.reconstruct(images), model.reconstruct(1 - images))
            # One image's picture is the same in any company, and does not move a generator.
            before = torch.get_rng_state()
            torch.testing.assert_close(model.reconstruct(images[1:]), model.reconstruct(images)[1:])
            assert torch.equal(torch.get_rng_state(), before)
            torch.testing.assert_close(model.encode(images), model.backbone(images))


def test_a_masked_autoencoder_learns_to_fill_in(tmp_path) -> None:
    images = toy_images(32, (1, 16, 16))
    model = MaskedAutoencoder((1, 16, 16), replace(MASKED, normalize=False))
    shown = torch.from_numpy(images.pixels)
    with torch.inference_mode():
        before = float(model.scores(shown)["reconstruction_error"].mean())
    trained(model, images, tmp_path, steps=60, batch_size=32)
    with torch.inference_mode():
        assert float(model.scores(shown)["reconstruction_error"].mean()) < before / 2


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match=r"mask = 0\.9: of 4 patches 0 would be visible"):
        MaskedAutoencoder((1, 8, 8), replace(MASKED, mask=0.9))
    with pytest.raises(OptionError, match="kind = 'mlp': patches are hidden from a vit"):
        replace(MASKED, backbone=MLP)
    with pytest.raises(OptionError, match="decoder_heads = 4: must divide the width, 6"):
        replace(MASKED, decoder_heads=4)
    with pytest.raises(OptionError, match="active = 9: there are 8 units"):
        SparseAutoencoderConfig(dimension=8, active=9)
    with pytest.raises(OptionError, match=r"amount = 1\.2"):
        DenoisingAutoencoderConfig(amount=1.2)
    assert math.isfinite(float(drawn(MaskedAutoencoder((1, 8, 8), MASKED), pixels())["loss"]))
