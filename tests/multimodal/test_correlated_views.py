"""Models of correlated views: what they learn, by which weights codes are fitted, files, resuming, two processes."""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from correlated_toys import LOSSES, SHORT, SMALL, descend, toy_views, train_small
from torch import nn

from multimodal.correlation.configuration import (
    CorrelationConfig,
    DeepCcaAutoencoderConfig,
    DeepCcaConfig,
    DeepGeneralizedCcaConfig,
)
from multimodal.correlation.encoder import ViewEncoder
from multimodal.correlation.methods import MODELS, name_of
from multimodal.correlation.model import CorrelationModel
from multimodal.correlation.training import (
    ViewExamples,
    _examples,
    default_training,
    fit_scaling,
    network_codes,
    train_correlation,
)
from nlprep.core.artifacts import read_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.records.journal import read_metrics
from nlprep.objectives.correlation import correlation_loss
from nlprep.vectors.canonical_correlation import fit_canonical_correlation, measure_correlations

slow = pytest.mark.slow
TOYS = Path(__file__).with_name("correlated_toys.py")


VIEWS, OTHERS = toy_views(60, noise=0.5), toy_views(48, noise=0.5, start=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Deep CCA that overfits."""
    training = replace(SHORT, steps=50, evaluate_every=10, checkpoint_every=50, schedule="constant", learning_rate=0.02)
    config = DeepCcaConfig(**SMALL | {"width": 64})
    directory = tmp_path_factory.mktemp("correlated") / "run"
    return train_correlation(VIEWS, directory, config=config, training=training, validation=OTHERS)


def whole(views):
    """All of the views as examples."""
    return ViewExamples(views, np.arange(len(next(iter(views.values())))))


def test_codes_are_linear_cca_of_training_codes_by_the_best_weights(run) -> None:
    """Not by the last weights, and not of what is held out."""
    records = [record for record in run.history.records if "validation_loss" in record]
    best = min(records, key=lambda record: record["validation_loss"])
    assert best["step"] == run.history.best_step < records[-1]["step"]
    model = run.model
    codes, others = network_codes(model, whole(VIEWS)), network_codes(model, whole(OTHERS))
    # These are the best weights: the loss of the others, a batch of which is 24, says so.
    halves = [-float(correlation_loss(*(torch.from_numpy(code[at : at + 24]) for code in others))) for at in (0, 24)]
    assert -best["validation_loss"] == pytest.approx(np.mean(halves), abs=1e-4)
    assert -records[-1]["validation_loss"] < np.mean(halves) - 0.01
    fitted = fit_canonical_correlation(codes, num_directions=2, ridge=model.config.ridge)
    np.testing.assert_allclose(model.correlations.numpy(), fitted.correlations, atol=1e-5)
    for number, name in enumerate(VIEWS):
        found = model.encode(name, VIEWS[name])
        np.testing.assert_allclose(found, fitted.project(number, codes[number]), atol=1e-3)
        np.testing.assert_allclose(found.T @ found / len(found), np.eye(2), atol=1e-2)
    wrong = fit_canonical_correlation(others, num_directions=2, ridge=model.config.ridge)
    assert np.abs(wrong.correlations - fitted.correlations).max() > 1e-3
    # What is reported is of all that is held out, at once.
    found = [model.encode(name, view) for name, view in OTHERS.items()]
    assert run.summary["held_out_correlation"] == pytest.approx(measure_correlations(found).sum(), abs=1e-5)
    assert run.summary["held_out_correlation"] < np.mean(halves)
    assert run.summary["validation"]["loss"] == best["validation_loss"]


def test_what_is_held_out_is_a_function_of_the_seed() -> None:
    one, held = _examples(VIEWS, 0.1, seed=1)
    assert (len(one), len(held)) == (54, 6)
    assert sorted([*one.places, *held.places]) == list(range(60))
    assert _examples(VIEWS, 0.1, seed=1)[1].places.tolist() == held.places.tolist()
    assert _examples(VIEWS, 0.1, seed=2)[1].places.tolist() != held.places.tolist()
    assert _examples(VIEWS, 0, seed=1)[1] is None


@slow
def test_it_finds_what_no_line_does(tmp_path) -> None:
    views, others = toy_views(400), toy_views(300, start=1)
    linear = fit_canonical_correlation(list(views.values()), num_directions=2, ridge=1e-4)
    by_lines = measure_correlations([linear.project(number, view) for number, view in enumerate(others.values())])
    training = replace(SHORT, steps=100, batch_size=200, evaluate_every=None, checkpoint_every=None)
    config = DeepCcaConfig(dimension=2, width=64, depth=1)
    run = train_correlation(views, tmp_path / "run", config=config, training=training)
    found = measure_correlations([run.model.encode(name, view) for name, view in others.items()])
    assert by_lines.sum() < 0.5
    assert found.sum() > 1.5
    assert (np.diff(run.model.correlations.numpy()) <= 0).all()


EVERY = {
    "deep-cca": (DeepCcaConfig(**SMALL), 2),
    "squares": (DeepCcaConfig(**SMALL, objective="squares", outputs=4, scaling="number"), 2),
    "soft": (DeepCcaConfig(**SMALL, objective="soft", scaling="none"), 2),
    "deep-cca-autoencoder": (DeepCcaAutoencoderConfig(**SMALL), 2),
    "deep-generalized-cca": (DeepGeneralizedCcaConfig(**SMALL), 3),
}


@pytest.mark.parametrize("name", [*list(EVERY)[:1], *(pytest.param(name, marks=slow) for name in list(EVERY)[1:])])
def test_every_model_learns_and_comes_back_from_its_files(name: str, tmp_path) -> None:
    config, count = EVERY[name]
    views = toy_views(sizes=(6, 5, 4)[:count])
    chosen = name if name in MODELS else "deep-cca"
    training = replace(SHORT, steps=6, evaluate_every=None, checkpoint_every=None)
    run = train_correlation(views, tmp_path / "run", model=chosen, config=config, training=training)
    losses = [record["loss"] for record in run.history.records if "loss" in record]
    assert losses[-1] < losses[0]
    assert name_of(run.model) == chosen
    for opened in (CorrelationModel.from_directory(tmp_path / "run"), saved_again(run.model, tmp_path / "again")):
        assert type(opened) is type(run.model)
        assert opened.config == config
        for view, given in views.items():
            codes = run.model.encode(view, given)
            assert codes.shape == (120, 2)
            np.testing.assert_array_equal(opened.encode(view, given), codes)
            np.testing.assert_allclose(opened.encode(view, given, 7), codes, atol=1e-5)
    if name == "soft":
        assert int(run.model.batches) == 6
    if name == "deep-cca-autoencoder":
        assert {"correlation_loss", "lost"} <= run.history.records[0].keys()
        again = run.model.reconstruct("view 0", torch.from_numpy(views["view 0"]))
        assert again.shape == (120, 6)


def saved_again(model: CorrelationModel, place: Path) -> CorrelationModel:
    model.save(place)
    return CorrelationModel.from_directory(place)


def test_the_loss_of_an_autoencoder_is_that_of_codes_and_of_views() -> None:
    config = DeepCcaAutoencoderConfig(**SMALL, reconstruction=0.5, scaling="none")
    model = MODELS["deep-cca-autoencoder"].load()({"one": (6,), "other": (5,)}, config)
    views = [torch.from_numpy(view) for view in toy_views().values()]
    found = model.compare(**model(view_0=views[0], view_1=views[1]))
    assert not found["correlation_loss"].requires_grad
    lost = [
        float((model.reconstruct(name, view) - view).square().sum() / view.square().sum())
        for name, view in zip(("one", "other"), views, strict=True)
    ]
    assert found["loss"].item() == pytest.approx(float(found["correlation_loss"]) + 0.5 * sum(lost), rel=1e-5)
    assert float(found["lost"]) == pytest.approx(np.mean(lost), rel=1e-5)
    found["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_the_past_is_remembered_in_training_alone() -> None:
    config = DeepCcaConfig(**SMALL, objective="soft", memory=0.75)
    model = MODELS["deep-cca"].load()({"one": (6,), "other": (5,)}, config)
    first = {f"view_{place}": torch.from_numpy(view[:40]) for place, view in enumerate(toy_views().values())}
    second = {f"view_{place}": torch.from_numpy(view[40:]) for place, view in enumerate(toy_views().values())}
    model.eval()
    model.compare(**model(**first))
    assert int(model.batches) == 0
    model.train()
    model.compare(**model(**first))
    after_one = model.past.clone()
    model.compare(**model(**second))
    expected = np.corrcoef(model(**second)["code_0"].detach().numpy().T)
    np.testing.assert_allclose(model.past[0].numpy(), 0.75 * after_one[0].numpy() + 0.25 * expected, atol=1e-5)


@slow
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path, warm_python) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        done = warm_python.run(TOYS, "killed", tmp_path / "killed", env=environment)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with pytest.raises(FileError, match="has not published a model yet"):
            CorrelationModel.from_directory(tmp_path / "killed")
        assert train_small(tmp_path / "killed").summary["resumed_from"] in (6, 8)
        assert train_small(tmp_path / "whole").summary["resumed_from"] is None
    finally:
        torch.set_num_threads(threads)
    one, other = (read_artifact(tmp_path / name / "model", kind="correlation-model") for name in ("killed", "whole"))
    assert one.config == other.config
    assert one.tensors.keys() == other.tensors.keys()
    assert all(one.tensors[name].tobytes() == other.tensors[name].tobytes() for name in one.tensors)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, warm_python):
    """What two processes came to."""
    folder = tmp_path_factory.mktemp("pair")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    done = warm_python.run(TOYS, "together", folder, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


@slow
@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_descend_as_one_does(pair: Path, name: str) -> None:
    """A gather without gradient would go elsewhere, one scaled by the number of processes twice as far."""
    alone, in_parts = descend(name), descend(name, micro_batch_size=4)
    for rank in (0, 1):
        together = dict(np.load(pair / f"{name}-{rank}.npz"))
        assert together.keys() == alone.keys()
        for key, value in alone.items():
            np.testing.assert_allclose(together[key], value, rtol=1e-10, atol=1e-11)
            np.testing.assert_allclose(in_parts[key], value, rtol=1e-10, atol=1e-11)


@slow
def test_two_processes_train_the_model_that_one_does(pair: Path, tmp_path) -> None:
    config = DeepGeneralizedCcaConfig(**SMALL, activation="tanh")
    views = toy_views(sizes=(6, 5, 4))
    training = replace(SHORT, steps=6, learning_rate=1e-3)
    run = train_correlation(views, tmp_path / "run", model="deep-generalized-cca", config=config, training=training)
    for rank in (0, 1):
        together = dict(np.load(pair / f"run-{rank}.npz"))
        for key, value in run.model.state_dict().items():
            np.testing.assert_allclose(together[key], value.numpy(), atol=5e-4, err_msg=key)
    alone, other = read_metrics(tmp_path / "run" / "metrics.jsonl"), read_metrics(pair / "run" / "metrics.jsonl")
    for one, two in zip(alone, other, strict=True):
        for name in one.keys() & {"loss", "gradient_norm", "validation_loss"}:
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-5), name


def test_no_batch_is_short() -> None:
    """The loop's epochs are one endless sequence, and a last validation batch reaches back: none has too few things."""
    from nlprep.core.training.steps.coupled import ValidationWindows

    rows = ViewExamples(toy_views(50), np.arange(50))
    windows = ValidationWindows(rows, seed=1, batch_size=24, part_size=24, rank=0, world_size=1)
    assert [len(part["view_0"]) for part in windows] == [24, 24, 24]


class Grid(nn.Module):
    """A network of one's own, for views that are no rows."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 2), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(8, outputs)
        )

    def forward(self, given):
        return self.layers(given)


def test_any_network_will_do(tmp_path) -> None:
    rows = toy_views()
    views = {"grid": rows["view 0"].reshape(120, 1, 2, 3), "row": rows["view 1"]}
    network = Grid()
    training = replace(SHORT, steps=3, evaluate_every=None, checkpoint_every=None)
    given = {"config": DeepCcaConfig(**SMALL), "networks": {"grid": network}, "training": training}
    run = train_correlation(views, tmp_path / "run", **given)
    assert run.model.view("grid").network is network
    codes = run.model.encode("grid", views["grid"])
    with pytest.raises(OptionError, match="was trained with networks of its own for grid: give the same as networks"):
        CorrelationModel.from_directory(tmp_path / "run")
    with pytest.raises(OptionError, match="other networks than it was trained with"):
        CorrelationModel.from_directory(tmp_path / "run", networks={"grid": Grid(4)})
    opened = CorrelationModel.from_directory(tmp_path / "run", networks={"grid": Grid()})
    np.testing.assert_array_equal(opened.encode("grid", views["grid"]), codes)
    assert np.abs(run.model.randomized(5).encode("grid", views["grid"]) - codes).max() > 0.1
    # A run goes on with a network that is made alike, whatever its weights, and with no other.
    again = train_correlation(views, tmp_path / "run", **given | {"networks": {"grid": Grid()}})
    assert again.summary["already_done"]
    np.testing.assert_array_equal(again.model.encode("grid", views["grid"]), codes)
    with pytest.raises(OptionError, match="networks"):
        train_correlation(views, tmp_path / "run", **given | {"networks": {"grid": Grid(4)}})


def test_an_encoder_is_one_view(run, tmp_path) -> None:
    views = VIEWS
    encoder = run.model.encoder("view 1")
    encoder.save(tmp_path / "saved")
    opened = ViewEncoder.from_directory(tmp_path / "saved")
    assert (opened.view, opened.shape) == ("view 1", (5,))
    np.testing.assert_array_equal(opened.encode(views["view 1"]), run.model.encode("view 1", views["view 1"]))
    assert ViewEncoder.from_directory(run.directory).view == "view 0"
    assert ViewEncoder.from_directory(run.directory, view="view 1").shape == (5,)
    # The module is the encoder: what it gives has a gradient.
    given = torch.from_numpy(views["view 1"]).requires_grad_()
    found = encoder.module(given)
    np.testing.assert_allclose(found.detach().numpy(), encoder.encode(views["view 1"]), atol=1e-5)
    found.sum().backward()
    assert given.grad.any()
    with pytest.raises(OptionError, match="view 'left': choose from view 0, view 1"):
        run.model.encoder("left")
    lost = views["view 1"].copy()
    lost[4, 2] = np.nan
    with pytest.raises(NlprepError, match=r"items\[4\] of 'view 1' holds a value that is no finite number"):
        encoder.encode(lost, 3)


def test_scaling_is_as_it_says() -> None:
    views = {"one": np.array([[0.0, 10.0, 5.0], [2.0, 30.0, 5.0]]), "other": np.zeros((2, 1))}
    examples = ViewExamples(views, np.arange(2))
    means, scales = fit_scaling(examples, "number")
    np.testing.assert_allclose(means[0], [1, 20, 5])
    np.testing.assert_allclose(scales[0], [1, 0.1, 1])
    np.testing.assert_allclose(scales[1], [1])
    np.testing.assert_allclose(fit_scaling(examples, "view")[1][0], [np.sqrt(3 / 101)] * 3)
    assert [array.tolist() for array in fit_scaling(examples, "none")[0]] == [[0, 0, 0], [0]]
    # A column in small units beside one in large ones.
    units = ViewExamples({"one": np.array([[1e9, 1e-3], [3e9, 3e-3]])}, np.arange(2))
    np.testing.assert_allclose(fit_scaling(units, "number")[1][0], [1e-9, 1e3])
    # Of what is trained on, not of what is held out.
    assert fit_scaling(ViewExamples(views, np.array([1])), "view")[0][0].tolist() == [2, 30, 5]


BAD = {
    "not an array": (lambda views: views | {"view 1": [[1.0]]}, {}, "view 'view 1' is list: give an array of numbers"),
    "text": (
        lambda views: views | {"view 1": np.array([["a"]] * 120)}, {}, r"view 'view 1' is <U1 \(120, 1\): give",
    ),
    "one number each": (lambda views: views | {"view 1": np.zeros(120)}, {}, r"is float64 \(120,\): give an array"),
    "lengths": (
        lambda views: views | {"view 1": views["view 1"][:-1]}, {}, r"of different lengths \(view 0: 120, view 1: 119\)"
    ),
    "one view": (lambda views: {"view 0": views["view 0"]}, {}, r"1 views \(view 0\): a deep-cca takes two"),
    "three views": (lambda views: views | {"c": views["view 0"]}, {}, "takes two: for more, train a deep-generalized-"),
    "no views": (lambda views: {}, {}, "give arrays by name"),
    "model": (dict, {"model": "cca"}, "model = 'cca': choose from deep-cca, deep-cca-autoencoder, deep-generalized-c"),
    "settings": (dict, {"config": DeepGeneralizedCcaConfig()}, "config is a DeepGeneralizedCcaConfig, and a deep-cca"),
    "batch": (
        dict, {"config": DeepCcaConfig(dimension=30)}, "a batch of 24 examples for codes of 30 numbers: any views of at"
    ),
    "held out": (
        lambda views: {name: view[:30] for name, view in views.items()}, {},
        "a validation set of 3 examples for codes of 2 numbers",
    ),
    "share": (dict, {"validation": 1.5}, "validation = 1.5: give a share from 0 up to 1"),
    "validation": (
        dict, {"validation": toy_views(20, (6, 4))}, "give the same views",
    ),
    "network": (dict, {"networks": {"left": nn.Linear(6, 2)}}, "networks: 'left' is no view: choose from view 0, v"),
    "inputs": (
        dict, {"networks": {"view 0": nn.Linear(7, 2)}}, r"the network of 'view 0' does not take things of shape \(6,\)"
    ),
    "unequal": (
        dict, {"networks": {"view 0": nn.Linear(6, 3)}, "config": DeepCcaConfig(**SMALL, objective="soft")},
        "objective = 'soft': networks make 3 and 2 numbers",
    ),
    "outputs": (dict, {"networks": {"view 0": nn.Linear(6, 1)}}, "makes 1 numbers, and a code is to have 2"),
    "no codes": (
        dict, {"networks": {"view 0": nn.Unflatten(1, (2, 3))}}, r"makes something of shape \(2, 2, 3\) of \(2, ...\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "given", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(change, given, message, tmp_path) -> None:
    settings = {"config": DeepCcaConfig(**SMALL), "training": SHORT} | given
    with pytest.raises(NlprepError, match=message) as caught:
        train_correlation(change(toy_views()), tmp_path / "run", **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_value_that_is_no_number_is_told_with_its_row(tmp_path) -> None:
    views = toy_views()
    views["view 1"][77, 3] = np.inf
    with pytest.raises(NlprepError, match="view 'view 1', row 77: holds a value that is no finite number"):
        train_correlation(views, tmp_path / "run", config=DeepCcaConfig(**SMALL), training=SHORT)


def test_settings_that_do_not_fit_are_told() -> None:
    with pytest.raises(OptionError, match="outputs = 3: a code has 10 numbers"):
        CorrelationConfig(outputs=3)
    with pytest.raises(OptionError, match=r"dropout = 1\.0: must be below 1"):
        DeepCcaConfig(dropout=1.0)
    with pytest.raises(OptionError, match=r"ridge = 0\.0: must be at least 1e-08"):
        DeepCcaConfig(ridge=0.0)
    assert default_training(60_000).batch_size == 2000
    assert default_training(60).num_steps(60) == 500


def test_damaged_files_are_told(run, tmp_path) -> None:
    with pytest.raises(FileError, match="holds no model of correlated views"):
        CorrelationModel.from_directory(tmp_path)
    run.model.save(tmp_path / "model")
    described = json.loads((tmp_path / "model" / "config.json").read_text())
    for change, message in (
        ({"model": "cca"}, "does not describe a model"),
        ({"view": "left"}, "does not describe a model"),
        ({"settings": {**described["settings"], "width": 9}}, "the weights are not those of its settings"),
    ):
        (tmp_path / "model" / "config.json").write_text(json.dumps(described | change))
        with pytest.raises(FileError, match=message):
            CorrelationModel.from_directory(tmp_path / "model")
