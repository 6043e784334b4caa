"""What every fusion must keep, whichever: all in the table of fusions are found."""

from __future__ import annotations

import copy
import dataclasses
import doctest
import importlib
import inspect
import os
import pkgutil
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import multimodal.fusions
from multimodal.fusions.configuration import GRID_KINDS, KINDS, VECTOR_KINDS, FusionConfig
from multimodal.fusions.fusion import CanAttend, Fusion
from multimodal.fusions.methods import FUSIONS, find_fusion, make_fusion, takes_grids
from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch

TEXT, IMAGE = 6, 7
SMALL = {"dimension": 11, "width": 8, "depth": 2, "rank": 3, "glimpses": 2, "heads": 2}
CONFIGS = {kind: FusionConfig(kind=kind, **SMALL) for kind in KINDS} | {
    f"attention, then {kind}": FusionConfig(kind="attention", then=kind, **SMALL) for kind in VECTOR_KINDS
}
EVERY = pytest.mark.parametrize("name", CONFIGS)
PLAIN = pytest.mark.parametrize("name", KINDS)


def made(name: str, seed: int = 1) -> Fusion:
    return make_fusion(TEXT, IMAGE, CONFIGS[name], seed=seed)


def given(fusion: Fusion, count: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    places = (3, 4) if fusion.gridded else ()
    return torch.randn(count, TEXT, generator=generator), torch.randn(count, *places, IMAGE, generator=generator)


MODULES = [name for _, name, _ in pkgutil.iter_modules(multimodal.fusions.__path__, "multimodal.fusions.")]


def fusions_defined() -> set[type]:
    """Every class of fusions in the room."""
    return {
        kind
        for module in map(importlib.import_module, MODULES)
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Fusion) and kind is not Fusion
    }


def stray_tensors(module: nn.Module) -> list[str]:
    """Tensors in a module that are neither parameters nor buffers, which no optimiser and no file would see."""

    def inside(value: Any, where: str) -> list[str]:
        if isinstance(value, torch.Tensor):
            return [where]
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in inside(item, f"{where}[{key!r}]")]
        if isinstance(value, list | tuple | set):
            return [found for number, item in enumerate(value) for found in inside(item, f"{where}[{number}]")]
        if isinstance(value, nn.Module):
            return [f"{where}: a module"]
        return []

    own = ("_parameters", "_buffers", "_modules")
    return [
        found
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in own
        for found in inside(value, f"{name}.{key}")
    ]


def test_every_fusion_has_a_name_and_its_settings() -> None:
    assert tuple(FUSIONS) == KINDS
    assert {method.load() for method in FUSIONS.values()} == fusions_defined()
    assert [kind for kind in KINDS if FUSIONS[kind].load().gridded] == list(GRID_KINDS)
    assert [kind for kind in KINDS if takes_grids(kind)] == list(GRID_KINDS)
    with pytest.raises(OptionError, match=r"fusion 'blend': choose from concatenation, mlp, "):
        find_fusion("blend")
    with pytest.raises(OptionError, match=r"fusion 'blend': choose from"):
        make_fusion(2, 3, "blend")


def test_examples_say_what_comes_out() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert sum(result.attempted for result in results) >= 7
    assert sum(result.failed for result in results) == 0


@PLAIN
def test_a_name_alone_makes_one_of_its_default_size(name: str) -> None:
    fusion = make_fusion(TEXT, IMAGE, name)
    settled = FusionConfig(kind=name).settled()
    if name not in ("concatenation", "attention"):
        assert fusion.dimension == settled.dimension
    assert fusion(*given(fusion, 2)).shape == (2, fusion.dimension)
    used = {field.name for field in dataclasses.fields(settled) if getattr(settled, field.name) is not None}
    assert (settled == FusionConfig(kind=name)) == (not used & {"dimension", "width", "depth", "rank", "glimpses"})


@EVERY
def test_one_vector_of_each_pair_whatever_stands_beside_it(name: str) -> None:
    fusion = made(name).eval()
    text, image = given(fusion)
    fused = fusion(text, image)
    assert fused.shape == (5, fusion.dimension)
    assert torch.isfinite(fused).all()
    assert fusion(text[:0], image[:0]).shape == (0, fusion.dimension)
    for row in range(5):
        alone = fusion(text[row : row + 1], image[row : row + 1])
        torch.testing.assert_close(alone, fused[row : row + 1], atol=1e-6, rtol=1e-5)
    text[3], image[3] = torch.nan, torch.nan
    others = [0, 1, 2, 4]
    torch.testing.assert_close(fusion(text, image)[others], fused[others], atol=1e-6, rtol=1e-5)


@EVERY
def test_a_row_has_no_gradient_from_another(name: str) -> None:
    fusion = made(name)
    text, image = (side.requires_grad_() for side in given(fusion))
    fusion(text, image)[2].square().sum().backward()
    for side in (text, image):
        reached = side.grad.flatten(1).abs().amax(1) > 0
        assert reached.tolist() == [False, False, True, False, False]


@EVERY
def test_every_parameter_is_one_and_has_a_gradient(name: str) -> None:
    fusion = made(name)
    assert stray_tensors(fusion) == []
    if name.endswith(("concatenation", "compact-bilinear")) and "attention" not in name:
        assert not list(fusion.parameters())
        return
    fused = fusion(*given(fusion, 16))
    # Not the squares: of rows of length 1 these have one sum whatever the weights are.
    (fused * torch.randn(fused.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    for key, parameter in fusion.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        # Of the size of rounding is what adds to all scores alike, and is no gradient.
        assert parameter.grad.abs().max() > 1e-5, key


def test_what_no_optimiser_would_see_is_found() -> None:
    module = nn.Linear(2, 2)
    module.factors = [torch.ones(2)]
    module.more = {"layer": nn.Linear(2, 2)}
    assert stray_tensors(module) == [".factors[0]", ".more['layer']: a module"]


@EVERY
def test_which_text_stands_beside_which_image_counts(name: str) -> None:
    fusion = made(name)
    text, image = given(fusion)
    fused, turned = fusion(text, image), [1, 2, 3, 4, 0]
    for other in (fusion(text[turned], image), fusion(text, image[turned])):
        assert ((other - fused).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("name", GRID_KINDS)
def test_where_things_lie_counts_in_a_grid_of_any_size(name: str) -> None:
    fusion = made(name)
    text, image = given(fusion)
    assert ((fusion(text, image.flip(2)) - fusion(text, image)).abs().amax(1) > 1e-4).all()
    for places in ((1, 1), (1, 5), (7, 2)):
        grid = torch.randn(2, *places, IMAGE)
        assert torch.isfinite(fusion(text[:2], grid)).all()


def states_of_generators() -> list[object]:
    """Of torch's generator, NumPy's and Python's."""
    return [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002


@EVERY
def test_weights_are_a_function_of_the_seed_and_nothing_else_is_drawn(name: str) -> None:
    sides = given(made(name))
    with seeded_torch(3):
        before = states_of_generators()
        one = made(name)
        fused = one(*sides)
        assert states_of_generators() == before
    same, other = made(name), made(name, 2)
    assert torch.equal(same(*sides), fused)
    state, others = one.state_dict(), other.state_dict()
    assert state.keys() == others.keys()
    drawn = [key for key in state if not torch.equal(state[key], others[key])]
    assert len(drawn) > 0.5 * len(state) or not state
    if state:
        assert not torch.allclose(other(*sides), fused)


_LOADING = """
import sys
import torch
from safetensors.torch import load_file, save_file
sys.path.insert(0, {here!r})
from test_fusions import CONFIGS, given, made
torch.rand(7)
answers = {{}}
for number, name in enumerate(CONFIGS):
    fusion = made(name, seed=99).eval()
    fusion.load_state_dict({{
        key.partition("|")[2]: value for key, value in load_file("saved").items() if key.startswith(f"{{number}}|")
    }})
    answers[str(number)] = fusion(*given(fusion, seed=5))
save_file({{key: value.detach().contiguous() for key, value in answers.items()}}, "answers")
"""


@pytest.mark.slow
def test_what_is_saved_is_what_a_new_process_with_another_seed_loads(warm_python, tmp_path) -> None:
    saved: dict[str, torch.Tensor] = {}
    expected = {}
    for number, name in enumerate(CONFIGS):
        fusion = made(name, seed=4)
        with seeded_torch(7), torch.no_grad():
            for parameter in fusion.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        saved |= {f"{number}|{key}": value for key, value in fusion.state_dict().items()}
        expected[name] = fusion.eval()(*given(fusion, seed=5))
    save_file(saved, tmp_path / "saved")
    program = _LOADING.format(here=str(Path(__file__).parent))
    done = warm_python.run("-c", program, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    answers = load_file(tmp_path / "answers")
    for number, name in enumerate(CONFIGS):
        assert torch.equal(answers[str(number)], expected[name]), name


@EVERY
def test_half_precision_and_autocast_give_the_exact_answer_rounded(name: str) -> None:
    exact = made(name).eval()
    text, image = given(exact)
    text, image = 3 * text, 3 * image
    fused = exact(text, image)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(exact(text, image), fused)
    double = copy.deepcopy(exact).double()(text.double(), image.double())
    torch.testing.assert_close(double.float(), fused, atol=2e-6, rtol=1e-4)
    for kind in (torch.bfloat16, torch.float16):
        low = copy.deepcopy(exact).to(kind)
        # The same weights, which the lower precision rounded, in the higher.
        high = copy.deepcopy(low).float()
        answer = low(text.to(kind), image.to(kind))
        assert answer.dtype == kind
        assert torch.equal(answer, high(text.to(kind).float(), image.to(kind).float()).to(kind))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = exact(text.to(kind), image.to(kind))
        assert torch.equal(rounded, exact(text.to(kind).float(), image.to(kind).float()).to(kind))
    wide = exact(text.double(), image.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide, double)


@EVERY
def test_gradients_reach_weights_that_are_kept_in_half_precision(name: str) -> None:
    fusion = made(name).bfloat16()
    text, image = (side.bfloat16().requires_grad_() for side in given(fusion))
    fusion(text, image).float().square().sum().backward()
    for tensor in (text, image, *fusion.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["product", "attention"])
def test_dropout_hides_in_training_alone(name: str) -> None:
    fusion = make_fusion(TEXT, IMAGE, dataclasses.replace(CONFIGS[name], dropout=0.5), seed=1)
    plain, sides = made(name), given(fusion, 40)
    assert torch.equal(fusion.eval()(*sides), plain(*sides))
    with seeded_torch(2):
        hidden = fusion.train()(*sides) == 0
    assert 0.4 < hidden.float().mean() < 0.6


@EVERY
def test_features_that_do_not_fit_are_refused(name: str) -> None:
    fusion = made(name)
    text, image = given(fusion)
    wrong = [(text[:3], image), (text[:, :4], image), (text, image[..., :4]), (text[0], image[0])]
    wrong += [(text, image[:, 0, 0])] if fusion.gridded else [(text, image[:, None, None])]
    for one, other in wrong:
        with pytest.raises(OptionError, match=r"features of shapes \[.*takes a text's \(b, 6\) and an image's"):
            fusion(one, other)
    with pytest.raises(OptionError, match="expected floating ones"):
        fusion(text.long(), image)
    with pytest.raises(OptionError, match="image_dimension = 0: must be at least 1"):
        make_fusion(TEXT, 0, CONFIGS[name])


ATTENTIVE = [kind for kind in KINDS if issubclass(FUSIONS[kind].load(), CanAttend)]


@pytest.mark.parametrize("name", ATTENTIVE)
def test_attention_says_where_it_looks(name: str) -> None:
    fusion = made(name)
    text, image = given(fusion)
    maps = fusion.attend(text, image)
    assert maps.shape == (5, 2, 3, 4)
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(5, 2))
    low = copy.deepcopy(fusion).half().attend(text.half(), image.half())
    assert low.dtype == torch.float16
    torch.testing.assert_close(low.float(), maps, atol=2e-3, rtol=0)
    with pytest.raises(OptionError, match="features of shapes"):
        fusion.attend(text, image[:, 0])


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="heads = 3: must divide the width, 128"):
        FusionConfig(kind="cross-attention", heads=3)
    with pytest.raises(OptionError, match="then = 'film': choose from"):
        FusionConfig(kind="attention", then="film")
    with pytest.raises(OptionError, match="rank: a fusion of the kind 'sum' has none"):
        FusionConfig(kind="sum").size("rank")


def selector(count: int, seed: int, *, gridded: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A text that names one of eight attributes, an image with one of four values of each, and the value named."""
    generator = torch.Generator().manual_seed(seed)
    named = torch.randint(0, 8, (count,), generator=generator)
    values = torch.randint(0, 4, (count, 8), generator=generator)
    image = 2 * functional.one_hot(values, 4).float().view(count, 4, 2, 4)
    if gridded:
        # Each of four places has two of the attributes.
        grid = torch.zeros(count, 4, 4, 2, 4)
        grid[:, range(4), range(4)] = image
        image = grid.view(count, 2, 2, 32)
    else:
        image = image.view(count, 32)
    return 8**0.5 * functional.one_hot(named, 8).float(), image, values.gather(1, named[:, None])[:, 0]


# Rates, steps and sizes with which a linear layer above each has learned enough in a moment.
LEARNED = {
    "compact-bilinear": (0.05, 60, {"dimension": 1000}),
    "film": (0.005, 160, {}),
    "cross-attention": (0.005, 120, {"glimpses": 1}),
    "mlp": (0.01, 80, {"width": 64}),
}


def learn(name: str) -> tuple[Fusion, float]:
    """A fusion with a linear layer above it, trained to select, and the share of new pairs that it has right."""
    rate, steps, changes = LEARNED.get(name, (0.01, 80, {}))
    sizes = {"dimension": 64, "width": 32, "depth": 1, "rank": 2, "glimpses": 2, "heads": 2} | changes
    fusion = make_fusion(8, 32, FusionConfig(kind=name, then="product", **sizes))
    text, image, values = selector(2048, 1, gridded=fusion.gridded)
    with seeded_torch(1):
        layer = nn.Linear(fusion.dimension, 4)
    optimizer = torch.optim.Adam([*fusion.parameters(), *layer.parameters()], lr=rate)
    for step in range(steps):
        rows = torch.arange(64 * step, 64 * (step + 1)) % len(text)
        optimizer.zero_grad()
        functional.cross_entropy(layer(fusion(text[rows], image[rows])), values[rows]).backward()
        optimizer.step()
    text, image, values = selector(1000, 2, gridded=fusion.gridded)
    with torch.no_grad():
        return fusion, float((layer(fusion(text, image)).argmax(1) == values).float().mean())


@pytest.mark.slow
@PLAIN
def test_products_select_and_sums_do_not(name: str) -> None:
    """Which number of the image is asked for depends on the text: what adds both sides up can only guess better."""
    fusion, right = learn(name)
    if FUSIONS[name].additive:
        assert 0.38 < right < 0.5
    else:
        assert right > 0.9
    if name == "attention":
        text, image, _ = selector(200, 3, gridded=True)
        looked = fusion.attend(text, image).flatten(2)
        meant = text.argmax(1) // 2
        assert looked[torch.arange(200), :, meant].amax(1).mean() > 0.9
