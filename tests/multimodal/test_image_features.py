"""Features encoded once: the right rows whatever was sorted, replaced or trained, and one grid for every encoder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from multimodal.questions.features import encode_images
from nlprep.core.errors import NlprepError, OptionError
from vision.backbones.configuration import BackboneConfig
from vision.encoders.digests import encoder_digest
from vision.encoders.image_encoder import ImageEncoder
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.files import SavedModel, build

SHAPE = (3, 16, 16)


def encoder_of(kind="residual", seed=1):
    config = BackboneConfig(kind=kind, width=8, norm="batch" if kind == "residual" else "group")
    model = build(None, SHAPE, config, seed=seed).eval()
    return ImageEncoder(SavedModel(model=model, config=config, preprocessing=Preprocessing(height=16, width=16)))


def some_images(count=12, shape=SHAPE):
    return Images(np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8))


@pytest.fixture(scope="module")
def encoder():
    return encoder_of()


@pytest.fixture
def counted(monkeypatch, encoder):
    """How many images went through the encoder."""
    seen = []
    forward = type(encoder.module).forward
    monkeypatch.setattr(
        type(encoder.module), "forward", lambda self, images: (seen.append(len(images)), forward(self, images))[1]
    )
    return seen


def check(found, images, encoder, places=None):
    """Each row is its image's, encoded alone."""
    for place in range(len(images)) if places is None else places:
        wanted = encoder.encode(images.select(np.array([place])))
        np.testing.assert_allclose(found.vectors_of(np.array([place])), wanted, atol=1e-5)


def test_features_are_encoded_once_and_are_the_encoder_s(tmp_path, encoder, counted):
    images = some_images()
    found = encode_images(images, encoder, tmp_path, batch_size=5)
    assert counted == [5, 5, 2]
    again = encode_images(images, encoder, tmp_path, batch_size=64)
    assert counted == [5, 5, 2]
    np.testing.assert_array_equal(again.vectors_of(np.arange(12)), found.vectors_of(np.arange(12)))
    assert isinstance(again.vectors.base, np.ndarray)
    assert not again.vectors.flags.writeable
    check(found, images, encoder)
    with torch.no_grad():
        maps = encoder.saved.model.forward_maps(torch.from_numpy(images.pixels).float() / 255)
    grids = found.grids_of(np.arange(12))
    assert grids.shape == tuple(np.array(maps.shape)[[0, 2, 3, 1]])
    np.testing.assert_allclose(grids, maps.permute(0, 2, 3, 1), atol=1e-5)
    # Batch 1 is batch 64.
    alone = encode_images(images, encoder, tmp_path / "alone", batch_size=1)
    np.testing.assert_allclose(alone.grids_of(np.arange(12)), grids, atol=1e-5)


def test_rows_follow_images_that_are_sorted_otherwise(tmp_path, encoder, counted):
    images = some_images()
    encode_images(images, encoder, tmp_path)
    seen = len(counted)
    order = np.random.default_rng(1).permutation(12)
    moved = Images(images.pixels[order], names=[f"other {n}" for n in range(12)])
    found = encode_images(moved, encoder, tmp_path)
    assert len(counted) == seen
    check(found, moved, encoder)


def test_an_image_that_is_replaced_is_encoded_and_no_other(tmp_path, encoder, counted):
    images = some_images()
    encode_images(images, encoder, tmp_path)
    pixels = images.pixels.copy()
    pixels[4] = 255 - pixels[4]
    changed = Images(pixels, source=images.source)
    del counted[:]
    found = encode_images(changed, encoder, tmp_path)
    assert counted == [1]
    check(found, changed, encoder)


def test_other_weights_settings_or_batch_norms_are_another_encoder(tmp_path, encoder):
    images = some_images(6)
    first = encode_images(images, encoder, tmp_path)
    other = encoder_of(seed=2)
    found = encode_images(images, other, tmp_path)
    assert found.path != first.path
    check(found, images, other)
    digest = encoder_digest(other)
    assert encoder_digest(encoder_of(seed=2)) == digest
    name, buffer = next((n, b) for n, b in other.saved.model.named_buffers() if "running" in n)
    buffer += 1
    assert encoder_digest(other) != digest, name
    padded = replace(encoder.saved, preprocessing=Preprocessing(height=16, width=16, fit="pad"))
    assert encoder_digest(ImageEncoder(padded)) != encoder_digest(encoder)


def test_encoding_moves_no_statistics(tmp_path):
    encoder = encoder_of(seed=3)
    encoder.saved.model.train()
    before = {name: value.clone() for name, value in encoder.saved.model.state_dict().items()}
    encode_images(some_images(), encoder, tmp_path)
    for name, value in encoder.saved.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert encoder.saved.model.training


def test_images_that_are_alike_are_encoded_once_and_those_not_named_not_at_all(tmp_path, encoder, counted):
    images = some_images()
    images.pixels[7] = images.pixels[2]
    found = encode_images(images, encoder, tmp_path, places=np.array([7, 2, 9, 9]))
    assert counted == [2]
    assert found.rows[7] == found.rows[2] != found.rows[9]
    check(found, images, encoder, [2, 7, 9])
    with pytest.raises(NlprepError, match="image 3 was not encoded"):
        found.vectors_of(np.array([2, 3]))


def test_images_of_another_size_go_through_the_encoder_s_own_preprocessing(tmp_path, encoder):
    images = some_images(3, (1, 20, 30))
    check(encode_images(images, encoder, tmp_path), images, encoder)


def test_sixteen_bits_are_rounded_and_refuse_what_they_cannot_hold(tmp_path, encoder):
    images = some_images(4)
    half = encode_images(images, encoder, tmp_path, half=True, grids=False)
    whole = encode_images(images, encoder, tmp_path, grids=False)
    assert half.vectors.dtype == np.float16
    np.testing.assert_array_equal(half.vectors, whole.vectors.astype(np.float16))
    with pytest.raises(NlprepError, match="holds vectors alone: encode with grids=True"):
        half.grids_of(np.array([0]))
    large = encoder_of(seed=4)
    large.module.register_forward_hook(lambda module, given, made: made * 1e6)
    with pytest.raises(NlprepError, match="too large for 16 bits: encode with half=False"):
        encode_images(images, large, tmp_path, half=True)
    large.module.register_forward_hook(lambda module, given, made: made / 0)
    with pytest.raises(NlprepError, match="not finite: look at the encoder"):
        encode_images(images, large, tmp_path)


def test_what_cannot_be_encoded_is_refused(tmp_path, encoder):
    with pytest.raises(OptionError, match="batch_size = 0"):
        encode_images(some_images(), encoder, tmp_path, batch_size=0)
    with pytest.raises(NlprepError, match="there are no images to encode"):
        encode_images(some_images(), encoder, tmp_path, places=np.zeros(0, np.int64))
    with pytest.raises(OptionError, match="grids = True: the features of this encoder have no places"):
        encode_images(some_images(), encoder_of("mlp"), tmp_path)
    assert encode_images(some_images(), encoder_of("mlp"), tmp_path, grids=False).grids is None


def test_a_damaged_file_is_made_anew(tmp_path, encoder):
    images = some_images(4)
    path = encode_images(images, encoder, tmp_path).path
    tensors = path / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    check(encode_images(images, encoder, tmp_path), images, encoder)


# Models of the transformers library, with one grid whatever tokens they have


def write_theirs(directory, kind):
    import transformers

    size = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    seen = {**size, "image_size": 16, "patch_size": 4}
    text = {**size, "vocab_size": 20, "max_position_embeddings": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if kind == "vit":
            model = transformers.ViTModel(transformers.ViTConfig(**seen))
        elif kind == "resnet":
            model = transformers.ResNetModel(
                transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
            )
        elif kind == "clip":
            model = transformers.CLIPModel(transformers.CLIPConfig(vision_config=seen, text_config=text))
        else:
            model = transformers.SiglipModel(transformers.SiglipConfig(vision_config=seen, text_config=text))
    model.save_pretrained(directory)
    (directory / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 16, "width": 16}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]})
    )
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vit", "resnet", "clip", "siglip"])
def test_models_of_transformers_have_the_same_grid(tmp_path, kind):
    whole = write_theirs(tmp_path / "theirs", kind)
    own = getattr(whole, "vision_model", whole)
    encoder = ImageEncoder.from_directory(tmp_path / "theirs")
    images = some_images(5)
    found = encode_images(images, encoder, tmp_path / "features", batch_size=2)
    check(found, images, encoder)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]))
    with torch.no_grad():
        given = (torch.from_numpy(images.pixels).float() / 255 - mean) / deviation
        last = own(pixel_values=given).last_hidden_state
    # A class token where there is one is no place.
    wanted = last.permute(0, 2, 3, 1) if kind == "resnet" else last[:, -16:].reshape(5, 4, 4, 12)
    assert last.shape[1] == {"vit": 17, "clip": 17, "siglip": 16, "resnet": 8}[kind]
    np.testing.assert_allclose(found.grids_of(np.arange(5)), wanted, atol=1e-4)
    # From another place on the disk the same model is the same.
    (tmp_path / "theirs").rename(tmp_path / "moved")
    assert encoder_digest(ImageEncoder.from_directory(tmp_path / "moved")) == encoder_digest(encoder)
