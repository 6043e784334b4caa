"""Flow matching against what is known: Gaussian data, exact traces, and the way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from vision_toys import settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.backbones.configuration import UNetConfig
from vision.comparison.configuration import ComparisonConfig
from vision.comparison.measuring import AS_LARGE, Measured, way_of_drawing
from vision.flows.continuous import SCHEMES, Continuous, VectorVelocity
from vision.images.collection import ImageExamples
from vision.models.flow_configuration import FlowMatchingConfig
from vision.models.flow_matching import MatchedFlow

pytestmark = pytest.mark.slow

SHAPE = (1, 4, 4)
MEAN, DEVIATION = 0.2, 0.3
SMALL = FlowMatchingConfig(sampling_steps=4, network=UNetConfig(width=4, depth=0))


class GaussianVelocity(nn.Module):
    """The mean of x - z given (1 - t) z + t x, for x ~ N(m, s^2): where flow matching of such data ends."""

    def forward(self, events: Tensor, times: Tensor) -> Tensor:
        t = times.view(-1, *[1] * (events.dim() - 1))
        spread = (1 - t) ** 2 + (t * DEVIATION) ** 2
        return MEAN + (t * DEVIATION**2 - (1 - t)) / spread * (events - t * MEAN)


def gaussian(**changes: Any) -> MatchedFlow:
    model = MatchedFlow(SHAPE, FlowMatchingConfig(network=SMALL.network, **changes)).eval()
    model.flow.velocity = GaussianVelocity()
    return model


def test_likelihood_is_that_of_gaussian_data() -> None:
    images = torch.arange(32, dtype=torch.uint8).view(2, *SHAPE) * 8
    model = gaussian(sampling_steps=60)
    with seeded_torch(1):
        found = model.nats(images)
    with seeded_torch(1):
        noisy = 2 * model.dequantization(images)[0] - 1
    known = torch.distributions.Normal(MEAN, DEVIATION).log_prob(noisy).flatten(1).sum(1)
    torch.testing.assert_close(found, -known + 16 * math.log(128), atol=0.02, rtol=1e-4)


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("midpoint", 2), ("runge-kutta", 4)])
def test_more_steps_miss_by_less(scheme: str, order: int) -> None:
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    known = MEAN + DEVIATION * noise
    missed = []
    for steps in (20, 40):
        flow = Continuous(GaussianVelocity(), steps=steps, scheme=scheme)
        missed.append(float((flow.carry(noise, to_data=True) - known).abs().max()))
    assert math.log2(missed[0] / missed[1]) > order - 0.2


def test_samples_are_those_of_the_stated_steps() -> None:
    model = gaussian(scheme="euler", sampling_steps=2)
    latents = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    now = latents
    for time in (0.0, 0.5):
        now = now + 0.5 * GaussianVelocity()(now, torch.full((3,), time))
    torch.testing.assert_close(model.generate(latents), (((now + 1) * 128 - 0.5) / 255).clamp(0, 1))
    drawn = 2 * gaussian(sampling_steps=50).sample(2000) - 1
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(drawn.std()) == pytest.approx(DEVIATION, rel=0.03)
    with pytest.raises(OptionError, match="steps"):
        model.generate(latents, steps=0)


def test_estimated_traces_are_the_exact_ones_in_the_mean() -> None:
    with seeded_torch(3):
        velocity = VectorVelocity(3, width=8, depth=1).double()
        data = torch.randn(4, 3, dtype=torch.float64)
    ways = {"steps": 3, "scheme": "midpoint"}
    with torch.no_grad(), seeded_torch(1):
        exact = Continuous(velocity, **ways)(data)[1]
        one = torch.stack([Continuous(velocity, exact=False, **ways)(data)[1] for _ in range(100)])
        many = torch.stack([Continuous(velocity, exact=False, probes=8, **ways)(data)[1] for _ in range(40)])
    error = one.std(0) / math.sqrt(len(one))
    assert float(error.max()) > 1e-4
    assert ((one.mean(0) - exact).abs() < 4 * error).all()
    assert ((many.std(0) / one.std(0) - 8**-0.5).abs() < 0.15).all()


def test_an_inversion_comes_back() -> None:
    model, images = gaussian(sampling_steps=60), torch.from_numpy(toy_images(3, SHAPE).pixels)
    found = model.invert(images)
    torch.testing.assert_close(model.generate(found.latents), images.float() / 255, atol=2e-3, rtol=0)
    assert float(found.residual.max()) < 1e-3
    assert float(model.invert(images, steps=2).residual.min()) > float(found.residual.max())
    torch.testing.assert_close(model.invert(images.float() / 255).latents, found.latents)


def test_it_learns_and_goes_on_where_it_stopped(tmp_path: Any) -> None:
    examples = ImageExamples(toy_images(16, SHAPE))
    training = settings(steps=20, checkpoint_every=10, learning_rate=2e-2)

    def run(place: str) -> MatchedFlow:
        model = MatchedFlow(SHAPE, SMALL)
        history = fit(model.step(), examples, config=training, directory=tmp_path / place)
        losses = [record["loss"] for record in history.records if "loss" in record]
        assert np.mean(losses[-6:]) < np.mean(losses[:6])
        return model

    whole = run("run").state_dict()
    (last,) = (tmp_path / "run" / "checkpoints").glob("*20*")
    last.rename(tmp_path / "gone")
    assert all(torch.equal(value, whole[name]) for name, value in run("run").state_dict().items())


def test_a_comparison_says_by_what_the_likelihood_was_found() -> None:
    nothing: Any = None
    measured = Measured(
        ComparisonConfig(bound_images=3), toy_images(5, SHAPE), nothing, toy_images(2), nothing, nothing
    )
    model = MatchedFlow(SHAPE, SMALL).eval()
    found = measured.likelihood(model, seed=1)
    assert found["bits"] == pytest.approx(found["nats"] / (16 * math.log(2)))
    assert "4 steps of the scheme midpoint, traces estimated by 1 vector" in found["measured"]
    assert found["of"] == "bytes"
    assert measured.reconstruction(model) == {"none": AS_LARGE}
    assert way_of_drawing(model) == "by the model, in 4 steps of the scheme midpoint"
    # An untrained network stands still: data are noise, whose density is known.
    with seeded_torch(1):
        noisy = 2 * model.dequantization(torch.from_numpy(toy_images(5, SHAPE).pixels[[0, 2, 4]]))[0] - 1
    nats = -torch.distributions.Normal(0, 1).log_prob(noisy).flatten(1).sum(1) + 16 * math.log(128)
    assert found["nats"] == pytest.approx(float(nats.mean()), rel=1e-5)


def test_what_there_is_not_is_refused() -> None:
    assert set(SCHEMES) == {"euler", "midpoint", "runge-kutta"}
    for wrong in ({"scheme": "leapfrog"}, {"steps": 0}, {"probes": 0}):
        with pytest.raises(OptionError):
            Continuous(GaussianVelocity(), **wrong)
    with pytest.raises(OptionError, match="no labels"):
        MatchedFlow(SHAPE, SMALL, num_classes=2)
    assert np.isfinite(MatchedFlow(SHAPE, SMALL).encode(torch.zeros(1, *SHAPE)).detach().numpy()).all()
