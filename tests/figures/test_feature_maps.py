"""Maps that keep neighbours together, and pictures that stand where their items are."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.maps import draw_map, map_features, unit_square
from nlprep.figures.planes import principal_plane
from nlprep.figures.style import COLOURS

LABELS = np.arange(60) % 3
FEATURES = np.eye(3, 60)[LABELS] * 8 + np.random.default_rng(0).normal(size=(60, 60))


def purity(places, labels=LABELS):
    """How often the nearest other item is of one's own kind."""
    away = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(away, np.inf)
    return (labels[away.argmin(axis=1)] == labels).mean()


@pytest.mark.slow
def test_maps_keep_like_beside_like():
    plane = map_features(FEATURES, "pca")
    np.testing.assert_array_equal(plane, principal_plane(FEATURES)[0])
    found = map_features(FEATURES, "tsne", neighbors=10)
    assert found.shape == (60, 2)
    assert purity(found) > 0.95
    np.testing.assert_array_equal(found, map_features(FEATURES, "tsne", neighbors=10))
    # Fewer items than neighbours, and items that are all alike.
    assert np.isfinite(map_features(FEATURES[:4], "tsne")).all()
    assert np.isfinite(map_features(np.ones((9, 4)), "tsne")).all()


@pytest.mark.slow
def test_umap_keeps_like_beside_like_too():
    # In a process of its own, where numba interprets: compiling would take a minute.
    code = (
        "import json, numpy as np; from nlprep.figures.maps import map_features\n"
        "x = np.random.default_rng(0).normal(size=(12, 5)); x[:6] += 20\n"
        "one, two = (map_features(x, 'umap', neighbors=3, seed=4) for _ in range(2))\n"
        "assert (one == two).all(); print(json.dumps(one.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert purity(np.array(eval(done.stdout)), np.arange(12) // 6) == 1


def test_umap_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(OptionError, match=r"umap-learn is not installed: pip install 'nlprep-toolkit\[umap\]'"):
        map_features(FEATURES, "umap")


def test_the_square_keeps_proportions():
    found = unit_square(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0]]))
    np.testing.assert_allclose(found, [[0, 0.75], [1, 0.75], [1, 0.25]])
    np.testing.assert_allclose(unit_square(np.ones((3, 2))), 0.5 + np.zeros((3, 2)) + [[0, 0]] * 3)


@pytest.mark.slow
def test_pictures_stand_where_their_items_are(tmp_path):
    images = np.zeros((3, 6, 6), np.float32)
    images[0, 0, 0] = images[1, 5, 5] = images[2, 0, 5] = 1
    draw_map(
        [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
        tmp_path / "a.png",
        images=images,
        classes=[0, 1, 1],
        class_names=["a", "b"],
        thumbnail=60,
    )
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert drawn.shape == (1800 + 56, 1800, 3)
    low, high = 36 + 60, 1800 - 36 - 60
    for image, (x, y), colour in zip(images, [(low, low), (high, high), (high, low)], (0, 1, 1), strict=True):
        y += 56
        tile = drawn[y - 30 : y + 30, x - 30 : x + 30]
        np.testing.assert_array_equal(tile, np.repeat(image.repeat(10, 0).repeat(10, 1)[..., None] * 255, 3, axis=2))
        frame = tuple(int(COLOURS[colour][place : place + 2], 16) for place in (1, 3, 5))
        assert tuple(drawn[y - 33, x]) == tuple(drawn[y, x + 32]) == frame


@pytest.mark.slow
def test_pictures_do_not_cover_one_another_and_bytes_are_the_same(tmp_path):
    places = np.random.default_rng(0).normal(size=(60, 2))
    images = np.full((60, 8, 8, 3), 200, np.uint8)
    for name in ("a.png", "b.png"):
        draw_map(places, tmp_path / name, images=images, thumbnail=200, title="T")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    filled = (drawn == 200).all(axis=2).sum()
    assert filled % 200**2 < 20
    assert 4 <= filled // 200**2 < 60
    draw_map(places, tmp_path / "c.svg", classes=LABELS, class_names=["x", "y", "z"], title="T")
    text = (tmp_path / "c.svg").read_text()
    for words in ("x", "y", "z", "T"):
        assert f">{words}</" in text


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda path: map_features(FEATURES[:3], "pca"), "give at least four items"),
        (lambda path: map_features(np.full((5, 3), np.nan)), "not finite"),
        (lambda path: map_features(FEATURES, "mds"), "must be one of pca, tsne, umap"),
        (lambda path: map_features(FEATURES, neighbors=1), "neighbors = 1"),
        (lambda path: draw_map(np.ones((3, 3)), path), r"points of shape \(3, 3\)"),
        (lambda path: draw_map([[1.0, np.inf]], path), "two finite numbers"),
        (lambda path: draw_map(np.ones((3, 2)), path, images=np.zeros((2, 4, 4))), "2 images for 3 points"),
        (
            lambda path: draw_map(np.ones((3, 2)), path, classes=[0, 1, 2], class_names=["a"]),
            "run from 0 to 2 and 1 are",
        ),
        (lambda path: draw_map(np.ones((3, 2)), path, classes=[0, 1], class_names=["a", "b"]), "for 3 points"),
        (lambda path: draw_map(np.ones((3, 2)), path, class_names=["a"]), "no item has one"),
        (lambda path: draw_map(np.ones((3, 2)), path, thumbnail=4), "thumbnail = 4"),
    ],
)
def test_what_makes_no_map(tmp_path, call, problem):
    with pytest.raises(NlprepError, match=problem):
        call(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
