"""Detectors as ONNX files: equal outputs, and the line that was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cli.vision import main
from nlprep.core.errors import NlprepError
from vision.encoders.image_encoder import ImageEncoder
from vision.encoders.onnx_files import export_detector_onnx, read_onnx_description
from vision.uses.anomalies import AnomalyDetector, fit_anomalies, score_names

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A VAE of a moment's training, and the images that it was trained on."""
    from dataclasses import replace

    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Images
    from vision.models.files import load_model
    from vision.presets import default_training
    from vision.training import train_images

    pixels = np.random.default_rng(1).integers(0, 90, (60, 3, 10, 12), dtype=np.uint8)
    pixels[:, :, :5] += 100
    images = Images(pixels=pixels, source="drawn")
    place = tmp_path_factory.mktemp("onnx") / "run"
    training = replace(default_training("vae", 48), steps=10)
    train_images(
        images, place, model="vae", backbone=BackboneConfig(kind="mlp", width=16), training=training,
        validation=0.2,
    )  # fmt: skip
    return place, load_model(place), images


# One of the model's own and one of codes, as an export takes seconds; the default is exported by command below.
SCORES = ("code_mahalanobis",)


def test_scores_give_the_same_verdicts(run, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    _, saved, images = run
    usual, held, new = images.select(np.arange(30)), images.select(np.arange(30, 50)), images.select(np.arange(50, 60))
    # Half of them odd beyond doubt.
    new.pixels[5:] = 255 - new.pixels[5:]
    for score in (score_names(saved)[0], *SCORES):
        detector = fit_anomalies(saved, usual, held, score=score, rate=0.5)
        place = tmp_path / f"{score}.onnx"
        export_detector_onnx(detector, place, notes={"made": "for a test"})
        session = onnxruntime.InferenceSession(place)
        for part in (slice(0, 1), slice(0, 10)):
            codes, found, odd = session.run(None, {"images": np.ascontiguousarray(new.pixels[part])})
            some = new.select(np.arange(10)[part])
            expected = detector.scores(some)
            np.testing.assert_allclose(codes, ImageEncoder(saved).encode(some), atol=1e-4)
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4, err_msg=score)
            far = np.abs(expected - detector.threshold.value) > 1e-3 * max(1, abs(detector.threshold.value))
            np.testing.assert_array_equal(odd[far], detector.threshold.flag(expected)[far], err_msg=score)
        described = read_onnx_description(place)
        assert described["threshold"] == detector.threshold.to_dict()
        assert described["score"] == score
        assert described["preprocessing"]["height"] == 10
        assert described["notes"]["made"] == "for a test"
        assert "data" not in described["notes"]


def test_by_command(run, tmp_path, monkeypatch, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    place, saved, images = run
    detector = fit_anomalies(saved, images.select(np.arange(40)), images.select(np.arange(40, 60)))
    detector.save("detector")
    assert main(["export", "detector", "-o", "detector.onnx"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "output\twhat it is"
    assert [line.partition("\t")[0] for line in printed.out.splitlines()[1:]] == ["codes", "score", "is_anomaly"]
    opened = AnomalyDetector.from_directory("detector")
    _, found, odd = onnxruntime.InferenceSession("detector.onnx").run(None, {"images": images.pixels[:4]})
    assert opened.score == "neighbors"
    np.testing.assert_allclose(found, opened.scores(images.select(np.arange(4))), rtol=2e-4)
    np.testing.assert_array_equal(odd, opened.threshold.flag(found))
    assert main(["export", str(place), "-o", "codes.onnx", "--quiet"]) == 0
    (codes,) = onnxruntime.InferenceSession("codes.onnx").run(None, {"images": images.pixels[:4]})
    np.testing.assert_allclose(codes, ImageEncoder.from_directory(place).encode(images)[:4], atol=1e-4)
    for words, said in (
        (["export", "detector", "-o", "detector.txt"], "ends in .onnx"),
        (["export", "detector", "-o", "codes.onnx"], "codes.onnx"),
        (["export", "detector", "-o", "x.onnx", "--features"], "--features"),
    ):
        capsys.readouterr()
        assert main(words) == 2
        assert said in capsys.readouterr().err


def test_what_cannot_be_expressed_is_said(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    import torch

    def refuse(*_, **__):
        raise RuntimeError("no such operation")

    _, saved, images = run
    detector = fit_anomalies(saved, images.select(np.arange(40)), images.select(np.arange(40, 60)), score="pixel_pca")
    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(NlprepError, match=r"cannot be written as ONNX \(no such operation\)"):
        export_detector_onnx(detector, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
