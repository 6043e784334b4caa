"""Runs of flows: killed and gone on with, measured in a comparison, and stable by the house's recipe."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from vision_toys import settings, toy_images

from vision.comparison.configuration import ComparisonConfig
from vision.comparison.measuring import EXACT, Measured, way_of_drawing
from vision.models.files import load_model
from vision.models.flow import Glow
from vision.models.flow_configuration import GlowConfig, ResidualFlowConfig
from vision.models.methods import MODELS
from vision.presets import default_training
from vision.training import train_images

pytestmark = pytest.mark.slow

CONFIGS: dict[str, Any] = {
    "glow": GlowConfig(steps=1, width=4),
    "residual-flow": ResidualFlowConfig(steps=1, width=4),
}
PROGRAM = """
import os, signal, sys
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
from nlprep.core.training.steps.step import PlainStep
from test_flow_runs import CONFIGS, killed_run
turns = PlainStep.turns
PlainStep.turns = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == 4 else turns(self, step)
pid = os.fork()
if pid == 0:
    killed_run("glow", {directory!r} + "/glow")
    os._exit(1)
_, status = os.waitpid(pid, 0)
assert os.WTERMSIG(status) == signal.SIGKILL, status
killed_run("residual-flow", {directory!r} + "/residual-flow")
"""


def killed_run(name: str, directory: str | Path):
    """One whose weights are averaged and whose norms are brought up to date, as the recipe has it."""
    training = settings(steps=6, evaluate_every=3, checkpoint_every=1, average=0.9, clip_norm=2000.0)
    return train_images(toy_images(16), directory, model=name, config=CONFIGS[name], training=training)


def tensors_of(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_model(path).model.state_dict().items()}


def test_runs_that_were_killed_end_with_the_same_bits(tmp_path, warm_python):
    program = PROGRAM.format(tests=str(Path(__file__).parent), directory=str(tmp_path), threads=torch.get_num_threads())
    done = warm_python.run("-c", program, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    for name in CONFIGS:
        assert not (tmp_path / name / "model").exists()
        assert killed_run(name, tmp_path / name).summary["resumed_from"] == 4
        assert killed_run(name, tmp_path / f"whole-{name}").summary["resumed_from"] is None
        assert tensors_of(tmp_path / name) == tensors_of(tmp_path / f"whole-{name}")


def test_a_comparison_says_bits_of_bytes_and_that_nothing_is_lost():
    model = Glow((1, 8, 8), CONFIGS["glow"]).eval()
    nothing: Any = None
    measured = Measured(ComparisonConfig(), toy_images(10), nothing, toy_images(4), nothing, nothing)
    found = measured.likelihood(model, seed=1)
    with torch.no_grad():
        expected = torch.stack([model.nats(torch.from_numpy(toy_images(10).pixels)).mean() for _ in range(20)])
    assert found["nats"] == pytest.approx(float(expected.mean()), abs=6 * float(expected.std()))
    assert found["bits"] == pytest.approx(found["nats"] / (64 * math.log(2)))
    assert found["of"] == "bytes"
    assert measured.reconstruction(model) == {"none": EXACT}
    assert way_of_drawing(model) == "by the model, at a temperature of 0.7"


def test_the_recipe_of_flows_cuts_gradients():
    for name in ("glow", "conditional-glow", "residual-flow"):
        training = default_training(name, 1000)
        assert (training.clip_norm, training.weight_decay, training.warmup) == (2000.0, 0.0, 50)
        assert MODELS[name].training == MODELS["glow"].training
