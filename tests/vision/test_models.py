"""What every model of images must keep, whichever: all in the table of models are found."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training import fit
from vision.backbones.configuration import UNetConfig
from vision.images.collection import ImageExamples
from vision.images.preprocessing import Preprocessing
from vision.models.files import SavedModel, find_backbone, load_model, save_model
from vision.models.methods import MODELS
from vision.models.model import CanDecode, CanReconstruct, CanSample, CanScore
from vision.requirements import plan_model

# Each is a moment, and there are hundreds: of every model in the table.
pytestmark = pytest.mark.slow

SHAPE = (1, 8, 8)
UNTOLD = ("iwae", "residual-flow")
"""They may be told of classes, as their kin are, and are by no name."""
EVERY = pytest.mark.parametrize("name", MODELS)


def small(name: str) -> Any:
    """Its settings with few numbers."""
    config = MODELS[name].config()
    fields = {field.name for field in dataclasses.fields(config)}
    changes: dict[str, Any] = {"dimension": 6, "active": 3, "chains": 5, "decoder_width": 6, "decoder_depth": 1}
    changes |= {"levels": 20, "sampling_steps": 4, "network": UNetConfig(width=4, depth=1)}
    if name in ("glow", "conditional-glow", "residual-flow"):
        changes = {"levels": 2, "steps": 1, "width": 4}
    changes |= {"hidden": 8, "outputs": 5, "layers": 1, "prototypes": 7}
    changes |= {"predictor_width": 6, "predictor_depth": 1, "blocks": 1, "block": 0.25}
    if "backbone" in fields:
        changes["backbone"] = SMALL[config.backbone.kind if config.backbone.kind in ("vit", "patch") else "mlp"]
    return dataclasses.replace(config, **{key: value for key, value in changes.items() if key in fields})


def shape_of(name: str) -> tuple[int, int, int]:
    return (3, 8, 8) if MODELS[name].coloured else SHAPE


def made(name: str, seed: int = 1) -> Any:
    return MODELS[name].load()(shape_of(name), small(name), num_classes=2 if MODELS[name].labelled else 0, seed=seed)


def given(name: str, count: int = 5) -> dict[str, torch.Tensor]:
    images = toy_images(count, shape_of(name))
    batch = {"images": torch.from_numpy(images.pixels)}
    if MODELS[name].labelled:
        batch["labels"] = torch.from_numpy(images.labels)
    return batch


@EVERY
def test_codes_are_made_by_the_network_that_another_model_may_begin_with(name: str) -> None:
    model = made(name).eval()
    backbone = find_backbone(model)
    assert (backbone is not None) == hasattr(model.config, "backbone")
    if backbone is None:
        return
    images = given(name)["images"]
    before = model.encode(images)
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.mul_(1.5)
    assert not torch.allclose(model.encode(images), before)


@pytest.mark.parametrize("name", [name for name, method in MODELS.items() if hasattr(method.config(), "likelihood")])
def test_a_model_says_which_likelihood_its_images_have(name: str) -> None:
    for channels, kind, numbers in ((1, "bernoulli", 1), (3, "logistic", 3)):
        model = MODELS[name].load()((channels, 8, 8), small(name), num_classes=2 if MODELS[name].labelled else 0)
        assert model.config.likelihood.kind == kind
        labels = torch.zeros(2, dtype=torch.int64) if model.num_classes else None
        assert model.numbers(torch.zeros(2, model.dimension), labels).shape == (2, numbers, 8, 8)


@EVERY
def test_a_plan_is_as_large_as_the_model_and_holds_nothing(name: str) -> None:
    plan = plan_model(name, shape_of(name), small(name), num_classes=2 if MODELS[name].labelled else 0)
    sizes = [[tensor.shape for tensor in of.state_dict().values()] for of in (plan, made(name))]
    assert sizes[0] == sizes[1]
    assert all(parameter.is_meta for parameter in plan.parameters())
    assert plan.step().players


_TOLD = {(method.home, method.model) for method in MODELS.values() if method.labelled}


@pytest.mark.parametrize(
    "name", [name for name, one in MODELS.items() if (one.home, one.model) not in _TOLD and name not in UNTOLD]
)
def test_models_that_see_no_labels_refuse_to_be_told_of_classes(name: str) -> None:
    with pytest.raises(OptionError, match=r"num_classes = 2: .* sees no labels: leave them out"):
        MODELS[name].load()(shape_of(name), small(name), num_classes=2)


@EVERY
def test_weights_are_a_function_of_the_seed(name: str) -> None:
    before = torch.get_rng_state()
    one, same, other = (list(made(name, seed).state_dict().values()) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@EVERY
def test_codes_depend_on_the_image_alone(name: str) -> None:
    model, images = made(name).eval(), given(name)["images"]
    before = torch.get_rng_state()
    with torch.inference_mode():
        codes = model.encode(images)
        assert codes.shape == (5, model.dimension)
        torch.testing.assert_close(model.encode(images.float() / 255), codes)
        torch.testing.assert_close(model.encode(images[3:4]), codes[3:4], atol=1e-5, rtol=1e-4)
        assert model.encode(images[:0]).shape == (0, model.dimension)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.isfinite(codes).all()
    assert len(torch.unique(codes, dim=0)) == 5


@EVERY
def test_what_it_can_do_has_the_forms_that_are_promised(name: str) -> None:
    model, batch = made(name).eval(), given(name)
    images, labels = batch["images"], batch.get("labels")
    made_images = []
    with torch.inference_mode(), seeded_torch(0):
        if isinstance(model, CanReconstruct):
            made_images.append(model.reconstruct(images, labels))
        if isinstance(model, CanDecode):
            made_images.append(model.decode(model.encode(images), labels))
        if isinstance(model, CanSample):
            made_images.append(model.sample(5, labels))
        # How odd an image is cannot be said by what has to be told its class.
        if isinstance(model, CanScore) and not model.num_classes:
            scores = model.scores(images)
            assert scores
            assert all(score.shape == (5,) and torch.isfinite(score).all() for score in scores.values())
    for found in made_images:
        assert found.shape == images.shape
        assert found.dtype == torch.float32
        assert (found >= 0).all()
        assert (found <= 1).all()


@EVERY
def test_it_is_trained_saved_and_opened(name: str, tmp_path) -> None:
    model = made(name)
    examples = ImageExamples(toy_images(16, shape_of(name)), labels=MODELS[name].labelled, keys=MODELS[name].keyed)
    before = [value.clone() for value in model.state_dict().values()]
    history = fit(model.step(), examples, config=settings(steps=2), directory=tmp_path / "run", validation=examples)
    assert history.steps == 2
    assert not all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    preprocessing = Preprocessing(channels=shape_of(name)[0], height=8, width=8)
    save_model(SavedModel(model=model, config=small(name), preprocessing=preprocessing), tmp_path / "saved")
    loaded = load_model(tmp_path / "saved").model
    images = given(name)["images"]
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode(images), model.eval().encode(images))
        if isinstance(model, CanScore) and not inspect.signature(model.scores).parameters.keys() - {"images"}:
            with seeded_torch(0):
                first = model.scores(images)
            with seeded_torch(0):
                second = loaded.scores(images)
            for score in first:
                torch.testing.assert_close(first[score], second[score])
