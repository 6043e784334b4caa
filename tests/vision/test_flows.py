"""What every transform of a flow keeps, whichever: all classes in `vision.flows` are found and tried."""

from __future__ import annotations

import importlib
import math
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import vision.flows
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import TrainingConfig, fit
from vision.flows.configuration import VECTOR_FLOWS
from vision.flows.continuous import Continuous, VectorVelocity
from vision.flows.coupling import Coupling, MaskedAutoregressive
from vision.flows.density import Density, standard_normal
from vision.flows.dequantization import (
    UniformDequantization,
    VariationalDequantization,
    bits_per_dimension,
    byte_levels,
    byte_nats,
)
from vision.flows.elementwise import ActNorm, Affine, Logit
from vision.flows.linear import Flatten, InvertibleLinear, NormedLinear, Permutation, Squeeze
from vision.flows.multiscale import ClassNoise, MultiScale, Squeezed, Standardized, level_shapes
from vision.flows.networks import AutoregressiveNetwork, ImageNetwork, VectorNetwork
from vision.flows.residual import Residual
from vision.flows.shapes import Additive, Scaled, Spline
from vision.flows.spectral import LipSwish, NormedLayer
from vision.flows.transform import Composition, Inverted, Transform
from vision.flows.vectors import make_vector_flow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

IMAGE = (2, 4, 4)


def image_coupling(channels: int = 2, context: int = 0) -> Coupling:
    kept = channels // 2
    network = ImageNetwork(kept, 2 * (channels - kept), width=6, context=context)
    return Coupling(channels, Scaled(), network, event_axes=3)


def vector_coupling(shape: Any, numbers: int = 3, context: int = 0) -> Coupling:
    kept = numbers // 2
    network = VectorNetwork(kept, shape.multiple * (numbers - kept), width=8, context=context)
    return Coupling(numbers, shape, network, last_stay=True)


def autoregressive(shape: Any, numbers: int = 3) -> MaskedAutoregressive:
    return MaskedAutoregressive(numbers, shape, AutoregressiveNetwork(numbers, shape.multiple, width=9))


def residual_vectors(numbers: int = 3) -> Residual:
    network = nn.Sequential(NormedLayer(numbers, 8, most=0.8), LipSwish(), NormedLayer(8, numbers, most=0.8))
    return Residual(network, lipschitz=0.64, exact=True)


def residual_images() -> Residual:
    size = IMAGE[1:]
    network = nn.Sequential(NormedLayer(2, 5, size=size, most=0.8), LipSwish(), NormedLayer(5, 2, size=size, most=0.8))
    return Residual(network, lipschitz=0.64, event_axes=3, exact=True)


def multi_scale() -> MultiScale:
    levels: list[Transform] = [
        Composition(ActNorm(shape[0], 3), InvertibleLinear(shape[0], 3), image_coupling(shape[0]))
        for shape in level_shapes(IMAGE, 2)
    ]
    return MultiScale(IMAGE, levels, lambda given, said: ImageNetwork(given, said, width=5))


TRANSFORMS: dict[str, tuple[Callable[[], Transform], tuple[int, ...]]] = {
    "actnorm of vectors": (lambda: ActNorm(3), (3,)),
    "actnorm of images": (lambda: ActNorm(2, 3), IMAGE),
    "affine": (lambda: Affine(-0.5, 3.0), IMAGE),
    "logit": (lambda: Logit(event_axes=1), (3,)),
    "linear": (lambda: InvertibleLinear(3), (3,)),
    "1 x 1 convolution": (lambda: InvertibleLinear(2, 3), IMAGE),
    "normed linear": (lambda: NormedLinear(3), (3,)),
    "normed 1 x 1 convolution": (lambda: NormedLinear(2, 3), IMAGE),
    "permutation": (lambda: Permutation(torch.tensor([2, 0, 1])), (3,)),
    "squeeze": (Squeeze, IMAGE),
    "flatten": (lambda: Flatten(IMAGE), IMAGE),
    "additive coupling": (lambda: vector_coupling(Additive()), (3,)),
    "affine coupling": (lambda: vector_coupling(Scaled()), (3,)),
    "spline coupling": (lambda: vector_coupling(Spline()), (3,)),
    "coupling of images": (image_coupling, IMAGE),
    "autoregressive": (lambda: autoregressive(Scaled()), (3,)),
    "autoregressive, turned": (
        lambda: MaskedAutoregressive(3, Scaled(), AutoregressiveNetwork(3, 2, width=9, turned=True)),
        (3,),
    ),
    "turning linear": (lambda: InvertibleLinear(3, rotated=False), (3,)),
    "autoregressive splines": (lambda: autoregressive(Spline(4)), (3,)),
    "inverse autoregressive": (lambda: Inverted(autoregressive(Scaled())), (3,)),
    "residual of vectors": (residual_vectors, (3,)),
    "residual of images": (residual_images, IMAGE),
    "continuous": (lambda: Continuous(VectorVelocity(3, width=8, depth=1), steps=80), (3,)),
    "multi-scale": (multi_scale, IMAGE),
    "squeezed": (lambda: Squeezed(image_coupling(8)), IMAGE),
    "composition": (lambda: Composition(ActNorm(3), InvertibleLinear(3), vector_coupling(Scaled())), (3,)),
}
TOLD: dict[str, tuple[Callable[[], Transform], tuple[int, ...], tuple[int, ...]]] = {
    "coupling told numbers": (lambda: vector_coupling(Scaled(), context=2), (3,), (2,)),
    "coupling told maps": (lambda: image_coupling(context=2), IMAGE, IMAGE),
    "noise of classes": (lambda: ClassNoise((2, 1, 2), 3), (6,), (3,)),
    "standardized": (lambda: Standardized(ImageNetwork(2, 4, width=5)), IMAGE, IMAGE),
    "squeezed, told": (lambda: Squeezed(image_coupling(8, context=8)), IMAGE, IMAGE),
}
EVERY = pytest.mark.parametrize("name", [*TRANSFORMS, *TOLD])


def made(name: str, dtype: torch.dtype = torch.float64, seed: int = 1) -> Transform:
    """One whose parameters are no longer those of the beginning, at which many change nothing."""
    with seeded_torch(seed):
        transform = (TRANSFORMS[name] if name in TRANSFORMS else TOLD[name])[0]().to(dtype)
        with torch.no_grad():
            for parameter in transform.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        transform.refresh(until_settled=True)
    return transform.eval()


def given(name: str, *batch: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor | None]:
    event = TRANSFORMS[name][1] if name in TRANSFORMS else TOLD[name][1]
    with seeded_torch(2):
        data = torch.rand(*batch, *event, dtype=dtype) if name == "logit" else torch.randn(*batch, *event, dtype=dtype)
        return data, torch.randn(*batch, *TOLD[name][2], dtype=dtype) if name in TOLD else None


def test_every_transform_is_tried() -> None:
    found = set()
    for module in pkgutil.iter_modules(vision.flows.__path__, "vision.flows."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Transform) and value is not Transform:
                found.add(value)
    tried = {type(part) for name in [*TRANSFORMS, *TOLD] for part in made(name).modules()}
    assert found <= tried, found - tried


@EVERY
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 2e-4)])
def test_the_inverse_is_one(name: str, dtype: torch.dtype, tolerance: float) -> None:
    transform = made(name, dtype)
    for part in transform.modules():
        if isinstance(part, Residual) and dtype == torch.float64:
            part.tolerance = 1e-10
    data, context = given(name, 5, dtype=dtype)
    kept = data.clone()
    with torch.no_grad():
        noise, change = transform(data, context)
        back, change_back = transform.inverse(noise, context)
        again, _ = transform(back, context)
    assert torch.equal(data, kept), "it changed what it was given"
    torch.testing.assert_close(back, data, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(again, noise, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(change_back, -change, atol=10 * tolerance, rtol=tolerance)
    assert change.dtype == dtype


@EVERY
def test_the_determinant_is_autograds(name: str) -> None:
    transform = made(name)
    data, context = given(name, 2)
    _, change = transform(data, context)
    for place in range(2):
        told = None if context is None else context[place : place + 1]

        def mapped(flat: Tensor, place: int = place, told: Tensor | None = told) -> Tensor:
            whole: Tensor = transform(flat.view(1, *data.shape[1:]), told)[0]
            return whole.flatten()

        jacobian = torch.autograd.functional.jacobian(mapped, data[place].flatten())
        torch.testing.assert_close(change[place], torch.linalg.slogdet(jacobian)[1], atol=1e-8, rtol=1e-8)


@EVERY
def test_a_batch_may_have_any_axes(name: str) -> None:
    transform = made(name)
    data, context = given(name, 2, 3)
    with torch.no_grad():
        noise, change = transform(data, context)
        assert change.shape == (2, 3)
        one, change_of_one = transform(data[1, 2], None if context is None else context[1, 2])
        torch.testing.assert_close(one, noise[1, 2])
        torch.testing.assert_close(change_of_one, change[1, 2])
        assert change_of_one.shape == ()
        back, _ = transform.inverse(noise, context)
        torch.testing.assert_close(back, data, atol=1e-4, rtol=1e-4)
        none, nothing = transform(data[:0], None if context is None else context[:0])
        assert none.shape == (0, *noise.shape[1:])
        assert nothing.shape == (0, 3)
        assert transform.inverse(none, None if context is None else context[:0])[0].shape == data[:0].shape
    with pytest.raises(NlprepError, match="axes"):
        transform(torch.zeros(()))


@EVERY
def test_the_map_alone_is_the_same_and_computes_no_determinant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = made(name)
    data, context = given(name, 2, 3)
    with torch.no_grad():
        noise, _ = transform(data, context)
        back, _ = transform.inverse(noise, context)

        def refuse(*_args: object, **_kwargs: object) -> None:
            raise AssertionError("a determinant was computed")

        # What the costly determinants are made of.
        monkeypatch.setattr(torch.autograd, "grad", refuse)
        torch.testing.assert_close(transform.encode(data, context), noise, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(transform.decode(noise, context), back, atol=1e-12, rtol=1e-12)
    with pytest.raises(NlprepError, match="axes"):
        transform.decode(torch.zeros(()))


@EVERY
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    transform = made(name).train()
    data, context = given(name, 4)
    with seeded_torch(3):
        noise, change = transform(data.requires_grad_(), context)
    (noise.square().sum() / 2 - change.sum()).backward()
    assert data.grad is not None
    assert torch.isfinite(data.grad).all()
    for label, parameter in transform.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label
        assert parameter.grad.abs().sum() > 0, label


@EVERY
def test_it_is_set_once_and_for_all(name: str) -> None:
    transform = made(name)
    data, context = given(name, 7)
    first = transform.initialize(data, context)
    before = [value.clone() for value in transform.state_dict().values()]
    again = transform.initialize(data, context)
    assert all(torch.equal(a, b) for a, b in zip(before, transform.state_dict().values(), strict=True))
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(first, transform(data, context)[0])


@EVERY
def test_saved_is_loaded(name: str) -> None:
    transform, other = made(name), made(name, seed=2)
    other.load_state_dict(transform.state_dict())
    data, context = given(name, 3)
    with torch.no_grad():
        for one, same in zip(transform(data, context), other(data, context), strict=True):
            assert torch.equal(one, same)


@EVERY
def test_training_computes_what_evaluation_does(name: str) -> None:
    transform = made(name)
    data, context = given(name, 3)
    with torch.no_grad():
        evaluated = transform(data, context)[0]
        state = [value.clone() for value in transform.state_dict().values()]
        trained = transform.train()(data, context)[0]
    assert torch.equal(evaluated, trained)
    assert all(torch.equal(a, b) for a, b in zip(state, transform.state_dict().values(), strict=True))


@EVERY
def test_determinants_are_no_halves(name: str) -> None:
    transform = made(name, torch.float32)
    data, context = given(name, 3, dtype=torch.float32)
    exact = transform(data, context)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        noise, change = transform(data, context)
        back, _ = transform.inverse(noise, context)
    assert change.dtype == noise.dtype == torch.float32
    torch.testing.assert_close(change, exact[1], atol=0.1, rtol=0.1)
    torch.testing.assert_close(back, data, atol=0.05, rtol=0.05)


FLAT: dict[str, Callable[[], Transform]] = {
    "affine coupling": lambda: Composition(
        ActNorm(2), vector_coupling(Scaled(), 2), Permutation(torch.tensor([1, 0])), vector_coupling(Scaled(), 2)
    ),
    "splines": lambda: Composition(vector_coupling(Spline(), 2), InvertibleLinear(2), vector_coupling(Spline(), 2)),
    "autoregressive": lambda: Composition(autoregressive(Scaled(1.0), 2), InvertibleLinear(2)),
    "residual": lambda: Composition(residual_vectors(2), ActNorm(2), residual_vectors(2)),
}


@pytest.mark.parametrize("name", FLAT)
def test_densities_integrate_to_one(name: str) -> None:
    with seeded_torch(4):
        transform = FLAT[name]().double().eval()
        with torch.no_grad():
            for parameter in transform.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        transform.refresh(until_settled=True)
    axis = torch.linspace(-14, 14, 281, dtype=torch.float64)
    places = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        total = Density(transform, 2).log_density(places).exp().sum() * (axis[1] - axis[0]).square()
    assert float(total) == pytest.approx(1, abs=2e-3)


def test_actnorm_sets_mean_and_variance() -> None:
    norm = ActNorm(3, 3)
    data = torch.randn(6, 3, 5, 4) * torch.tensor([1.0, 20.0, 0.1])[:, None, None] + 400
    data[:, 2] = 7.0
    scaled = norm.initialize(data)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[:, :2].var((0, 2, 3), correction=0), torch.ones(2), atol=1e-4, rtol=0)
    assert float(scaled[:, 2].abs().max()) == 0, "a channel that does not vary is centred"
    single = ActNorm(3)
    assert torch.isfinite(single.initialize(torch.tensor([[1.0, -5.0, 300.0]]))).all()


def test_nothing_is_set_by_whichever_direction_comes_first() -> None:
    norm = ActNorm(2)
    with torch.no_grad():
        norm.inverse(torch.full((4, 2), 100.0))
        norm(torch.full((4, 2), 100.0))
    assert torch.equal(norm.shift, torch.zeros(2))


def test_the_convolution_counts_every_place() -> None:
    with seeded_torch(1):
        layer = InvertibleLinear(3, 3)
        with torch.no_grad():
            layer.log_scales.add_(torch.randn(3))
    inside = torch.linalg.slogdet(layer.matrix())[1]
    torch.testing.assert_close(layer(torch.zeros(1, 3, 5, 7))[1], 35 * inside[None])
    torch.testing.assert_close(layer.matrix() @ layer.inverse_matrix(), torch.eye(3), atol=1e-6, rtol=0)


def test_no_scale_is_beyond_its_bound() -> None:
    shape = Scaled(2.0)
    _, change = shape(torch.ones(3), torch.tensor([[1e9, 0.0], [-1e9, 0.0], [0.0, 5.0]]))
    torch.testing.assert_close(change, torch.tensor([2.0, -2.0, 0.0]))


def test_a_spline_is_increasing_and_finite_at_its_knots() -> None:
    with seeded_torch(1):
        shape = Spline(5, 2.0).double()
        parameters = (3 * torch.randn(1, shape.multiple)).double().expand(2001, -1)
    numbers = torch.linspace(-3, 3, 2001, dtype=torch.float64).requires_grad_()
    mapped, change = shape(numbers, parameters)
    (slopes,) = torch.autograd.grad(mapped.sum(), numbers)
    assert (mapped.diff() > 0).all()
    torch.testing.assert_close(slopes.log(), change, atol=1e-8, rtol=1e-8)
    ends = torch.tensor([-2.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(shape(ends, parameters[:2])[0], ends)
    identity = shape(numbers.detach(), torch.zeros_like(parameters))[0]
    torch.testing.assert_close(identity, numbers.detach())


def test_each_number_depends_on_those_before_it_alone() -> None:
    with seeded_torch(1):
        network = AutoregressiveNetwork(4, 2, width=16, context=1).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
    context = torch.ones(1, 1, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: network(flat[None], context).view(4, 2), torch.randn(4, dtype=torch.float64)
    )
    for said in range(4):
        for seen in range(4):
            assert bool((jacobian[said, :, seen] != 0).any()) == (seen < said)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_norm_is_the_convolutions(kernel: int) -> None:
    with seeded_torch(1):
        layer = NormedLayer(2, 3, size=(5, 4), kernel=kernel, most=0.5).double()
        with torch.no_grad():
            layer.weight.mul_(6)
        layer.refresh(until_settled=True)

    def mapped(flat: Tensor) -> Tensor:
        return nn.functional.conv2d(flat.view(1, 2, 5, 4), layer.weight, padding=kernel // 2).flatten()

    matrix = torch.autograd.functional.jacobian(mapped, torch.zeros(40, dtype=torch.float64))
    exact = torch.linalg.matrix_norm(matrix, 2)
    torch.testing.assert_close(layer.norm(), exact, rtol=1e-3, atol=0)
    with torch.no_grad():
        zero = layer(torch.zeros(1, 2, 5, 4).double())
    bounded = torch.autograd.functional.jacobian(
        lambda flat: (layer(flat.view(1, 2, 5, 4)) - zero).flatten(), torch.zeros(40, dtype=torch.float64)
    )
    assert float(torch.linalg.matrix_norm(bounded, 2)) <= 0.5 * 1.002


def test_an_inverse_that_is_not_found_is_refused() -> None:
    block = residual_vectors()
    with torch.no_grad():
        for layer in block.network:
            if isinstance(layer, NormedLayer):
                # Nothing brings the norms up to date: the block is no contraction any more.
                layer.most, layer.weight.data = 50.0, 50 * layer.weight
    with pytest.raises(NlprepError, match="no inverse of 4 of 4"):
        block.solve(torch.randn(4, 3))


def series_of_training(block: Residual, data: Tensor, draws: int) -> tuple[Tensor, list[Tensor]]:
    values, gradients = [], []
    for _ in range(draws):
        block.zero_grad()
        change = block(data)[1].mean()
        change.backward()
        values.append(change.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None]))
    return torch.stack(values), gradients


def test_the_drawn_series_is_unbiased_and_so_is_its_gradient() -> None:
    with seeded_torch(5):
        block = residual_vectors().double()
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
        block.refresh(until_settled=True)
        data = torch.randn(256, 3, dtype=torch.float64)
        block.eval().zero_grad()
        exact = block(data)[1].mean()
        exact.backward()
        gradient = torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None])
        values, gradients = series_of_training(block.train(), data, 150)
    error = values.std() / math.sqrt(len(values))
    assert abs(float(values.mean() - exact.detach())) < 4 * float(error)
    drawn = torch.stack(gradients)
    away = (drawn.mean(0) - gradient) / (drawn.std(0) / math.sqrt(len(drawn))).clamp(min=1e-12)
    assert float(away.abs().max()) < 5
    assert float(away.square().mean()) < 2


def test_what_a_series_leaves_out_is_bounded() -> None:
    with seeded_torch(5):
        block = residual_vectors().double().eval()
        data = torch.randn(2000, 3, dtype=torch.float64)
        with torch.no_grad():
            exact = block(data)[1].mean()
            block.exact = False
            block.terms = 2
            estimates = torch.stack([block(data)[1].mean() for _ in range(20)])
    assert abs(float(estimates.mean() - exact)) < block.series_bias(3) + 4 * float(estimates.std() / math.sqrt(20))
    assert block.series_bias(3) == pytest.approx(3 * 0.64**3 / (3 * 0.36))


def test_uniform_bytes_are_eight_bits() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    noisy, density = UniformDequantization()(images)
    assert torch.equal((noisy * 256).floor(), images.float())
    # The density of the uniform distribution on [0, 1) is 1.
    bits = bits_per_dimension(byte_nats(torch.zeros(4), density, 64), 64)
    torch.testing.assert_close(bits, torch.full((4,), 8.0))
    torch.testing.assert_close(byte_levels(images.float() / 255), images.float())
    with pytest.raises(NlprepError, match="between the 256 levels"):
        byte_levels(torch.full((1, 1, 2, 2), 0.5))


def test_learned_noise_says_its_density() -> None:
    with seeded_torch(1):
        dequantization = VariationalDequantization(Squeezed(image_coupling(4, context=4)))
        with torch.no_grad():
            for parameter in dequantization.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        image = torch.randint(0, 256, (1, 1, 2, 2), dtype=torch.uint8)
        with torch.no_grad():
            noisy, density = dequantization(image.expand(40_000, 1, 2, 2))
    noise = noisy * 256 - image
    assert 0 <= float(noise.min()) <= float(noise.max()) < 1
    # E_q[f / q] is what f integrates to: 1, for a density that vanishes at the ends, where q is small.
    beta = torch.distributions.Beta(4.0, 4.0).log_prob(noise.clamp(1e-6, 1 - 1e-6)).flatten(1).sum(1)
    weights = (beta - density).exp()
    assert float(weights.mean()) == pytest.approx(1, abs=6 * float(weights.std()) / 200)


def test_a_sample_at_a_temperature_is_noise_times_it() -> None:
    flow = Density(made("affine coupling", torch.float32), 3)
    with seeded_torch(1):
        drawn = flow.sample(5, temperature=0.5)
        again = flow.transform(drawn)[0]
    with seeded_torch(1):
        torch.testing.assert_close(again, 0.5 * torch.randn(5, 3), atol=1e-5, rtol=1e-4)
    with pytest.raises(OptionError, match="temperature"):
        flow.sample(5, temperature=0.0)
    torch.testing.assert_close(standard_normal(again), torch.distributions.Normal(0, 1).log_prob(again).sum(-1))


@pytest.mark.parametrize("name", VECTOR_FLOWS)
def test_a_flow_of_vectors_learns_a_density(name: str, tmp_path: Path) -> None:
    """The entropy of a mixture in two dimensions, far from 0 and of unequal scales, is what the best flow reaches."""
    with seeded_torch(1):
        data = torch.randn(2000, 2) @ torch.tensor([[3.0, 1.0], [0.0, 0.2]]) + torch.tensor([50.0, -7.0])
        entropy = 1 + math.log(2 * math.pi) + math.log(0.6)
        flow = Density(make_vector_flow(name, 2, layers=2, width=16, depth=1), 2)
    step = flow.matching_step() if name == "continuous" else flow.step()
    before = -float(flow.log_density(data).mean())
    settings = TrainingConfig(steps=150, batch_size=200, learning_rate=1e-2, weight_decay=0.0, average=0.9)
    fit(step, Rows(data), config=settings, directory=tmp_path / "run")
    with torch.no_grad():
        nats = -float(flow.log_density(data).mean())
    assert nats < before
    assert nats == pytest.approx(entropy, abs=0.12)
    assert torch.isfinite(flow.sample(100)).all()


class Rows:
    def __init__(self, data: Tensor) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: Any, seeds: Any) -> dict[str, Tensor]:
        return {"data": self.data[torch.from_numpy(indices)]}


def test_unknown_flows_are_refused() -> None:
    with pytest.raises(OptionError, match="choose from nice"):
        make_vector_flow("glow", 3)
    with pytest.raises(OptionError, match="at least two"):
        make_vector_flow("realnvp", 1)
    with pytest.raises(OptionError, match="told nothing"):
        make_vector_flow("residual", 3, context=2)
