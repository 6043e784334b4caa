"""Networks from images to features and from codes to images."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from vision_toys import SMALL, write_transformers_model

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from vision.backbones.backbone import Backbone, Decoder
from vision.backbones.configuration import BackboneConfig
from vision.backbones.networks import make_backbone, make_decoder
from vision.backbones.patch import FadingPatches
from vision.backbones.transformers_model import TransformersBackbone

pytestmark = pytest.mark.slow

SHAPES = [(1, 28, 28), (3, 17, 31), (3, 32, 32), (1, 5, 4), (3, 9, 40), (1, 1, 7)]


def made(config: BackboneConfig, shape, seed=1) -> Backbone:
    with seeded_torch(seed):
        return make_backbone(config, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SMALL)
def test_features_of_images_of_any_size_and_images_of_codes(name, shape):
    config = SMALL[name]
    backbone = made(config, shape)
    pixels = torch.rand(2, *shape)
    features = backbone(pixels)
    assert backbone.shape == shape
    assert features.shape == (2, backbone.dimension)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])
    maps = backbone.forward_maps(pixels)
    assert (maps is None) == (name == "mlp")
    if maps is not None:
        assert maps.dim() == 4
    for channels in (None, 2 * shape[0]):
        decoder = make_decoder(config, shape, 5, channels)
        assert isinstance(decoder, Decoder)
        assert decoder.shape == (channels or shape[0], *shape[1:])
        assert decoder(torch.randn(3, 5)).shape == (3, *decoder.shape)
        decoder(torch.randn(3, 5)).sum().backward()
        assert all(part.grad is not None for part in decoder.parameters())


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["convolutional", "residual"])
def test_the_mirror_comes_back_to_the_size_through_the_same_maps(kind, depth):
    config = BackboneConfig(kind=kind, width=4, depth=depth, blocks=1)
    for shape in [(1, 13, 22), (3, 31, 9)]:
        backbone, decoder = made(config, shape), make_decoder(config, shape, 3)
        maps = backbone.forward_maps(torch.rand(1, *shape))
        assert tuple(maps.shape[1:]) == decoder.maps
        assert tuple(decoder(torch.zeros(1, 3)).shape[1:]) == shape


@pytest.mark.parametrize("patch", [1, 2, 4, 7])
def test_patches_cover_the_image_and_their_mirror_lays_them_out_again(patch):
    config = BackboneConfig(kind="patch", width=4, blocks=1, norm="none", patch=patch)
    for shape in [(1, 28, 28), (3, 13, 22)]:
        backbone, decoder = made(config, shape), make_decoder(config, shape, 3)
        maps = backbone.forward_maps(torch.rand(1, *shape))
        assert tuple(maps.shape[2:]) == (-(-shape[1] // patch), -(-shape[2] // patch))
        assert tuple(maps.shape[1:]) == decoder.maps
        # The last pixel, in a patch that may be cut, counts; and what is at one place is drawn at it and beside it.
        pixels = torch.rand(1, *shape, requires_grad=True)
        backbone(pixels).square().sum().backward()
        assert pixels.grad is not None
        assert bool((pixels.grad != 0).all())
        with torch.no_grad():
            middle = torch.zeros(1, *decoder.maps)
            still = decoder.layers[1:](middle)
            middle[0, :, 0, 0] = 1.0
            changed = (decoder.layers[1:](middle) != still)[0].any(0)
        rows, columns = torch.nonzero(changed).max(0).values.tolist()
        assert rows == min(2, decoder.maps[1]) * patch - 1
        assert columns == min(2, decoder.maps[2]) * patch - 1


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
def test_patches_that_overlap_fade_into_each_other(patch):
    last = FadingPatches(2, 1, patch)
    with torch.no_grad():
        last.whole.weight.fill_(1)
        last.whole.bias.zero_()
        made = last(torch.ones(1, 2, 4, 5))
        assert made.shape == (1, 1, 4 * patch, 5 * patch)
        # Inside, weights add up to one of each channel: maps that are alike everywhere are drawn without a seam.
        torch.testing.assert_close(made[..., patch:-patch, patch:-patch], torch.full((1, 1, 2 * patch, 3 * patch), 2.0))
        # A place more or less changes its neighbours' pixels no more than a step of the triangle.
        maps = torch.zeros(1, 2, 4, 5)
        maps[..., 2, 2] = 1
        one = last(maps)
    assert float(one.diff(dim=-1).abs().max()) <= 2 / patch + 1e-6
    assert int((one.sum((1, 2)) > 0).sum()) == 2 * patch
    config = BackboneConfig(kind="patch", width=4, blocks=1, patch=patch, overlap=True)
    assert make_decoder(config, (3, 6, 7), 5)(torch.randn(2, 5)).shape == (2, 3, 6, 7)


def test_a_patch_network_whose_patch_is_larger_than_the_image_is_refused():
    config = BackboneConfig(kind="patch", width=4, patch=8)
    for make in (lambda: made(config, (1, 6, 7)), lambda: make_decoder(config, (1, 6, 7), 3)):
        with pytest.raises(OptionError, match="patch = 8: the images have 6 x 7 pixels: choose a smaller one"):
            make()


def test_sizes_follow_from_the_image():
    # 28 -> 14 -> 7 and 32 -> 16 -> 8 -> 4.
    assert tuple(made(BackboneConfig(width=2), (1, 28, 28)).forward_maps(torch.rand(1, 1, 28, 28)).shape) == (
        1,
        4,
        7,
        7,
    )
    assert tuple(made(BackboneConfig(width=2), (3, 32, 32)).forward_maps(torch.rand(1, 3, 32, 32)).shape) == (
        1,
        8,
        4,
        4,
    )


def test_resnet18_has_the_published_number_of_parameters():
    def count(**changes):
        with torch.device("meta"):
            model = made(BackboneConfig(kind="resnet18", norm="batch", **changes), (3, 32, 32))
        return sum(part.numel() for part in model.parameters())

    # With heads of 10 and 1000 classes these are the 11,173,962 of CIFAR's form and the 11,689,512 of ImageNet's.
    assert count() == 11_173_962 - (512 + 1) * 10
    assert count(stem="standard") == 11_689_512 - (512 + 1) * 1000
    small = made(BackboneConfig(kind="resnet18", width=4), (3, 32, 32))
    assert small.forward_maps(torch.rand(1, 3, 32, 32)).shape == (1, 32, 4, 4)
    standard = made(BackboneConfig(kind="resnet18", width=4, stem="standard"), (3, 224, 224))
    assert standard.forward_maps(torch.rand(1, 3, 224, 224)).shape == (1, 32, 7, 7)
    torch.testing.assert_close(
        small(torch.ones(1, 3, 32, 32)), small.forward_maps(torch.ones(1, 3, 32, 32)).mean((2, 3))
    )


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_a_function_of_the_seed_and_of_nothing_else(name):
    config, shape = SMALL[name], (1, 12, 12)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    one = made(config, shape).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    same, other = made(config, shape).state_dict(), made(config, shape, seed=2).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["convolutional", "residual", "resnet18", "vit"])
def test_channels_last_gives_the_same_features_and_gradients(name):
    config, shape = SMALL[name], (3, 16, 20)
    results = []
    pixels = torch.rand(4, *shape)
    for form in (torch.contiguous_format, torch.channels_last):
        backbone = made(config, shape).to(memory_format=form)
        with seeded_torch(2):
            decoder = make_decoder(config, shape, backbone.dimension).to(memory_format=form)
        features = backbone(pixels)
        out = decoder(features)
        out.square().sum().backward()
        gradients = torch.cat([part.grad.flatten() for part in [*backbone.parameters(), *decoder.parameters()]])
        results.append((features, out, gradients / gradients.norm()))
        if name != "vit":
            maps = backbone.forward_maps(pixels)
            assert maps.is_contiguous(memory_format=form)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_an_image_s_features_do_not_depend_on_the_batch(name):
    backbone, pixels = made(SMALL[name], (3, 16, 16)), torch.rand(5, 3, 16, 16)
    torch.testing.assert_close(backbone(pixels)[:2], backbone(pixels[:2]), rtol=1e-4, atol=1e-5)
    norms = {type(part) for part in backbone.modules()}
    assert nn.BatchNorm2d not in norms


def test_norms_are_what_was_asked_for():
    for norm, kind in (("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)):
        for name in ("convolutional", "residual", "patch", "resnet18"):
            config = replace(SMALL[name], norm=norm)
            for module in (made(config, (3, 16, 16)), make_decoder(config, (3, 16, 16), 2)):
                assert any(isinstance(part, kind) for part in module.modules())
    for name in ("convolutional", "residual", "patch", "resnet18"):
        backbone = made(replace(SMALL[name], norm="none"), (3, 16, 16))
        assert not any(isinstance(part, nn.GroupNorm | nn.BatchNorm2d) for part in backbone.modules())
        backbone(torch.rand(1, 3, 16, 16)).sum().backward()


def test_a_residual_network_begins_as_what_passes_beside_its_blocks():
    config = BackboneConfig(kind="residual", width=4, depth=0, blocks=3)
    deep, shallow = made(config, (1, 6, 6)), made(replace(config, blocks=1), (1, 6, 6))
    shallow.layers[0].load_state_dict(deep.layers[0].state_dict())
    pixels = torch.rand(2, 1, 6, 6)
    torch.testing.assert_close(deep(pixels), shallow(pixels))


def test_a_vit_sees_places_and_only_the_tokens_that_it_is_given():
    backbone = made(SMALL["vit"], (1, 10, 14))
    assert backbone.grid == (3, 4)
    pixels = torch.rand(2, 1, 10, 14)
    tokens = backbone.embed(pixels)
    assert tokens.shape == (2, 12, 12)
    torch.testing.assert_close(backbone.transform(tokens).mean(1), backbone(pixels))
    maps = backbone.forward_maps(pixels)
    assert maps.shape == (2, 12, 3, 4)
    torch.testing.assert_close(maps[:, :, 1, 2], backbone.transform(tokens)[:, 6])
    # Attention knows no order: without places, patches that change theirs would leave the features as they are.
    swapped = pixels.clone()
    swapped[:, :, :4, :4], swapped[:, :, :4, 4:8] = pixels[:, :, :4, 4:8], pixels[:, :, :4, :4]
    with torch.no_grad():
        backbone.places *= 50
        assert (backbone(swapped) - backbone(pixels)).abs().max() > 1e-4
        backbone.places.zero_()
        torch.testing.assert_close(backbone(swapped), backbone(pixels))
    kept = backbone.transform(tokens[:, :3])
    changed = pixels.clone()
    changed[:, :, :, 12:] = 0
    torch.testing.assert_close(
        backbone.transform(backbone.embed(pixels)[:, :3]), backbone.transform(backbone.embed(changed)[:, :3])
    )
    assert kept.shape == (2, 3, 12)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": "vit", "width": 10, "heads": 3}, "heads = 3: must divide the width of the vit, 10"),
        ({"kind": "transformers"}, "path: give the directory of a model"),
        ({"path": "somewhere"}, "path = 'somewhere': counts for kind = 'transformers' alone"),
        ({"kind": "resnet50"}, "kind = 'resnet50': choose from"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, problem):
    with pytest.raises(OptionError, match=problem):
        BackboneConfig(**changes)


def test_a_patch_larger_than_the_image_is_refused():
    with pytest.raises(OptionError, match="patch = 4: the images have 2 x 3 pixels"):
        made(BackboneConfig(kind="vit"), (1, 2, 3))


# Models of the transformers library


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_transformers_model_gives_its_own_features_with_its_own_normalisation(tmp_path, kind):
    import transformers

    settings = write_transformers_model(tmp_path / "theirs", kind=kind)
    backbone = made(BackboneConfig(kind="transformers", path=str(tmp_path / "theirs")), (3, 16, 16)).eval()
    own = transformers.AutoModel.from_pretrained(tmp_path / "theirs").eval()
    pixels = torch.rand(2, 3, 16, 16)
    mean, deviation = (torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))
    with torch.no_grad():
        wanted = own(pixel_values=(pixels - mean) / deviation)
        torch.testing.assert_close(backbone(pixels), wanted.pooler_output.flatten(1))
        maps = backbone.forward_maps(pixels)
        last = wanted.last_hidden_state
        places = last[:, 1:].transpose(1, 2).unflatten(2, (4, 4)) if kind == "vit" else last
        torch.testing.assert_close(maps, places)
    assert backbone.dimension == (12 if kind == "vit" else 8)
    # Its weights, not those of a seed.
    other = made(BackboneConfig(kind="transformers", path=str(tmp_path / "theirs")), (3, 16, 16), seed=9)
    assert all(torch.equal(one, two) for one, two in zip(backbone.parameters(), other.parameters(), strict=True))
    drawn = [
        made(
            BackboneConfig(kind="transformers", path=str(tmp_path / "theirs"), pretrained=False), (3, 16, 16), seed=seed
        )
        for seed in (1, 1, 2)
    ]
    first, same, another = (torch.cat([part.flatten() for part in model.parameters()]) for model in drawn)
    assert torch.equal(first, same)
    assert not torch.equal(first, another)


def test_the_preprocessing_agrees_with_the_library_s_own(tmp_path):
    transformers = pytest.importorskip("transformers")
    write_transformers_model(tmp_path / "theirs")
    pixels = np.random.default_rng(2).integers(60, 190, (3, 40, 24), dtype=np.uint8)
    processors = {
        "ViTImageProcessorPil": {"size": {"height": 16, "width": 16}, "resample": 2},
        "CLIPImageProcessorPil": {
            "size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16},
            "resample": 3,
        },
    }  # fmt: skip
    for name, more in processors.items():
        settings = {
            "do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6],
            "image_std": [0.2, 0.3, 0.25], **more,
        }  # fmt: skip
        (tmp_path / "theirs" / "preprocessor_config.json").write_text(json.dumps(settings))
        backbone = TransformersBackbone(tmp_path / "theirs", (3, 40, 24))
        processor = getattr(transformers, name)(**settings)
        theirs = processor(np.moveaxis(pixels, 0, -1), return_tensors="pt")["pixel_values"]
        ours = backbone.preprocessed(torch.from_numpy(pixels)[None].float() / 255)
        assert ours.shape == theirs.shape == (1, 3, 16, 16)
        # Pillow rounds to bytes, along one side and then along the other.
        assert (ours - theirs).abs().max() < 2 / 255 / 0.2


def test_grey_images_are_three_equal_channels_and_any_size_is_resized(tmp_path):
    write_transformers_model(tmp_path / "theirs")
    config = BackboneConfig(kind="transformers", path=str(tmp_path / "theirs"))
    grey = torch.rand(2, 1, 28, 28)
    colours = made(config, (3, 28, 28))(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(made(config, (1, 28, 28))(grey), colours)
    assert make_decoder(config, (1, 28, 28), 4)(torch.zeros(1, 4)).shape == (1, 1, 28, 28)


def test_a_pooler_that_is_not_on_disk_is_not_drawn(tmp_path):
    import transformers

    write_transformers_model(tmp_path / "theirs", head=True)
    backbone = made(BackboneConfig(kind="transformers", path=str(tmp_path / "theirs")), (3, 16, 16)).eval()
    assert not any("pool" in name for name, _ in backbone.named_parameters())
    own = transformers.AutoModel.from_pretrained(tmp_path / "theirs", add_pooling_layer=False).eval()
    pixels = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        given = backbone.preprocessed(pixels)
        torch.testing.assert_close(backbone(pixels), own(pixel_values=given).last_hidden_state[:, 0])


def test_what_is_no_vision_model_is_one_line(tmp_path):
    write_transformers_model(tmp_path / "model")
    (tmp_path / "model" / "preprocessor_config.json").rename(tmp_path / "preprocessor_config.json")
    cases = [(tmp_path / "nowhere", "config.json"), (tmp_path / "model", "holds no preprocessor_config.json")]
    for path, problem in cases:
        with pytest.raises(FileError, match=problem):
            TransformersBackbone(path, (3, 16, 16))
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "model" / "preprocessor_config.json")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(NlprepError, match="the model cannot be loaded") as caught:
        TransformersBackbone(tmp_path / "model", (3, 16, 16))
    assert "\n" not in str(caught.value)
    weights.unlink()
    with pytest.raises(FileError, match=r"holds no \.safetensors weights"):
        TransformersBackbone(tmp_path / "model", (3, 16, 16))
