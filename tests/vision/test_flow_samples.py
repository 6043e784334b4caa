"""Samples of flows: of a class, at a temperature, by the command; finite, or refused. And what the first batch sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from vision_toys import settings, toy_images

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.backbones.configuration import BackboneConfig
from vision.flows.density import Density
from vision.flows.elementwise import ActNorm, Logit
from vision.flows.vectors import make_vector_flow
from vision.images.collection import ImageExamples, Images
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import VaeConfig
from vision.models.files import SavedModel, build, save_model
from vision.models.flow import Glow, ResidualFlow
from vision.models.flow_configuration import GlowConfig, PixelConfig, ResidualFlowConfig
from vision.models.making import sample_images

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SHAPE = (1, 4, 4)
SMALL = GlowConfig(levels=1, steps=1, width=4)


def save_of(name: str, config: Any, classes: tuple[str, ...] = ()) -> SavedModel:
    model = build(name, SHAPE, config, num_classes=len(classes)).eval()
    preprocessing = Preprocessing(channels=1, height=4, width=4)
    return SavedModel(model=model, config=config, preprocessing=preprocessing, classes=classes)


@pytest.fixture(scope="module")
def saved() -> SavedModel:
    found = save_of("conditional-glow", SMALL, ("dark", "bright"))
    last: Any = found.model.class_noise.last.network.layers[-1]
    with torch.no_grad():
        # Means of the classes, on either side; what is said of a number is the deviation's logarithm, then the mean.
        last.weight.zero_()
        last.weight[4:] = torch.tensor([-0.2, 0.2])
    return found


def test_a_class_is_drawn_at_a_temperature(saved: SavedModel) -> None:
    drawn = {name: sample_images(saved, 6, of=name, temperature=0.05) for name in saved.classes}
    # The untrained rest is a rotation of channels and a shift by a half.
    spread = [np.ptp(images, axis=0).max() for images in drawn.values()]
    assert max(spread) < 0.5
    assert np.abs(drawn["dark"].mean(0) - drawn["bright"].mean(0)).max() > 0.15
    with seeded_torch(1), torch.no_grad():
        expected = saved.model.sample(6, torch.ones(6, dtype=torch.int64), temperature=0.05)  # type: ignore[operator, call-arg]
    assert np.array_equal(drawn["bright"], expected.numpy())
    assert not np.array_equal(sample_images(saved, 6), sample_images(saved, 6, temperature=1.0))
    vae = save_of("vae", VaeConfig(dimension=2, backbone=BackboneConfig(kind="mlp", width=4, depth=1)))
    with pytest.raises(OptionError, match="has none"):
        sample_images(vae, 2, temperature=0.5)


def test_the_command_draws_a_class_at_a_temperature(
    saved: SavedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli.vision import main

    save_model(saved, tmp_path / "glow")
    given = ["sample", str(tmp_path / "glow"), "--of", "dark", "--number", "2", "-o", str(tmp_path / "drawn.png")]
    assert main([*given, "--temperature", "0.9"]) == 0
    assert (tmp_path / "drawn.png").stat().st_size > 100
    assert main([*given, "--temperature", "0"]) == 2
    assert "temperature" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Glow, ResidualFlow])
def test_wild_weights_draw_finite_images_or_are_refused(kind: Any) -> None:
    """The standing complaint: scales without a bound make infinite samples of what lies far out."""
    model = kind(SHAPE, SMALL if kind is Glow else ResidualFlowConfig(levels=1, steps=1, width=4)).eval()
    with seeded_torch(2), torch.no_grad():
        for name, parameter in model.named_parameters():
            if "log_scale" not in name:
                parameter.add_(30 * torch.randn_like(parameter))
        model.refresh(until_settled=True)
        drawn = model.sample(20, temperature=3.0)
    assert torch.isfinite(drawn).all()
    with torch.no_grad():
        next(part for part in model.modules() if isinstance(part, ActNorm)).log_scale.fill_(-200.0)
        with pytest.raises(NlprepError, match=r"of 20 images are not finite|no inverse"):
            model.sample(20)
        with pytest.raises(NlprepError, match=r"are not finite|no inverse"):
            model.scores(torch.full((2, *SHAPE), float("nan")))


def test_infinite_rows_are_refused() -> None:
    flow = Density(make_vector_flow("maf", 2, layers=1, width=4), 2)
    with torch.no_grad():
        flow.transform.transforms[0].log_scale.fill_(-200.0)  # type: ignore[attr-defined, operator]
    with pytest.raises(NlprepError, match="3 of 3 samples are not finite"):
        flow.sample(3)


def test_parts_of_a_batch_do_not_show_in_what_it_sets() -> None:
    """As for one that is computed at once: the whole first batch sets the scales, not the first part of it."""
    found = []
    for part in (None, 2):
        model = Glow(SHAPE, SMALL)
        training = settings(steps=1, batch_size=8, micro_batch_size=part, learning_rate=1e-12)
        fit(model.step(), ImageExamples(toy_images(8, SHAPE)), config=training)
        found.append([value for name, value in model.state_dict().items() if "norm" in name])
    assert len(found[0]) == 2
    for whole, parts in zip(*found, strict=True):
        assert float(whole.abs().max()) > 0.1
        torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", [GlowConfig, ResidualFlowConfig])
def test_grey_pixels_go_through_a_logit_and_colours_do_not(kind: Any) -> None:
    settled = {channels: kind().pixels.settled(channels).kind for channels in (1, 3)}
    assert settled == {1: "logit", 3: "centred"}
    assert kind(pixels=PixelConfig(kind="centred")).pixels.settled(1).kind == "centred"
    with pytest.raises(OptionError, match=r"margin = 0.1 is of the logit"):
        PixelConfig(margin=0.1).settled(3)
    small = kind(levels=1, steps=1, width=4, pixels=PixelConfig(margin=0.01))
    model = (Glow if kind is GlowConfig else ResidualFlow)(SHAPE, small)
    first = model.transform.transforms[0]
    assert isinstance(first, Logit)
    assert (model.config.pixels.kind, first.margin) == ("logit", 0.01)


def test_black_and_white_pixels_cost_a_logit_little_from_the_start() -> None:
    """Of 256 levels images have two: after one batch has set the scales, before anything is learned."""
    black = Images(np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (16, 1, 6, 6)))
    bits = {}
    for way in ("centred", "logit"):
        model = Glow(black.shape, GlowConfig(levels=1, steps=1, width=4, pixels=PixelConfig(kind=way)))
        with torch.no_grad(), seeded_torch(1):
            model.initialize(torch.from_numpy(black.pixels))
            bits[way] = float(model(torch.from_numpy(black.pixels))["bits_per_dimension"])
    assert bits["logit"] < bits["centred"] - 2


def test_what_is_infinite_stays_no_number_through_a_logit() -> None:
    data, change = Logit(1e-6).inverse(torch.tensor([[[[float("inf"), 0.0]]]]))
    assert torch.isnan(data[0, 0, 0, 0])
    assert not torch.isfinite(change).any()
    assert float(data[0, 0, 0, 1]) == pytest.approx(0.5)
