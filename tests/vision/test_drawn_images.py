"""Images that are drawn: from known factors, and as a folder to try things on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nlprep.core.errors import FileError, OptionError
from vision.images.demonstration import CLASSES, write_demonstration
from vision.images.factors import FACTORS, SHAPES, FactorsConfig, draw_factors
from vision.images.reading import read_images

DRAWN = draw_factors(FactorsConfig(side=32, scales=3, orientations=4, columns=4, rows=5))


def test_every_combination_is_there_once_and_no_two_look_alike():
    assert len(DRAWN.images) == 3 * 3 * 4 * 4 * 5
    assert len(np.unique(DRAWN.factors, axis=0)) == len(DRAWN.images)
    assert len(np.unique(DRAWN.images.pixels.reshape(len(DRAWN.images), -1), axis=0)) == len(DRAWN.images)
    assert [len(DRAWN.values[name]) for name in FACTORS] == [3, 3, 4, 4, 5]
    assert tuple(DRAWN.factors.max(0) + 1) == (3, 3, 4, 4, 5)


def values_of(name):
    return DRAWN.values[name][DRAWN.factors[:, FACTORS.index(name)]]


def test_shapes_stand_where_they_are_said_to():
    pixels = DRAWN.images.pixels[:, 0] / 255
    middles = np.arange(32) + 0.5
    mass = pixels.sum((1, 2))
    x = (pixels.sum(1) * middles).sum(1) / mass
    y = (pixels.sum(2) * middles).sum(1) / mass
    symmetric = DRAWN.images.labels != SHAPES.index("heart")
    np.testing.assert_allclose(x[symmetric], values_of("x")[symmetric], atol=0.05)
    np.testing.assert_allclose(y[symmetric], values_of("y")[symmetric], atol=0.05)
    # A heart's middle of mass lies beside its middle, by as much wherever it is.
    assert (abs(x - values_of("x")) < 2).all()


def test_shapes_are_whole_and_as_large_as_they_are_said_to_be():
    pixels = DRAWN.images.pixels[:, 0]
    edges = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    assert (edges == 0).all()
    area = pixels.sum((1, 2)) / 255
    reach = 0.28 * 32 * values_of("scale")
    exact = {"square": 1.4**2, "ellipse": np.pi / 2}
    for name, factor in exact.items():
        chosen = DRAWN.images.labels == SHAPES.index(name)
        np.testing.assert_allclose(area[chosen], (factor * reach**2)[chosen], rtol=0.08)


def test_shapes_turn_as_they_are_said_to():
    """The axis of an ellipse, by its second moments."""
    chosen = DRAWN.images.labels == SHAPES.index("ellipse")
    pixels = DRAWN.images.pixels[chosen, 0] / 255.0
    rows, columns = np.mgrid[:32, :32] + 0.5
    x = columns - values_of("x")[chosen][:, None, None]
    y = rows - values_of("y")[chosen][:, None, None]
    angle = 0.5 * np.arctan2(2 * (pixels * x * y).sum((1, 2)), (pixels * (x**2 - y**2)).sum((1, 2)))
    np.testing.assert_allclose(angle, values_of("orientation")[chosen], atol=0.03)


def test_edges_are_antialiased():
    assert len(np.unique(DRAWN.images.pixels)) > 8


def test_one_value_of_each_factor_will_do():
    drawn = draw_factors(FactorsConfig(side=12, scales=1, orientations=1, columns=1, rows=1))
    assert len(drawn.images) == 3
    assert drawn.values["x"].tolist() == [6]


def test_the_demonstration_is_read_as_classes_and_splits(tmp_path):
    folder = write_demonstration(tmp_path / "shapes", train=4, test=2)
    train, test = read_images(folder), read_images(folder, split="test")
    assert (len(train), len(test)) == (4 * len(CLASSES), 2 * len(CLASSES))
    assert train.classes == test.classes == CLASSES
    assert train.shape == (3, 64, 64)
    sizes = {Image.open(path).size for path in folder.rglob("*.png")}
    assert len(sizes) > 6
    assert len({content.tobytes() for content in np.concatenate([train.pixels, test.pixels])}) == 36


def test_the_demonstration_is_a_function_of_its_seed(tmp_path):
    places = [(tmp_path / "a", 1), (tmp_path / "b", 1), (tmp_path / "c", 2)]
    digests = [read_images(write_demonstration(place, train=2, test=0, seed=seed)).digest for place, seed in places]
    assert digests[0] == digests[1] != digests[2]
    first = write_demonstration(tmp_path / "d", train=3, test=1) / "train/star/0001.png"
    assert first.read_bytes() == (tmp_path / "a/train/star/0001.png").read_bytes()


def test_the_demonstration_replaces_only_its_like(tmp_path):
    write_demonstration(tmp_path / "a", train=1, test=0)
    write_demonstration(tmp_path / "a", train=2, test=0)
    (tmp_path / "a" / "mine.txt").write_text("?")
    with pytest.raises(FileError, match=r"mine\.txt"):
        write_demonstration(tmp_path / "a", train=1, test=0)
    with pytest.raises(OptionError, match="at least 1"):
        write_demonstration(tmp_path / "b", train=0)
