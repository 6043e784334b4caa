"""Comparisons of models: what is measured, that they go on, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vision_toys import SMALL, toy_images

import vision.comparison.measuring as measuring
import vision.comparison.training as runs
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.updates import NonFiniteError
from nlprep.evaluation.sample_quality import fit_moments, frechet_distance
from vision.backbones.configuration import UNetConfig
from vision.comparison.comparison import (
    COMPARISON,
    FIGURES,
    ModelSummary,
    check_comparison,
    compare_models,
    with_possible_labels,
)
from vision.comparison.configuration import ComparisonConfig
from vision.comparison.feature_space import digest_weights, open_space, train_space
from vision.comparison.measuring import Measured, draw_pixels
from vision.comparison.page import draw_comparison, write_page
from vision.comparison.tables import comparison_tables
from vision.comparison.training import clock_of, measure_step_seconds, model_settings, run_settings
from vision.encoders.image_encoder import ImageEncoder
from vision.images.amounts import FewImagesWarning
from vision.models.configuration import DiffusionConfig
from vision.models.diffusion import Diffusion
from vision.models.files import load_model
from vision.presets import default_training

pytestmark = pytest.mark.slow

MLP = SMALL["mlp"]
SMALL_WORK = {
    "seeds": 2, "steps": 4, "batch_size": 8, "dimension": 3, "held_out": 4, "generated": 24, "likelihood_images": 4,
    "likelihood_samples": 3, "bound_images": 2, "labels": "4", "repeats": 1, "space_steps": 40,
}  # fmt: skip


def config(models: str = "autoencoder,vae,gan", **changes) -> ComparisonConfig:
    return ComparisonConfig(models=models, **SMALL_WORK | changes)


@pytest.fixture(scope="module")
def images():
    return toy_images(60), toy_images(40)


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    place = tmp_path_factory.mktemp("compared") / "all"
    told: list[str] = []
    found = compare_models(*images, place, config(), backbone=MLP, told=told.append)
    return found, told


def test_every_model_is_measured_from_every_seed(finished, images):
    found, told = finished
    assert [(model.name, len(model.runs), model.failed) for model in found.summaries()] == [
        (name, 2, {}) for name in ("autoencoder", "vae", "gan")
    ]
    autoencoder, vae, gan = found.summaries()
    # Each number against the model itself.
    saved = load_model(found.directory / "runs" / "vae-2")
    pixels = torch.from_numpy(images[1].pixels)
    with torch.inference_mode():
        away = (saved.model.reconstruct(pixels) - pixels / 255).square().mean().item()
    assert vae.values("reconstruction", "mse")[1] == pytest.approx(away, rel=1e-4)
    assert vae.values("reconstruction", "decibels")[1] == pytest.approx(-10 * math.log10(away), rel=1e-4)
    drawn = draw_pixels(saved, 24, images[0], seed=2)
    space = open_space(found.directory / "classifier")
    sides = [fit_moments(space.features(side)) for side in (images[1], drawn)]
    assert vae.values("generation", "fid", "distance")[1] == pytest.approx(frechet_distance(*sides), rel=1e-3)
    assert vae.runs[0]["generation"]["space"] == found.record["space"]["name"]
    assert space.digest in found.record["space"]["name"]
    # What a model cannot do has a reason instead.
    assert "none" in autoencoder.runs[0]["likelihood"]
    assert "none" in gan.runs[0]["reconstruction"]
    assert autoencoder.runs[0]["generation"]["drawn"] == "of a normal distribution fitted to codes"
    assert autoencoder.spread("likelihood", "nats") is None
    assert {one.name for one in found.baselines()} == {
        "training images", "raw pixels", "random weights (autoencoder)", "principal components",
    }  # fmt: skip
    assert [point["num_labels"] for point in vae.runs[0]["probe"]["linear"]["points"]] == [4]
    assert any("vae-2: 4 steps" in line for line in told)
    json.dumps(found.to_dict(), allow_nan=False)


def test_numbers_of_labels_that_nobody_asked_for_are_those_that_there_are(images):
    told: list[str] = []
    chosen = with_possible_labels(images[0], ComparisonConfig(), told.append)
    assert chosen.labels == "10%,100%"
    assert "10%,100% of 60 labels" in told.pop()
    asked = config(labels="1,4")
    assert with_possible_labels(images[0], asked, told.append) is asked
    assert with_possible_labels(toy_images(60, labels=False), ComparisonConfig(), told.append).labels == "1%,10%,100%"
    assert not told


def test_a_comparison_goes_on_where_it_was(finished, images, monkeypatch):
    found, _ = finished
    trained = []
    plain = runs.train_images
    monkeypatch.setattr(runs, "train_images", lambda *given, **more: trained.append(more) or plain(*given, **more))
    again = compare_models(*images, found.directory, config(), backbone=MLP)
    assert again.record == found.record
    assert not trained
    # Another number of labels, and of images to measure on, is measured anew, of runs that are as they were.
    told: list[str] = []
    otherwise = config(labels="6", most_test=36)
    other = compare_models(*images, found.directory, otherwise, backbone=MLP, told=told.append)
    measured = [line for line in told if line.endswith("measured")]
    assert len(measured) == 6
    assert not trained
    assert other.summaries()[1].runs[0]["probe"]["linear"]["points"][0]["num_labels"] == 6
    # Another model joins.
    more = compare_models(*images, found.directory, config("vae,wae", labels="6", most_test=36), backbone=MLP)
    # The feature space is looked for again, and found.
    assert len(trained) == 2
    assert [model.name for model in more.summaries()] == ["vae", "wae"]
    assert not [line for line in told if "steps" in line]


def test_another_comparison_is_replaced_where_that_is_asked_for_and_few_images_are_said_once(images, tmp_path, space):
    few = images[0].select(np.arange(40)), images[1].select(np.arange(20))
    small = config("autoencoder", seeds=2, steps=1)
    with pytest.warns(FewImagesWarning) as warned:
        compare_models(*few, tmp_path / "it", small, backbone=MLP, space=space)
    assert [str(one.message).partition(": what")[0] for one in warned] == [
        "toy images: 36 images to train on, beside 4 to choose the weights by"
    ]
    other = replace(small, dimension=2)
    with pytest.raises(OptionError, match=r"made with dimension = 3, now 2.*or give --overwrite to replace it"):
        compare_models(*few, tmp_path / "it", other, backbone=MLP, space=space)
    found = compare_models(*few, tmp_path / "it", other, backbone=MLP, space=space, overwrite=True)
    assert found.record["settings"]["dimension"] == 2
    before = (found.directory / "comparison.json").read_bytes()
    # The same one goes on.
    compare_models(*few, tmp_path / "it", other, backbone=MLP, space=space, overwrite=True)
    assert (found.directory / "comparison.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.fixture(scope="module")
def space(finished):
    return open_space(finished[0].directory / "classifier")


@pytest.mark.parametrize("moment", ["training", "measuring"])
def test_what_was_cut_short_ends_with_the_same_figures(finished, images, space, tmp_path, monkeypatch, moment):
    small = {"seeds": 1, "models": "autoencoder,vae"}
    whole = finished[0]
    home, name = (runs, "train_images") if moment == "training" else (measuring, "evaluate_samples")
    plain, calls = getattr(home, name), []

    def cut(*given, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*given, **more)

    monkeypatch.setattr(home, name, cut)
    with pytest.raises(KeyboardInterrupt):
        compare_models(*images, tmp_path / "cut", config(**small), backbone=MLP, space=space)
    monkeypatch.setattr(home, name, plain)
    found = compare_models(*images, tmp_path / "cut", config(**small), backbone=MLP, space=space)
    for run in ("autoencoder-1", "vae-1"):
        one, other = (each.record["runs"][run]["measured"] for each in (found, whole))
        # The classifier's accuracy belongs to the name of the space where it was measured.
        assert {**one, "generation": {**one["generation"], "space": ""}} == {
            **other, "generation": {**other["generation"], "space": ""},
        }  # fmt: skip


def test_a_run_that_fails_is_counted_and_the_others_go_on(images, space, tmp_path, monkeypatch):
    plain = runs.train_images

    def failing(*given, **more):
        if more["model"] == "wae" and more["training"].seed == 1:
            raise NonFiniteError("loss is nan at step 3")
        return plain(*given, **more)

    monkeypatch.setattr(runs, "train_images", failing)
    found = compare_models(*images, tmp_path / "some", config("wae"), backbone=MLP, space=space)
    wae = found.summaries()[0]
    assert (len(wae.runs), wae.failed) == (1, {1: "loss is nan at step 3"})
    costs = comparison_tables(found)[0]
    assert costs.rows[0][1] == "1, 1 failed"
    assert any("loss is nan" in note for note in costs.notes)


def test_figures_and_page_are_written_and_replaced(finished, images):
    found, _ = finished
    for _ in range(2):
        figures = draw_comparison(found, *images)
        page = write_page(found, figures)
    assert [path.name for path in figures] == [name for name in FIGURES if name != "bias.png"]
    text = page.read_text()
    assert "https://" not in text
    assert text.count("data:image/png") == 3
    for table in comparison_tables(found):
        for word in (table.name, *table.header):
            assert word in text
    # All of it is the comparison's own, to go on with, and to replace.
    check_comparison(found.directory)
    page.write_text(text + "mine")
    with pytest.raises(FileError, match="changed"):
        write_page(found, figures)
    page.unlink()


def test_mean_and_deviation_are_over_seeds():
    one = ModelSummary("m", ({"a": {"b": 1.0}}, {"a": {"b": 4.0}}, {"a": {"none": "why"}}), {})
    assert one.values("a", "b") == [1.0, 4.0]
    assert one.spread("a", "b") == (2.5, pytest.approx(np.std([1, 4], ddof=1)))
    assert one.spread("a", "c") is None


def test_seconds_become_steps_by_what_a_step_costs(images, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(runs, "clock_of", lambda _: lambda: clock[0])

    def passing(*given, **more):
        clock[0] += 3.0 + 0.25 * more["training"].steps

    monkeypatch.setattr(runs, "train_images", passing)
    settings = config(steps=None, seconds=30.0)
    model = model_settings("vae", 1, settings, MLP)
    training = run_settings("vae", model, 60, settings, steps=1, seed=1)
    # Networks of this kind learn fast, whatever the one that a model has by itself.
    assert training.learning_rate == default_training("vae", 60, MLP).learning_rate
    assert training.learning_rate != default_training("vae", 60, replace(MLP, kind="residual")).learning_rate
    # What a run costs besides its steps is not theirs.
    assert measure_step_seconds(images[0], "vae", model, training) == pytest.approx(0.25)
    assert clock_of("cpu")() >= 0


def test_pixels_are_distributed_as_asked():
    def found(channels, **changes):
        likelihood = model_settings("vae", channels, config(**changes), MLP).likelihood
        return likelihood.kind, likelihood.variance

    assert found(1)[0] == "bernoulli"
    assert found(3) == found(1, likelihood="logistic") == ("logistic", "pixel")
    assert found(3, scale="shared") == ("logistic", "shared")
    assert found(3, likelihood="gaussian") == ("gaussian", "shared")


def test_a_budget_of_seconds_is_written_down(images, space, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "measure_step_seconds", lambda *_, **__: 0.5)
    found = compare_models(
        *images, tmp_path / "timed", config("vae", steps=None, seconds=3.0, seeds=1), backbone=MLP, space=space
    )
    assert found.record["steps"] == {"vae": 6}
    assert found.summaries()[0].values("steps") == [6]
    monkeypatch.setattr(runs, "measure_step_seconds", lambda *_, **__: pytest.fail("it is known"))
    again = compare_models(
        *images, tmp_path / "timed", config("vae", steps=None, seconds=3.0), backbone=MLP, space=space
    )
    assert again.summaries()[0].values("steps") == [6, 6]


def test_a_feature_space_is_a_classifier_that_is_opened_again(images, tmp_path):
    space = train_space(*images, tmp_path / "space", steps=60)
    assert space.accuracy is not None
    assert space.accuracy > 0.9
    assert space.tested == 40
    again = open_space(tmp_path / "space")
    np.testing.assert_array_equal(again.features(images[1]), space.features(images[1]))
    assert (again.digest, again.encoder.dimension) == (space.digest, 64)
    other = train_space(*images, tmp_path / "other", steps=5)
    assert other.digest != space.digest
    # The digest is of weights, wherever they lie.
    (tmp_path / "space" / "model").rename(tmp_path / "moved")
    assert digest_weights(tmp_path / "moved") == space.digest
    assert open_space(tmp_path / "moved").digest == space.digest


def test_codes_without_a_distribution_are_drawn_of_their_mean_and_covariance(finished, images):
    found, _ = finished
    saved = load_model(found.directory / "runs" / "autoencoder-1")
    plain, seen = saved.model.decode, []
    saved.model.decode = lambda codes, labels=None: seen.append(codes) or plain(codes, labels)
    draw_pixels(saved, 4000, images[0], seed=1)
    drawn = torch.cat(seen).numpy()
    codes = ImageEncoder(saved).encode(images[0])
    covariance = np.cov(codes.T)
    assert np.abs(drawn.mean(0) - codes.mean(0)).max() < 5 * math.sqrt(covariance.diagonal().max() / 4000)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1 * covariance.diagonal().max())


def refused(kind, images, place, settings=None, match="", **more):
    with pytest.raises(kind, match=match):
        compare_models(*images, place, settings or config(), **{"backbone": MLP} | more)


def test_what_is_refused(finished, images, tmp_path):
    found, _ = finished
    for changes, word in (({"steps": 5}, "steps"), ({"dimension": 4}, "dimension"), ({"batch_size": 4}, "batch_size")):
        refused(OptionError, images, found.directory, config(**changes), match=word)
    refused(OptionError, images, found.directory, match="backbone", backbone=SMALL["convolutional"])
    refused(OptionError, (toy_images(61), images[1]), found.directory, match="train")
    refused(NlprepError, (images[0], toy_images(8, (1, 8, 9))), tmp_path / "x", match=r"\(1, 8, 9\)")
    refused(NlprepError, (toy_images(60, labels=False), images[1]), tmp_path / "x", match="no labels")
    assert not (tmp_path / "x").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    refused(FileError, images, tmp_path / "mine", match="not ours")
    for models, word in (("vae,wae2", "choose from"), ("vae,vae", "twice"), (" , ", "at least one")):
        with pytest.raises(OptionError, match=word):
            ComparisonConfig(models=models)
    refused(OptionError, images, tmp_path / "x", config(labels="1,4"), match="fewer than the 2 classes")
    # What training refuses is refused without leaving a directory.
    refused(OptionError, images, tmp_path / "x", config("simclr", batch_size=1), match="batch_size = 1")
    assert not (tmp_path / "x").exists()
    other = replace(images[1], classes=("left", "up"))
    refused(NlprepError, (images[0], other), tmp_path / "x", match="classes are not those")
    unlabelled = images[0], toy_images(8, labels=False)
    refused(NlprepError, unlabelled, tmp_path / "x", config("conditional-vae"), match="conditioned on")


def test_a_damaged_record_is_refused(finished, images, tmp_path):
    shutil.copytree(finished[0].directory, tmp_path / "damaged")
    (tmp_path / "damaged" / "comparison.json").write_text("{")
    refused(FileError, images, tmp_path / "damaged", match="damaged")


def test_without_labels_a_space_is_named_and_probes_are_left_out(space, tmp_path):
    plain = toy_images(60, labels=False), toy_images(40, labels=False)
    other = compare_models(*plain, tmp_path / "plain", config("vae", seeds=1), backbone=MLP, space=space)
    assert "none" in other.summaries()[0].runs[0]["probe"]
    assert [one.name for one in other.baselines()] == ["training images"]
    assert "probes" not in {table.name for table in comparison_tables(other)}
    figures = draw_comparison(other, *plain)
    assert "samples.png" in {path.name for path in figures}
    assert Path(write_page(other, figures)).read_bytes().startswith(b"<!DOCTYPE html>")


def test_a_diffusion_model_has_a_bound_and_nothing_to_give_back(images, space):
    shown = images[1]
    model = Diffusion((1, 8, 8), DiffusionConfig(levels=20, sampling_steps=4, network=UNetConfig(width=4, depth=0)))
    instruments = Measured(config(bound_images=40), shown, None, shown, space, space.features(shown))
    found = instruments.likelihood(model, seed=3)
    with seeded_torch(3):
        bound = model.likelihood_bound(torch.from_numpy(shown.pixels))
    assert found["nats"] == pytest.approx(bound.nats.mean().item(), rel=1e-5)
    assert found["bits"] == pytest.approx(bound.bits_per_dimension.mean().item(), rel=1e-5)
    assert found["standard_error"] == pytest.approx(bound.nats.std().item() / math.sqrt(40), rel=1e-4)
    assert "none" in instruments.reconstruction(model)


def test_marks_say_whose_directory_it_is(finished):
    found, _ = finished
    mark = json.loads((found.directory / "nlprep.json").read_text())
    assert mark["kind"] == COMPARISON
