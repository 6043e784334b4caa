"""SimCLR: its loss against a loop, parts and processes against the whole batch, and going on after being killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import test_byol
import torch
from vision_toys import SMALL, settings, toy_images

from nlprep.core.errors import NlprepError
from nlprep.core.training import fit
from vision.images.collection import ImageExamples, Images
from vision.models.files import load_model
from vision.models.simclr import SimClr
from vision.models.view_configuration import SimClrConfig
from vision.training import train_images
from vision.views.configuration import ViewConfig
from vision.views.making import make_views

if TYPE_CHECKING:
    from warm_python import WarmPython

SHAPE = (3, 8, 8)
CONFIG = SimClrConfig(hidden=8, outputs=5, backbone=SMALL["residual"])
HERE = Path(__file__).resolve()


def examples(count: int = 24) -> ImageExamples:
    return ImageExamples(toy_images(count, SHAPE), keys=True)


def trained(directory: Path | None = None, config: SimClrConfig = CONFIG, **changes: Any) -> dict[str, torch.Tensor]:
    """Weights after three steps on batches of eight, and the losses."""
    model = SimClr(SHAPE, config)
    history = fit(
        model.step(), examples(), config=settings(**{"steps": 3} | changes), directory=directory,
        validation=examples(12),
    )  # fmt: skip
    losses = [record[name] for record in history.records for name in ("loss", "validation_loss") if name in record]
    return {**model.state_dict(), "losses": torch.tensor(losses)}


def test_the_loss_is_that_of_a_loop_over_pairs() -> None:
    model = SimClr(SHAPE, CONFIG).eval()
    batch = examples().batch(np.arange(5), np.arange(5, dtype=np.uint64))
    views = [make_views(batch["images"], batch["keys"], CONFIG.views, view=view) for view in (0, 1)]
    with torch.no_grad():
        outputs = [
            model.network.head(model.network.encoder(pixels[n : n + 1]))[0] for pixels in views for n in range(5)
        ]
        found = model(**batch)
    total, right = 0.0, 0
    for one, vector in enumerate(outputs):
        cosines = [float(torch.cosine_similarity(vector, other, dim=0)) for other in outputs]
        others = [n for n in range(10) if n != one]
        partner = (one + 5) % 10
        total -= np.log(np.exp(cosines[partner] / 0.2) / sum(np.exp(cosines[n] / 0.2) for n in others))
        right += max(others, key=cosines.__getitem__) == partner
    assert float(found["loss"]) == pytest.approx(total / 10, rel=1e-4)
    assert float(found["accuracy"]) == pytest.approx(right / 10)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "lars"])
def test_parts_of_a_batch_learn_what_the_whole_does(optimizer: str) -> None:
    config = replace(CONFIG, optimizer=optimizer)
    whole, parts = trained(config=config), trained(config=config, micro_batch_size=2)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=2e-5)
    assert not torch.equal(whole["losses"][:1], trained(config=config, batch_size=2)["losses"][:1])


TOGETHER = """
import sys
sys.path.insert(0, {tests!r})
import torch
from accelerate import PartialState
import test_byol
import test_simclr
torch.set_num_threads(1)
found = test_simclr.trained()
found |= {{"byol." + name: value for name, value in test_byol.trained().items()}}
torch.save(found, {directory!r} + f"/{{PartialState().process_index}}.pt")
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path, warm_python: WarmPython) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    paths = os.pathsep.join([str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")])
    program = TOGETHER.format(tests=str(HERE.parent), directory=str(tmp_path))
    environment = os.environ | {
        "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    running = [
        warm_python.popen(
            *("-c", program),
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=200)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    alone = trained() | {"byol." + name: value for name, value in test_byol.trained().items()}
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in alone.items():
            if name == "losses" and rank:
                # The main process keeps the records.
                continue
            torch.testing.assert_close(together[name], value, rtol=1e-3, atol=2e-5)


def test_a_code_is_the_mean_of_the_last_maps_of_the_image_itself() -> None:
    model = SimClr(SHAPE, CONFIG).eval()
    images = torch.from_numpy(toy_images(4, SHAPE).pixels)
    with torch.no_grad():
        codes = model.encode(images)
        maps = model.backbone.forward_maps(images.float() / 255)
        torch.testing.assert_close(codes, maps.mean((2, 3)))
        for parameter in model.network.head.parameters():
            parameter.zero_()
        assert torch.equal(model.encode(images), codes)
    assert model.dimension == codes.shape[1] == maps.shape[1]


@pytest.mark.parametrize(("places", "found"), [(2, 2), (9, 8)])
def test_a_code_of_several_places_has_the_mean_of_each_part_of_the_image(places: int, found: int) -> None:
    config = replace(CONFIG, backbone=replace(SMALL["residual"], depth=0))
    plain, model = SimClr(SHAPE, config).eval(), SimClr(SHAPE, replace(config, places=places)).eval()
    images = torch.from_numpy(toy_images(4, SHAPE).pixels)
    with torch.no_grad():
        codes, mean = model.encode(images), plain.encode(images)
        maps = model.backbone.forward_maps(images.float() / 255)
    side = 8 // found
    parts = [
        maps[:, :, side * row : side * (row + 1), side * column : side * (column + 1)].mean((2, 3))
        for row in range(found) for column in range(found)
    ]  # fmt: skip
    torch.testing.assert_close(codes, torch.stack(parts, 2).flatten(1))
    assert model.dimension == codes.shape[1] == plain.dimension * found**2
    # What is compared in training is of the whole image, whatever a code has.
    torch.testing.assert_close(codes.view(4, plain.dimension, -1).mean(2), mean)
    assert str(model.network) == str(plain.network)


def test_keys_that_are_missing_are_asked_for() -> None:
    with pytest.raises(NlprepError, match="give keys"):
        SimClr(SHAPE, CONFIG)(torch.from_numpy(toy_images(2, SHAPE).pixels))


PROGRAM = """
import os, signal, sys
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
from test_simclr import killed_run
from nlprep.core.training.steps.coupled import PlainCoupledStep
turns = PlainCoupledStep.turns
PlainCoupledStep.turns = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == 4 else turns(self, step)
killed_run({directory!r})
"""


def killed_run(directory: str | Path) -> Any:
    changes = {"steps": 6, "evaluate_every": 2, "checkpoint_every": 1, "average": 0.9}
    return train_images(
        toy_images(30, SHAPE), directory, model="simclr", config=replace(CONFIG, optimizer="lars"),
        training=settings(**changes), validation=0.3,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path: Path, warm_python: WarmPython) -> None:
    program = PROGRAM.format(
        tests=str(HERE.parent), directory=str(tmp_path / "killed"), threads=torch.get_num_threads()
    )
    done = warm_python.run("-c", program, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert killed_run(tmp_path / "killed").summary["resumed_from"] == 4
    whole = killed_run(tmp_path / "whole")
    assert whole.summary["resumed_from"] is None
    ours, others = (load_model(tmp_path / name).model.state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(value, others[name]) for name, value in ours.items())


@pytest.mark.slow
def test_it_learns_to_tell_images_apart() -> None:
    """Views of an image are nearer to each other than to those of other images, where at first they are not."""
    colours = np.random.default_rng(1).integers(0, 256, (64, 3, 1, 1), dtype=np.uint8)
    colourful = ImageExamples(Images(np.broadcast_to(colours, (64, *SHAPE)).copy()), keys=True)
    views = ViewConfig(strength=0.1, grey=0)
    config = replace(CONFIG, views=views, backbone=SMALL["mlp"])
    history = fit(
        SimClr(SHAPE, config).step(), colourful, validation=colourful,
        config=settings(steps=60, batch_size=32, evaluate_every=30, learning_rate=5e-3),
    )  # fmt: skip
    records = [record for record in history.records if "validation_loss" in record]
    assert records[-1]["validation_loss"] < np.log(63) - 1
    assert records[-1]["validation_accuracy"] > 0.4
