"""Heat that is laid where it belongs, on one scale."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from nlprep.figures.heat_maps import draw_heat_maps, heat_limits, overlay

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 10, 14, 3), dtype=np.uint8)
HEATS = np.zeros((3, 10, 14))
HEATS[0, 2, 11] = 4
HEATS[1, 7, 3] = 2


def test_heat_is_mixed_with_grey_where_it_is():
    drawn = overlay(PIXELS, HEATS, 0, 4).astype(float)
    grey = (PIXELS @ np.array([0.299, 0.587, 0.114]))[..., None]
    for place, share in (((0, 2, 11), 1.0), ((1, 7, 3), 0.5), ((2, 5, 5), 0.0)):
        colour = np.array(mpl.colormaps["inferno"](share, bytes=True)[:3], float)
        cover = 0.15 + 0.6 * share
        np.testing.assert_allclose(drawn[place], cover * colour + (1 - cover) * grey[place], atol=1)
    # Beyond the limits colours stay.
    np.testing.assert_array_equal(overlay(PIXELS, HEATS * 9 - 1, 0, 4)[0, 2, 11], drawn[0, 2, 11])
    np.testing.assert_array_equal(overlay(PIXELS, HEATS, 0, 0), overlay(PIXELS, HEATS * 0, 0, 1))


def test_coarse_maps_are_smoothed_to_the_size_of_images():
    black = np.zeros((1, 8, 8, 3), np.uint8)
    drawn = overlay(black, np.array([[[0.0, 0], [0, 1]]]), 0, 1).sum(axis=3)[0]
    assert drawn[-1, -1] == drawn.max() > 300
    assert drawn[0, 0] == drawn.min()
    assert (np.diff(drawn[-1].astype(int)) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_scale_is_told_and_the_bytes_are_the_same(tmp_path, ending):
    for name in ("a", "b"):
        draw_heat_maps(
            PIXELS,
            HEATS,
            tmp_path / f"{name}.{ending}",
            scale_name="error",
            captions=["x", "y", "z"],
            columns=2,
            title="T",
        )
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    if ending == "svg":
        text = (tmp_path / "a.svg").read_text()
        for words in ("image", "x", "y", "z", "T", "0"):
            assert f">{words}</" in text
        assert ">4   error</" in text
        draw_heat_maps(PIXELS, HEATS, tmp_path / "c.svg", limits=(-1, 7.25))
        assert ">7.25   heat</" in (tmp_path / "c.svg").read_text()


@pytest.mark.parametrize(
    ("heats", "problem"),
    [
        (HEATS[:2], "for 3 images"),
        (HEATS[0], r"heat maps of shape \(10, 14\)"),
        (np.where(HEATS == 2, np.nan, HEATS), "heat map 1 has values that are not finite"),
    ],
)
def test_what_is_no_heat(tmp_path, heats, problem):
    with pytest.raises(NlprepError, match=problem):
        draw_heat_maps(PIXELS, heats, tmp_path / "a.png")
    with pytest.raises(OptionError, match="limits = "):
        draw_heat_maps(PIXELS, HEATS, tmp_path / "a.png", limits=(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_few_hot_pixels_do_not_set_the_limits():
    heats = np.full((2, 10, 10), 0.25)
    heats[0, 0, 0] = 9.0
    assert heat_limits(heats) == (0.0, 0.25)
    assert heat_limits(heats, 1.0) == (0.0, 9.0)
    alone = np.zeros((2, 10, 10))
    assert heat_limits(alone) == (0.0, 1.0)
    alone[1, 2, 3] = 4.0
    assert heat_limits(alone) == (0.0, 4.0)
