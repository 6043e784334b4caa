"""The plane that is drawn, groups and pairs in it, and files that are whole and reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.planes import Group, draw_classes, draw_pairs, draw_plane, principal_plane


def test_the_plane_keeps_most_variance():
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(50, 6)) * [9, 4, 1, 1, 1, 1] + 100
    plane, shares = principal_plane(vectors)
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(shares, eigenvalues[:2] / eigenvalues.sum())
    np.testing.assert_allclose(plane.var(axis=0, ddof=1), eigenvalues[:2])
    np.testing.assert_allclose(plane.mean(axis=0), 0, atol=1e-9)
    # Both signs of an axis are as good; ours is settled by the data.
    np.testing.assert_allclose(principal_plane(vectors[:, ::-1])[0], plane)


def test_two_equal_points_have_a_plane():
    plane, shares = principal_plane(np.ones((2, 3)))
    assert np.isfinite(plane).all()
    assert shares.tolist() == [0, 0]


def test_no_plane():
    with pytest.raises(NlprepError, match="span no plane"):
        principal_plane(np.ones((1, 5)))
    with pytest.raises(NlprepError, match="not finite"):
        principal_plane(np.array([[1.0, np.nan], [0.0, 1.0]]))


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
@pytest.mark.slow
def test_the_same_picture_has_the_same_bytes(tmp_path, ending):
    generator = np.random.default_rng(2)
    classes = generator.integers(0, 9, 60)
    for name in ("one", "two"):
        draw_classes(
            np.eye(9)[classes] * 3 + generator.normal(size=(60, 9)) * 0,
            classes,
            [f"class {i}" for i in range(9)],
            tmp_path / f"{name}.{ending}",
        )
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


@pytest.mark.slow
def test_a_users_own_settings_change_nothing(tmp_path):
    from matplotlib import rc_context, rcParams

    groups = [Group("a group", np.eye(2), ("x", "y"))]
    draw_plane(groups, tmp_path / "one.svg", title="title")
    with rc_context({"font.size": 30, "axes.facecolor": "red", "font.family": "serif", "svg.fonttype": "path"}):
        draw_plane(groups, tmp_path / "two.svg", title="title")
        assert rcParams["font.size"] == 30
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_every_class_that_occurs_is_named(tmp_path):
    classes = np.arange(40) % 7
    names = [*(f"class {i}" for i in range(7)), "never"]
    draw_classes(np.random.default_rng(0).normal(size=(40, 4)), classes, names, tmp_path / "a.svg", title="A map")
    text = (tmp_path / "a.svg").read_text()
    for name in names[:7]:
        assert text.count(f">{name}</text>") == 1
    assert "never" not in text
    assert ">A map</text>" in text


@pytest.mark.slow
def test_many_points_do_not_swell_the_file(tmp_path):
    points = np.random.default_rng(0).normal(size=(2_500, 2))
    for name in ("a.svg", "b.svg"):
        draw_plane([Group("points", points)], tmp_path / name)
    assert (tmp_path / "a.svg").stat().st_size < 200_000
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_pairs_are_named_once_and_joined(tmp_path):
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 4, 5))
    pairs = [("a dog", "Hund"), ("a dog", "der Hund"), ("a cat", "Katze"), ("a cow", "Kuh")]
    draw_pairs(pairs, first, second, tmp_path / "a.svg", names=("captions", "words"))
    text = (tmp_path / "a.svg").read_text()
    for words in ("a dog", "Hund", "der Hund", "Katze", "captions", "words"):
        assert text.count(f">{words}</text>") == 1, words
    lines = text[text.index('id="LineCollection_1"') :]
    assert lines[: lines.index("</g>")].count("<path") == 4


def test_what_cannot_be_drawn(tmp_path):
    points = np.zeros((2, 2))
    for groups, problem in (
        ([], "no point"),
        ([Group("a", np.zeros((0, 2)))], "no point"),
        ([Group("a", np.zeros((2, 3)))], r"points of shape \(2, 3\) of 'a'"),
        ([Group("a", np.full((2, 2), np.nan))], "finite"),
        ([Group("a", points, ("x",))], "1 labels for 2 points"),
    ):
        with pytest.raises(NlprepError, match=problem):
            draw_plane(groups, tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"end its name in \.png"):
        draw_plane([Group("a", points)], tmp_path / "a.gif")
    with pytest.raises(NlprepError, match="no pair"):
        draw_pairs([], points, points, tmp_path / "a.png", names=("a", "b"))
    with pytest.raises(NlprepError, match="one row of each"):
        draw_pairs([("a", "b")], points, points, tmp_path / "a.png", names=("a", "b"))
    for classes in ([0], [0, 2], [0, -1]):
        with pytest.raises(NlprepError, match="named classes"):
            draw_classes(points, np.array(classes), ["a", "b"], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
