"""Images that come as numbers: npz, IDX, CIFAR's binary files, and saved data sets."""

from __future__ import annotations

import builtins
import gzip
import zipfile

import numpy as np
import pytest
from picture_files import encoded, gradient, write_cifar, write_idx
from PIL import Image

from nlprep.core.errors import FileError, NlprepError
from vision.images.configuration import PreprocessingConfig
from vision.images.reading import read_images

GREY = np.random.default_rng(0).integers(0, 256, (7, 5, 6), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (7, 5, 6, 3), np.uint8)


def read_npz(tmp_path, *, split=None, preprocessing=None, **arrays):
    np.savez_compressed(tmp_path / "some.npz", **arrays)
    return read_images(tmp_path / "some.npz", split=split, preprocessing=preprocessing or PreprocessingConfig())


def test_npz_of_grey_images_with_labels(tmp_path):
    images = read_npz(tmp_path, x=GREY, y=np.array([2, 0, 1, 2, 2, 0, 1]))
    np.testing.assert_array_equal(images.pixels[:, 0], GREY)
    np.testing.assert_array_equal(images.labels, [2, 0, 1, 2, 2, 0, 1])
    assert images.classes == ("0", "1", "2")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("first", [False, True])
def test_npz_of_colour_images_channels_first_or_last(tmp_path, order, first):
    given = np.asarray(COLOUR.transpose(0, 3, 1, 2) if first else COLOUR, order=order)
    images = read_npz(tmp_path, images=given)
    np.testing.assert_array_equal(images.pixels.transpose(0, 2, 3, 1), COLOUR)
    assert images.labels is None


def test_npz_of_colours_that_are_grey_is_grey(tmp_path):
    assert read_npz(tmp_path, x=np.repeat(GREY[..., None], 3, axis=3)).shape == (1, 5, 6)
    late = np.repeat(GREY[..., None], 3, axis=3)
    late[-1, 0, 0, 0] ^= 1
    np.testing.assert_array_equal(read_npz(tmp_path, x=late).pixels.transpose(0, 2, 3, 1), late)


def test_npz_with_opacity_is_laid_over_white(tmp_path):
    clear = np.concatenate([COLOUR, np.zeros((7, 5, 6, 1), np.uint8)], axis=3)
    assert (read_npz(tmp_path, x=clear).pixels == 255).all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (GREY > 128, (GREY > 128) * 255),
        ((GREY > 128).astype(np.uint8), (GREY > 128) * 255),
        (GREY.astype(np.int64), GREY),
        (GREY / 255, GREY),
        ((GREY / 255).astype(np.float16), GREY),
        (GREY.astype(np.uint16) * 257, GREY),
    ],
)
def test_npz_of_other_types(tmp_path, given, expected):
    np.testing.assert_array_equal(read_npz(tmp_path, x=given).pixels[:, 0], expected)


def test_npz_is_read_in_blocks_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("vision.images.sources.number_files.BLOCK_BYTES", 64)
    np.testing.assert_array_equal(read_npz(tmp_path, x=COLOUR).pixels.transpose(0, 2, 3, 1), COLOUR)


def test_npz_resized_as_asked(tmp_path):
    images = read_npz(tmp_path, x=COLOUR, preprocessing=PreprocessingConfig(height=8, channels=1))
    assert images.shape == (1, 8, 8)
    np.testing.assert_array_equal(images.pixels[3], images.preprocessing(COLOUR[3]))


@pytest.mark.parametrize("spelling", ["x_{}", "{}_images"])
def test_npz_with_splits(tmp_path, spelling):
    labels = spelling.replace("x_", "y_").replace("images", "labels")
    arrays = {spelling.format("train"): GREY, spelling.format("test"): GREY[:2]}
    arrays |= {labels.format("train"): np.array([0, 1] * 3 + [0]), labels.format("test"): np.array([[3], [1]])}
    assert len(read_npz(tmp_path, **arrays)) == 7
    test = read_npz(tmp_path, split="test", **arrays)
    np.testing.assert_array_equal(test.labels, [3, 1])
    assert test.classes == ("0", "1", "2", "3")
    assert len(read_npz(tmp_path, split="all", **arrays)) == 9
    with pytest.raises(FileError, match="has no split 'val': it has test, train"):
        read_npz(tmp_path, split="val", **arrays)


def test_npz_labels_may_be_words_or_named(tmp_path):
    words = np.array(["dog", "cat", "dog", "eel", "cat", "cat", "dog"])
    images = read_npz(tmp_path, x=GREY, y=words)
    assert [images.classes[label] for label in images.labels] == words.tolist()
    images = read_npz(tmp_path, x=GREY, y=np.arange(7) % 2, classes=np.array(["no", "yes"]))
    assert images.classes == ("no", "yes")
    assert read_npz(tmp_path, x=GREY, y=np.arange(7) - 3).classes == ("-3", "-2", "-1", "0", "1", "2", "3")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.array([GREY[0], "?"], object)}, "array 'x' holds Python objects, which are never unpickled"),
        ({"x": GREY, "y": np.array([{}] * 7)}, "array 'y' holds Python objects"),
        ({"x": GREY[0]}, r"array 'x' has the shape \(5, 6\): give \(n, height, width\)"),
        ({"x": np.zeros((2, 5, 5, 7), np.uint8)}, r"has the shape \(2, 5, 5, 7\)"),
        ({"x": np.zeros((0, 5, 5), np.uint8)}, "holds no images"),
        ({"x": GREY.astype(float)}, r"array 'x': holds floats from 0 to .*: bring them to \[0, 1\]"),
        ({"x": GREY.astype(int) * 2}, "holds int64 from"),
        ({"x": GREY, "y": np.arange(6)}, "has 6 labels for 7 images: give one for each"),
        ({"x": GREY, "y": np.eye(7)}, r"labels are float64 \(7, 7\): give one whole number or word"),
        ({"x": GREY, "y": np.arange(7), "classes": np.array(["a"])}, "labels run to 6 and 1 classes are named"),
        ({"z": GREY}, r"has no array x or images but z: save with np.savez\(x=..., y=...\)"),
    ],
)
def test_npz_that_is_wrong_is_refused(tmp_path, arrays, said):
    with pytest.raises(FileError, match=said) as raised:
        read_npz(tmp_path, **arrays)
    assert "\n" not in str(raised.value)
    assert "some.npz" in str(raised.value)


def test_npz_cut_short_is_refused(tmp_path):
    np.savez(tmp_path / "some.npz", x=GREY)
    data = (tmp_path / "some.npz").read_bytes()
    (tmp_path / "some.npz").write_bytes(data[:150])
    with pytest.raises(FileError, match="is no whole zip archive"):
        read_images(tmp_path / "some.npz")
    flipped = bytearray(data)
    flipped[200] ^= 255
    (tmp_path / "some.npz").write_bytes(flipped)
    with pytest.raises(FileError, match="array 'x' is damaged or cut short"):
        read_images(tmp_path / "some.npz")


def test_npz_that_says_more_than_it_has_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", x=GREY)
    with zipfile.ZipFile(tmp_path / "whole.npz") as archive:
        data = archive.read("x.npy").replace(b"(7, 5, 6)", b"(9, 5, 6)")
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(FileError, match=r"ends 60 bytes early|says .* bytes and has"):
        read_images(tmp_path / "some.npz")


# IDX


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_with_labels_beside(tmp_path, ending):
    write_idx(tmp_path / f"train-images-idx3-ubyte{ending}", GREY)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(7, dtype=np.uint8))
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", GREY[:3])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([1, 1, 0], np.uint8))
    for images in (read_images(tmp_path), read_images(tmp_path / f"train-images-idx3-ubyte{ending}")):
        np.testing.assert_array_equal(images.pixels[:, 0], GREY)
        np.testing.assert_array_equal(images.labels, np.arange(7))
    np.testing.assert_array_equal(read_images(tmp_path, split="test").labels, [1, 1, 0])
    assert len(read_images(tmp_path, split="all")) == 10


def test_idx_without_labels_has_none(tmp_path):
    write_idx(tmp_path / "images", GREY)
    assert read_images(tmp_path / "images").labels is None


def test_idx_that_is_wrong_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, GREY)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(6, dtype=np.uint8))
    with pytest.raises(FileError, match="labels-idx1-ubyte: has 6 labels for the 7 images of train-images"):
        read_images(path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(7, dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FileError, match="images-idx3-ubyte: ends 4 bytes early: it is cut short; copy it again"):
        read_images(path)
    whole = gzip.compress(bytes([0, 0, 8, 3]) + (7).to_bytes(4, "big") * 3 + bytes(343))
    path.write_bytes(whole[:-12])
    with pytest.raises(FileError, match="cut short"):
        read_images(path)


# CIFAR


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_files(tmp_path, classes):
    pixels = np.random.default_rng(2).integers(0, 256, (6, 3, 32, 32), np.uint8)
    labels = np.array([3, 1, classes - 1, 0, 2, 2])
    given = labels if classes == 10 else np.stack([labels // 5, labels], axis=1)
    inside = tmp_path / "cifar-batches-bin"
    inside.mkdir()
    train = ["data_batch_1.bin", "data_batch_2.bin"] if classes == 10 else ["train.bin"]
    for name, part in zip(train, np.array_split(np.arange(4), len(train)), strict=True):
        write_cifar(inside / name, given[part], pixels[part])
    write_cifar(inside / ("test_batch.bin" if classes == 10 else "test.bin"), given[4:], pixels[4:])
    images = read_images(tmp_path)
    np.testing.assert_array_equal(images.pixels, pixels[:4])
    np.testing.assert_array_equal(images.labels, labels[:4])
    assert images.classes[-1] == str(classes - 1)
    np.testing.assert_array_equal(read_images(inside, split="test").pixels, pixels[4:])
    names = [f"name{number}" for number in range(classes)]
    (inside / ("batches.meta.txt" if classes == 10 else "fine_label_names.txt")).write_text("\n".join(names) + "\n\n")
    assert read_images(inside / train[0]).classes == tuple(names)


def test_cifar_that_is_wrong_is_refused(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    write_cifar(path, np.array([3, 12]), pixels)
    with pytest.raises(FileError, match="image 1 has the label 12, and there are 10"):
        read_images(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"has 6,145 bytes, no multiple of 3,073 \(CIFAR-10\) or 3,074"):
        read_images(path)


def test_cifar_for_python_is_refused(tmp_path):
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    (inside / "data_batch_1").write_bytes(b"\x80\x02}q")
    with pytest.raises(
        FileError, match=r"data_batch_1: is CIFAR's version for Python, a pickle.*: take the binary one"
    ):
        read_images(tmp_path)


# Saved by datasets


@pytest.fixture
def saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "id": datasets.Value("int64")}
    )
    data = [encoded(Image.fromarray(np.roll(gradient(8, 9), n, axis=0))) for n in range(5)]
    rows = {"image": [{"bytes": one, "path": None} for one in data], "label": [0, 1, 1, 0, 1], "id": list(range(5))}
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_saved_data_set(tmp_path, saved):
    saved.save_to_disk(str(tmp_path / "saved"))
    images = read_images(tmp_path / "saved")
    assert images.classes == ("cat", "dog")
    np.testing.assert_array_equal(images.labels, [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(images.pixels[4].transpose(1, 2, 0), np.roll(gradient(8, 9), 4, axis=0))


def test_a_saved_dictionary_of_splits(tmp_path, saved):
    import datasets

    parts = datasets.DatasetDict({"train": saved.select(range(3)), "test": saved.select(range(3, 5))})
    parts.save_to_disk(str(tmp_path / "saved"))
    assert len(read_images(tmp_path / "saved")) == 3
    np.testing.assert_array_equal(read_images(tmp_path / "saved", split="test").labels, [0, 1])
    assert len(read_images(tmp_path / "saved", split="all")) == 5


def test_a_saved_data_set_without_images_is_refused(tmp_path, saved):
    saved.remove_columns("image").save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(FileError, match=r"has 0 columns of images among label \(ClassLabel\), id \(Value\)"):
        read_images(tmp_path / "saved")


def test_a_saved_data_set_wants_its_library(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text("{}")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NlprepError, match="was saved by the library datasets, which is not installed: pip install"):
        read_images(tmp_path)


def test_the_real_digits_are_read(shared_data):
    images = read_images(shared_data / "images" / "mnist_test.npz")
    with np.load(shared_data / "images" / "mnist_test.npz") as arrays:
        np.testing.assert_array_equal(images.pixels[:, 0], arrays["x"])
        np.testing.assert_array_equal(images.labels, arrays["y"])
    assert images.shape == (1, 28, 28)
    assert images.classes == tuple("0123456789")
