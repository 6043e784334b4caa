"""Encoders of images beyond the contract that all encoders keep (`tests/contracts/test_encoders.py`)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from vision_toys import SMALL, toy_images, write_transformers_model

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.labelled import Labelled
from vision import ImageEncoder, RawPixels, SavedModel, load_model
from vision.encoders.onnx_files import read_onnx_description
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import AutoencoderConfig
from vision.models.files import build
from vision.models.methods import MODELS, find_method, name_of


def made(backbone="convolutional", channels=1, **changes) -> ImageEncoder:
    preprocessing = Preprocessing(channels=channels, height=8, width=8)
    config = AutoencoderConfig(dimension=5, backbone=SMALL[backbone])
    model = build("autoencoder", preprocessing.shape, config)
    saved = SavedModel(
        model=model, config=config, preprocessing=preprocessing, classes=("left", "right"), notes={"steps": 3}
    )
    return ImageEncoder(saved, **changes)


def test_the_same_images_in_every_form_have_the_same_vectors(tmp_path):
    images = toy_images(7, (3, 8, 8))
    encoder = made(channels=3)
    vectors = encoder.encode(images, 3)
    with torch.no_grad():
        wanted = encoder.saved.model.encode(torch.from_numpy(images.pixels)).numpy()
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    pillow = [Image.fromarray(np.moveaxis(pixels, 0, -1)) for pixels in images.pixels]
    for number, picture in enumerate(pillow):
        picture.save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(len(pillow))]
    forms = {
        "pillow": pillow,
        "paths": paths,
        "arrays": list(images.pixels),
        "one array": images.pixels,
        "channels last": [np.moveaxis(pixels, 0, -1) for pixels in images.pixels],
        "floats": [pixels / 255 for pixels in images.pixels],
        "labelled": Labelled(images.pixels, ["a"] * 7).items,
    }
    for form, items in forms.items():
        np.testing.assert_allclose(encoder.encode(items, 2), vectors, atol=1e-5, err_msg=form)
        np.testing.assert_allclose(
            RawPixels(encoder.saved.preprocessing).encode(items),
            images.pixels.reshape(7, -1) / np.float32(255), atol=1e-6, err_msg=form,
        )  # fmt: skip
    # Of another size they are resized, as pictures are.
    larger = toy_images(3, (3, 16, 12))
    assert encoder.encode(larger).shape == (3, 5)
    np.testing.assert_allclose(encoder.encode(larger), encoder.encode(list(larger.pixels)), atol=1e-6)


def test_features_are_what_the_backbone_makes_before_the_codes():
    images = toy_images(4)
    codes, features = made(), made(output="features")
    assert (codes.dimension, features.dimension) == (5, features.saved.model.backbone.dimension)
    with torch.no_grad():
        given = torch.from_numpy(features.encode(images))
        torch.testing.assert_close(codes.saved.model.to_code(given), torch.from_numpy(codes.encode(images)))
    with pytest.raises(OptionError, match="output = 'code': choose from codes, features"):
        made(output="code")


def test_a_saved_encoder_makes_the_same_of_its_output_and_remembers(tmp_path):
    images = toy_images(4)
    features = made(output="features")
    features.save(tmp_path / "saved")
    loaded = ImageEncoder.from_directory(tmp_path / "saved")
    np.testing.assert_allclose(loaded.encode(images), features.encode(images), atol=1e-6)
    assert ImageEncoder.from_directory(tmp_path / "saved", output="codes").dimension == 5
    saved = load_model(tmp_path / "saved")
    assert saved.classes == ("left", "right")
    assert saved.notes["steps"] == 3
    assert saved.preprocessing == features.saved.preprocessing
    card = (tmp_path / "saved" / "README.md").read_text()
    for said in ("ImageEncoder.from_directory", "left, right", "- dimension: 5", "- height: 8"):
        assert said in card
    # Of its network, which began from nothing.
    assert "pretrained" not in card


def test_bf16_is_close():
    images = toy_images(6, (3, 8, 8))
    exact, fast = made(channels=3).encode(images), made(channels=3, precision="bf16").encode(images)
    assert not np.array_equal(exact, fast)
    assert np.abs(exact - fast).max() < 0.05 * np.abs(exact).max()
    with pytest.raises(OptionError, match="precision = 'fp8'"):
        made(precision="fp8")


def test_its_module_learns_as_a_part_of_something_larger():
    encoder = made()
    images = torch.from_numpy(toy_images(4).pixels)
    assert not any(part.training for part in encoder.module.modules())
    encoder.module(images).square().sum().backward()
    assert encoder.saved.model.to_code.weight.grad.abs().sum() > 0
    torch.testing.assert_close(encoder.module(images.float() / 255), encoder.module(images))


@pytest.mark.parametrize("backbone", ["mlp", "vit"])
def test_nothing_learned_is_kept_in_a_randomized_one(backbone):
    encoder = made(backbone)
    with torch.no_grad():
        for part in encoder.module.parameters():
            part += 1
    learned, drawn = encoder.module.state_dict(), encoder.randomized(1).module.state_dict()
    assert all(not torch.equal(learned[name], drawn[name]) for name in learned)


def test_a_pretrained_one_keeps_its_own_preprocessing(tmp_path):
    write_transformers_model(tmp_path / "theirs")
    encoder = ImageEncoder.from_transformers(tmp_path / "theirs")
    assert encoder.saved.preprocessing == Preprocessing(channels=3, height=16, width=16)
    images = toy_images(3, (3, 20, 20))
    vectors = encoder.encode(images)
    encoder.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "backbone" / "preprocessor_config.json").is_file()
    (tmp_path / "theirs").rename(tmp_path / "gone")
    np.testing.assert_allclose(ImageEncoder.from_directory(tmp_path / "saved").encode(images), vectors, atol=1e-6)
    assert "transformers backbone" in (tmp_path / "saved" / "README.md").read_text()
    larger = ImageEncoder.from_transformers(tmp_path / "gone", Preprocessing(height=20, width=20))
    assert not np.allclose(larger.encode(images), vectors, atol=1e-4)


def test_a_pretrained_one_without_a_pooler_is_the_same_when_it_is_opened_again(tmp_path):
    write_transformers_model(tmp_path / "theirs", head=True)
    encoder = ImageEncoder.from_transformers(tmp_path / "theirs")
    images = toy_images(3, (3, 16, 16))
    encoder.save(tmp_path / "saved")
    loaded = ImageEncoder.from_directory(tmp_path / "saved")
    np.testing.assert_allclose(loaded.encode(images), encoder.encode(images), atol=1e-6)


def test_a_damaged_picture_is_named(tmp_path):
    for number, pixels in enumerate(toy_images(4).pixels):
        Image.fromarray(pixels[0]).save(tmp_path / f"{number}.png")
    bad = tmp_path / "2.png"
    bad.write_bytes(bad.read_bytes()[:60])
    for encoder in (made(), RawPixels(Preprocessing(channels=1, height=8, width=8))):
        with pytest.raises(FileError, match=r"2\.png"):
            encoder.encode([str(tmp_path / f"{number}.png") for number in range(4)], 1)
        with pytest.raises(FileError, match="nowhere"):
            encoder.encode([tmp_path / "nowhere.png"])


def test_damaged_directories_are_one_line(tmp_path):
    encoder = made()
    encoder.save(tmp_path / "saved")
    config = tmp_path / "saved" / "config.json"
    text = config.read_text()
    changes = [
        ('"dimension": 5,\n    "error"', '"dimension": 6,\n    "error"', "the weights are not those of its settings"),
        ('"model": "autoencoder"', '"model": "vea"', "does not describe a model .*choose from"),
        ('"fit": "crop"', '"fit": "cut"', "does not describe a model"),
        ('"kind": "image-model"', '"kind": "corpus"', "holds 'corpus', expected 'image-model'"),
    ]
    for old, new, problem in changes:
        assert old in text
        config.write_text(text.replace(old, new))
        with pytest.raises(FileError, match=problem) as caught:
            ImageEncoder.from_directory(tmp_path / "saved")
        assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match="holds no model of images"):
        (tmp_path / "empty").mkdir()
        load_model(tmp_path / "empty")


def test_a_preprocessing_that_makes_other_images_is_refused():
    saved = replace(made().saved, preprocessing=Preprocessing(channels=1, height=8, width=9))
    with pytest.raises(NlprepError, match=r"preprocessing: images of 1 x 8 x 9 .* the model takes 1 x 8 x 8"):
        ImageEncoder(saved)


def test_names_and_settings_of_models_are_known_without_a_library():
    code = (
        "import sys; import vision; from vision import MODELS; dir(vision); [m.config() for m in MODELS.values()];"
        "assert sorted(vision.__all__) == sorted(name for name in dir(vision) if name in vision.__all__);"
        "assert not {'torch', 'numpy', 'PIL', 'transformers'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import vision

    assert all(getattr(vision, name) is not None for name in vision.__all__)
    for method in MODELS.values():
        kind = method.load()
        assert kind.__name__ == method.model
        assert issubclass(kind, torch.nn.Module)
    assert find_method("autoencoder").load().__name__ == "Autoencoder"
    assert name_of(made().saved.model) == "autoencoder"
    with pytest.raises(OptionError, match="model 'x': choose from autoencoder"):
        find_method("x")


# ONNX


@pytest.mark.slow
def test_an_exported_encoder_gives_the_same_vectors(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = made()
    encoder.module.train()
    images = toy_images(7)
    place = tmp_path / "encoder.onnx"
    encoder.export_onnx(place, notes={"threshold": 1.25})
    assert all(part.training for part in encoder.module.modules())
    session = onnxruntime.InferenceSession(place)
    for number in (1, 2, 7):
        (found,) = session.run(None, {"images": images.pixels[:number]})
        np.testing.assert_allclose(found, encoder.encode(images)[:number], atol=1e-5)
    described = read_onnx_description(place)
    assert Preprocessing(**described["preprocessing"]) == encoder.saved.preprocessing
    assert described["notes"] == {"steps": 3, "threshold": 1.25}
    assert described["classes"] == ["left", "right"]
    # Another that is there is replaced when asked for, and nothing else ever.
    with pytest.raises(FileError, match="overwrite"):
        encoder.export_onnx(place)
    (tmp_path / "theirs.txt").write_text("a text")
    with pytest.raises(FileError):
        encoder.export_onnx(tmp_path / "theirs.txt", overwrite=True)


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(NlprepError, match="writing ONNX needs onnxscript: pip install onnx onnxscript"):
        made().export_onnx(tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.onnx").write_bytes(b"\x08\x0awhatever")
    with pytest.raises(FileError, match="is no ONNX model that an encoder"):
        read_onnx_description(tmp_path / "a.onnx")


def test_pictures_are_decoded_in_order_and_no_further_than_needed():
    from vision.encoders.pictures import batches_of_pixels

    preprocessing = Preprocessing(channels=1, height=8, width=8)
    images = toy_images(30)
    read: list[int] = []

    class Reading:
        shape, width, height = preprocessing.shape, 8, 8

        def with_size(self, item):
            read.append(item)
            return images.pixels[item], (8, 8)

    batches = batches_of_pixels(list(range(30)), 4, Reading())
    first = next(batches)
    np.testing.assert_array_equal(first, images.pixels[:4])
    assert len(read) <= 12
    np.testing.assert_array_equal(np.concatenate([first, *batches]), images.pixels)
    assert sorted(read) == list(range(30))
