"""What is chosen for who says nothing."""

from __future__ import annotations

import pytest

from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from vision.backbones.configuration import BackboneConfig
from vision.models.methods import MODELS
from vision.presets import default_backbone, default_training, default_validation, describe_choice

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "shape", "kind", "size"),
    [
        ("vae", (1, 28, 28), "patch", ("patch", 4)),
        ("vae", (1, 28, 28), "patch", ("overlap", False)),
        ("wae", (3, 32, 32), "patch", ("overlap", True)),
        ("vae", (1, 64, 64), "patch", ("patch", 4)),
        ("hierarchical-vae", (3, 3, 3), "patch", ("patch", 3)),
        ("autoencoder", (3, 30, 128), "patch", ("patch", 8)),
        ("gan", (3, 28, 28), "convolutional", ("width", 32)),
        ("classifier", (1, 64, 64), "convolutional", ("width", 16)),
        ("masked", (3, 32, 32), "vit", ("patch", 4)),
        ("masked", (3, 64, 64), "vit", ("patch", 8)),
        ("masked", (1, 224, 224), "vit", ("patch", 16)),
        ("rotation", (3, 32, 32), "convolutional", ("width", 32)),
        ("context-prediction", (3, 32, 32), "convolutional", ("depth", 2)),
        ("cpc", (3, 64, 64), "convolutional", ("depth", None)),
    ],
)
def test_the_network_suits_the_images(model, shape, kind, size):
    chosen = default_backbone(model, shape)
    assert chosen is not None
    assert chosen.kind == kind
    assert getattr(chosen, size[0]) == size[1]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_made_with_what_is_chosen(name):
    from dataclasses import replace

    for shape in ((3 if MODELS[name].coloured else 1, 12, 12), (3, 48, 64)):
        backbone = default_backbone(name, shape)
        config = MODELS[name].config()
        assert (backbone is None) == (not hasattr(config, "backbone"))
        if backbone is not None:
            config = replace(config, backbone=backbone)
        made = MODELS[name].load()(shape, config, num_classes=3 if MODELS[name].labelled else 0, seed=1)
        assert made.shape == shape


def test_training_grows_with_the_images_within_bounds():
    found = [default_training("vae", count) for count in (5, 300, 3000, 60_000, 10_000_000)]
    assert [config.batch_size for config in found] == [5, 32, 64, 128, 128]
    assert [config.steps for config in found] == [2000, 2000, 2000, 9375, 20_000]
    assert all(config.average for config in found)
    with pytest.raises(OptionError, match="choose from"):
        default_training("vea", 10)


def test_how_fast_it_learns_is_the_networks():
    quick, slow = BackboneConfig(kind="mlp"), BackboneConfig(kind="vit")
    found = [default_training("vae", 100, network) for network in (None, quick, slow)]
    assert [(config.learning_rate, config.clip_norm) for config in found] == [(4e-3, 50), (4e-3, 50), (1e-3, None)]
    assert default_training("masked", 100).learning_rate == 1e-3
    assert default_training("gan", 100, quick).learning_rate == 5e-4
    assert default_training("classifier", 100).beta2 == TrainingConfig().beta2


def test_of_few_images_more_are_held_out():
    shares = [default_validation(count) for count in (1, 40, 80, 100, 200, 5000)]
    assert shares == [0.25, 0.25, 0.25, 0.2, 0.1, 0.1]


def test_the_choice_is_said_in_a_line():
    said = describe_choice(
        "vae", default_backbone("vae", (3, 64, 64)), default_training("vae", 500), count=500, shape=(3, 64, 64)
    )
    assert said == (
        "vae, with a network of the kind patch of width 16 on 500 colour images of 64 x 64: 2,000 steps of 32, "
        "128 passes"
    )
