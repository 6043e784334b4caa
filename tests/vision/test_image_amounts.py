"""Of too few images nothing can be learned, which is refused, and of few little, which is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import NlprepError
from nlprep.evaluation.labelled import Labelled
from vision.comparison.comparison import compare_models
from vision.comparison.configuration import ComparisonConfig
from vision.encoders.probing import probe_images
from vision.images.amounts import ENOUGH_MEASURED, ENOUGH_TRAINED, FewImagesWarning, require_images
from vision.images.collection import Images
from vision.training import train_images
from vision.uses.anomalies import fit_anomalies


def test_amounts():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_images(ENOUGH_TRAINED, ENOUGH_MEASURED, source="x")
        require_images(ENOUGH_TRAINED, None, source="x")
    for given in ((ENOUGH_TRAINED - 1, ENOUGH_MEASURED), (ENOUGH_TRAINED, ENOUGH_MEASURED - 1), (2, None)):
        with pytest.warns(FewImagesWarning, match="says little of other images; give at least 15"):
            require_images(*given, source="x")
    with pytest.raises(NlprepError, match="x: 1 image to train on, beside 1 to measure on: nothing can be learned"):
        require_images(1, 1, source="x")


@pytest.mark.slow
def test_every_use_says_so(tmp_path):
    few = toy_images(6)
    training = {"model": "autoencoder", "backbone": SMALL["mlp"], "training": settings(steps=2)}
    with pytest.warns(FewImagesWarning, match="toy images: 5 images to train on, beside 1 to choose the weights by"):
        train_images(few, tmp_path / "few", **training)
    with pytest.raises(NlprepError, match="1 image to train on"):
        train_images(few.select(np.arange(2)), tmp_path / "two", **training)
    assert not (tmp_path / "two").exists()
    with pytest.raises(NlprepError, match="1 image to train on, beside 5"):
        compare_models(
            few.select(np.arange(1)),
            few.select(np.arange(5)),
            tmp_path / "compared",
            ComparisonConfig(),
            space=object(),
        )
    sides = toy_images(30), few.select(np.arange(4))
    with pytest.warns(FewImagesWarning, match="images to learn from, beside 4"):
        probe_images({"few": tmp_path / "few"}, lambda _: sides, fit_labels=True, baselines=False)
    with pytest.raises(NlprepError, match="1 usual image to compare with, beside 5 to draw the line by"):
        fit_anomalies(None, few.select(np.arange(1)), few.select(np.arange(1, 6)))


def test_images_are_shown_by_their_counts():
    images = Images(np.zeros((801, 1, 8, 9), np.uint8), np.zeros(801, np.int64), ("dark", "bright"), source="photos")
    assert repr(images) == "Images('photos': 801 images of 1 x 8 x 9, 2 classes)"
    assert repr(Labelled(["a"] * 500, ["x"] * 500, name="texts")) == "Labelled('texts': 500 examples, 1 label)"
