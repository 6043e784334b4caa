"""One run of a comparison, and how many steps its budget is."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.progress import SILENT
from vision.models.configuration import LikelihoodConfig
from vision.models.methods import find_method
from vision.presets import default_training
from vision.training import ImageTraining, train_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlprep.core.progress import Progress
    from nlprep.core.training.configuration import TrainingConfig
    from vision.backbones.configuration import BackboneConfig, UNetConfig
    from vision.comparison.configuration import ComparisonConfig
    from vision.images.collection import Images

_FEW, _MORE, _LONG = 8, 40, 4.0
"""Steps of a short and of a long trial, and the seconds of a short one beyond which twice as many are long enough."""
_EVALUATIONS = 4


def model_settings(
    model: str, channels: int, config: ComparisonConfig, backbone: BackboneConfig | None, unet: UNetConfig | None = None
) -> Any:
    """A model's settings in a comparison: its own, with the code, the pixels and the network that all have.

    Args:
        model: Its name.
        channels: Of the images.
        config: Of the comparison.
        backbone: The network; None: each model's own default.
        unet: A diffusion model's network; None: its own default.
    """
    kind: Any = find_method(model).config
    own = kind()
    fields = {field.name for field in dataclasses.fields(kind)}
    changes: dict[str, Any] = {"dimension": config.dimension, "latent": config.dimension}
    likelihood = LikelihoodConfig(kind=config.likelihood).settled(channels)
    changes["likelihood"] = replace(likelihood, variance=config.scale) if likelihood.kind == "logistic" else likelihood
    # A masked autoencoder hides patches from a transformer, whatever network the others have.
    if backbone is not None and "backbone" in fields and (own.backbone.kind != "vit" or backbone.kind == "vit"):
        changes["backbone"] = backbone
    if unet is not None:
        changes["network"] = unet
    return replace(own, **{name: value for name, value in changes.items() if name in fields})


def run_settings(
    model: str, settings: Any, count: int, config: ComparisonConfig, *, steps: int, seed: int
) -> TrainingConfig:
    """The loop's settings of a run: those that suit its model and network, for so many steps, evaluated four times."""
    suited = default_training(model, count, getattr(settings, "backbone", None))
    return replace(
        suited, steps=steps, epochs=1.0, batch_size=max(1, min(config.batch_size, count)),
        seed=seed, evaluate_every=math.ceil(steps / _EVALUATIONS),
    )  # fmt: skip


def clock_of(device: str) -> Callable[[], float]:
    """Seconds of the processor, of all threads together; on a GPU, of the clock.

    Waiting for a processor that is busy elsewhere does not count; sharing its caches does.
    """
    return time.process_time if device == "cpu" else time.perf_counter


def held_out_of(count: int, held_out: int) -> int:
    """How many of so many training images are held out to choose weights by, at the most."""
    return min(held_out, count // 10)


def measure_step_seconds(
    images: Images, model: str, settings: Any, training: TrainingConfig, *, progress: Progress = SILENT
) -> float:
    """What a step of training costs, by the difference of a long and a short trial, thrown away afterwards.

    What a run costs besides its steps (reading, the first call of each operation, evaluations) is in both.

    Args:
        images: To train on.
        model: Its name.
        settings: Its settings.
        training: The loop's.
        progress: Gets steps.

    Returns:
        Seconds of `clock_of`.
    """
    clock = clock_of(_device())

    def trial(steps: int) -> float:
        with tempfile.TemporaryDirectory() as scratch:
            began = clock()
            train_images(
                images, Path(scratch) / "trial", model=model, config=settings,
                training=replace(training, steps=steps, evaluate_every=steps), validation=0, progress=progress,
            )  # fmt: skip
            return clock() - began

    # The first of all is slower than any other.
    more = _MORE if trial(_FEW) < _LONG else 2 * _FEW
    short = trial(_FEW)
    return max(1e-6, (trial(more) - short) / (more - _FEW))


def train_run(
    images: Images,
    directory: Path,
    model: str,
    settings: Any,
    training: TrainingConfig,
    *,
    held_out: int,
    progress: Progress = SILENT,
) -> tuple[ImageTraining, float]:
    """Train, or go on with, one run.

    Returns:
        The run, and the seconds (`clock_of`) that it took: of one that was stopped in between, those of the part since
        then, in proportion.
    """
    clock = clock_of(_device())
    began = clock()
    run = train_images(
        images, directory, model=model, config=settings, training=training,
        validation=held_out_of(len(images), held_out) / len(images), progress=progress,
    )  # fmt: skip
    seconds = clock() - began
    before = run.history.resumed_from or 0
    if 0 < before < run.history.steps:
        seconds *= run.history.steps / (run.history.steps - before)
    return run, seconds


def _device() -> str:
    from nlprep.core.devices import find_device

    return str(find_device(None).type)
