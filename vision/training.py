"""Training a model of images, by the one loop and the one recipe around it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.published import find_published
from nlprep.core.randomness import combine, uniforms
from nlprep.core.training.evaluation import Assessment
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.core.wording import counted
from vision.images.amounts import require_images
from vision.images.collection import ImageExamples
from vision.images.splits import choose_places
from vision.models.methods import find_method
from vision.presets import default_backbone, default_training
from vision.requirements import check_labels, check_training

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    import torch
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from nlprep.core.randomness import Seeds
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.evaluation import Evaluation
    from nlprep.core.training.recipe import RunArguments
    from vision.backbones.backbone import Backbone
    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Images
    from vision.models.model import ImageModel

RUN = "image-training"
"""What the directories of runs are marked as."""
MOST_HELD_OUT = 5000
"""Images that are held out at the most, where a share is asked for: more take time and change little."""
_HOLDING_OUT, _SHOWING = 41, 42
_WHOLE_BYTES, _BLOCKS, _BLOCK = 1 << 26, 64, 1 << 20
_SHOWN = 16
_EVALUATIONS, _LEAST_BETWEEN = 10, 10
"""In a run, and steps from one to the next: pictures of every step of a short run say nothing new."""


@dataclass(frozen=True, kw_only=True)
class ImageTraining(FinishedRun):
    """A finished run.

    Attributes:
        model: The model, on the device that it was trained on, in evaluation mode.
    """

    model: ImageModel


def train_images(
    images: Images,
    directory: str | os.PathLike[str],
    *,
    model: str = "autoencoder",
    config: Any = None,
    backbone: BackboneConfig | None = None,
    start: str | os.PathLike[str] | None = None,
    training: TrainingConfig | None = None,
    validation: Images | float = 0.1,
    **run: Unpack[RunArguments],
) -> ImageTraining:
    """Train a model of images; the same call again goes on where it was stopped.

    bf16 is used where the hardware computes it (``training.precision``), and there, and on a GPU, convolutions are kept
    with channels last; in fp32 a processor gains nothing by that.
    Every evaluation, of which there are ten and none within ten steps of another unless the settings say otherwise,
    leaves pictures in the run's ``pictures``: some held-out images over what the model makes of them, and samples,
    where it can.

    Args:
        images: What to train on; mapped ones are read as they are needed. How pictures became these images is kept
            with the model, for those that come later; where they do not say, pictures are cropped to their shape.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        model: A name in `vision.models.methods.MODELS`.
        config: Its settings, of the class that `MODELS` names; default: as it is made without arguments, with the
            network of `vision.presets.default_backbone`.
        backbone: The network that makes features, in place of that one, or of the one in ``config``.
        start: A model of ours, or its run, whose network, with what it learned, is the one to begin with: how an
            encoder is fine-tuned, a `classifier` with labels for one.
        training: The loop's settings; default: `vision.presets.default_training`.
        validation: Images to measure on, which decide which weights are kept; or the share of ``images`` that is held
            out for it, at most 5,000, chosen by the seed; 0: none.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its model is also in ``directory/model``, which `vision.encoders.image_encoder.ImageEncoder` opens.

    Raises:
        NlprepError: No images, or one alone to train on, validation images of another shape, or as
            `vision.requirements.check_training`, `prepare_run` and `fit` do.
        OptionError: No such model, settings of another one, a share that leaves no image, or as `check_training`.
    """
    from vision.images.preprocessing import Preprocessing
    from vision.models.files import IMAGE_MODEL, SavedModel, check_shape, save_model

    method = find_method(model)
    if not len(images):
        raise NlprepError(f"{images.source}: there are no images to train on: give some")
    learned = None
    if start is not None:
        if backbone is not None:
            raise OptionError("backbone and start both say which network to begin with: leave out one of the two")
        learned, backbone = _learned(start, images)
    if config is None and backbone is None:
        backbone = default_backbone(model, images.shape)
    config = _settings(model, config, backbone)
    channels, height, width = images.shape
    preprocessing = images.preprocessing or Preprocessing(channels=channels, height=height, width=width)
    seed = 1 if training is None else training.seed
    check_labels(model, images.labels, images.classes, source=images.source)
    examples, held = _examples(images, validation, labels=method.labelled, keys=method.keyed, seed=seed)
    require_images(
        len(examples), None if held is None else len(held), source=images.source, use="choose the weights by"
    )
    training = training or default_training(model, len(examples), getattr(config, "backbone", None))
    if training.evaluate_every is None:
        every = max(_LEAST_BETWEEN, -(-training.num_steps(len(examples)) // _EVALUATIONS))
        training = replace(training, evaluate_every=every)
    accelerator = run.get("accelerator")
    check_training(
        images, model, config, training, held_out=None if held is None else len(held),
        device=None if accelerator is None else accelerator.device,
    )  # fmt: skip
    # Whatever constructor the class of a name has takes these.
    kind: Any = method.load()
    made: ImageModel = kind(
        images.shape, config, num_classes=len(images.classes) if method.labelled else 0, seed=training.seed
    )
    # What was left to the images is settled.
    config = made.config
    check_shape(made, preprocessing.shape, where="preprocessing")
    if start is not None and learned is not None:
        _begin_with(made, learned, start=start)
    if held is not None:
        check_shape(made, held.images.shape, where=held.images.source)
    data = {
        "images": digest_images(images, labels=method.labelled),
        "held_out": (
            float(validation)
            if isinstance(validation, int | float)
            else digest_images(validation, labels=method.labelled)
        ),
    }
    pretrained = getattr(config, "backbone", None)
    path = getattr(pretrained, "path", None)
    bases = {"backbone": Path(path)} if path is not None else None
    if start is not None:
        path = find_published(start, "model of images")
        bases = {"start": path}
    with prepare_run(
        directory, kind=RUN, result=IMAGE_MODEL, settings={model: config, "preprocessing": preprocessing},
        training=training, bases=bases, data=data, inputs=[] if path is None else [path], **run,
    ) as prepared:  # fmt: skip
        _choose_memory_format(made, training, prepared.accelerator)
        shown = held if held is not None else examples
        history = prepared.fit(made.step(), examples, validation=held, evaluate=_pictures_of(made, shown))
        # The loop leaves the players so, of which there may be several in a model.
        made.eval()
        summary = prepared.summarise(history) | {"model": model, "dimension": made.dimension}
        # By these the same images can be read, and those held out be found, later.
        origin = {"source": images.source, "images": len(images), "held_out": data["held_out"], "seed": training.seed}
        notes = {"steps": history.steps, "examples": len(examples), "validation": summary["validation"], "data": origin}
        saved = SavedModel(
            model=made, config=config, preprocessing=preprocessing, classes=tuple(images.classes), notes=notes
        )
        prepared.publish(lambda place: save_model(saved, place))
    return ImageTraining(directory=prepared.directory, history=history, summary=summary, model=made)


def digest_images(images: Images, *, labels: bool = True) -> str:
    """What tells images from others: a digest of their shape, pixels and, where they count, labels and class names.

    Beyond 64 MiB of pixels 64 blocks of a MiB, evenly spread, are looked at.

    Args:
        images: Images, mapped or in memory.
        labels: Whether labels count.
    """
    digest = hashlib.sha256(repr(images.pixels.shape).encode())
    count = len(images)
    size = max(1, images.pixels[:1].nbytes)
    if images.pixels.nbytes <= _WHOLE_BYTES:
        digest.update(np.ascontiguousarray(images.pixels).data)
    else:
        rows = max(1, _BLOCK // size)
        for start in np.linspace(0, count - rows, _BLOCKS).astype(np.int64).tolist():
            digest.update(np.ascontiguousarray(images.pixels[start : start + rows]).data)
    if labels and images.labels is not None:
        digest.update(repr(images.classes).encode())
        digest.update(np.ascontiguousarray(images.labels).data)
    return digest.hexdigest()[:32]


class ChosenExamples:
    """Some images of many as the loop's examples, without copying the many.

    Args:
        images: All of them.
        places: (n,) those that are meant.
        labels: Whether to give labels.
        keys: Whether to give keys (`vision.images.collection.ImageExamples`).
    """

    def __init__(self, images: Images, places: NDArray[np.int64], *, labels: bool, keys: bool = False) -> None:
        self.images, self.places = images, places
        self._all = ImageExamples(images, labels=labels, keys=keys)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, torch.Tensor]:
        """Fetch images (see `nlprep.core.training.data.examples.Examples`)."""
        return self._all.batch(self.places[indices], seeds)


def held_out_places(count: int, share: float, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places to train on and places held out, both ascending; a function of the seed.

    Args:
        count: How many there are.
        share: Of them that is held out; at most `MOST_HELD_OUT` are.
        seed: Which.

    Raises:
        OptionError: A share out of range, or one that leaves none to train on.
    """
    if not 0 <= share < 1:
        raise OptionError(f"validation = {share}: give a share from 0 up to 1, or images")
    number = min(MOST_HELD_OUT, round(share * count))
    if share > 0:
        number = max(1, number)
    if number >= count:
        raise OptionError(
            f"validation = {share}: of {counted(count, 'image')} none is left to train on: give more images, or hold "
            "out none (validation 0)"
        )
    draws = uniforms(combine(seed, np.arange(count)), 1, purpose=_HOLDING_OUT)[:, 0]
    held = np.zeros(count, bool)
    held[np.argsort(draws, kind="stable")[:number]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _settings(model: str, config: Any, backbone: BackboneConfig | None) -> Any:
    kind: Any = find_method(model).config
    if config is None:
        config = kind()
    if type(config) is not kind:
        raise OptionError(f"config is a {type(config).__name__}, and model {model!r} takes a {kind.__name__}")
    if backbone is None:
        return config
    if not hasattr(config, "backbone"):
        raise OptionError(f"model {model!r} has no backbone to choose: leave it out")
    return replace(config, backbone=backbone)


def _learned(start: str | os.PathLike[str], images: Images) -> tuple[Backbone, BackboneConfig]:
    from vision.models.files import check_shape, load_backbone

    backbone, config = load_backbone(start)
    check_shape(backbone, images.shape, where=images.source)
    return backbone, config


def _begin_with(model: ImageModel, learned: Backbone, *, start: str | os.PathLike[str]) -> None:
    """Give a model's network of features, and whatever follows it, what such a network learned."""
    from vision.backbones.backbone import Backbone

    for part in model.modules():
        if isinstance(part, Backbone):
            try:
                part.load_state_dict(learned.state_dict())
            except RuntimeError:
                raise OptionError(
                    f"start = {os.fspath(start)!r}: this model's network is not made as that one: train it from nothing"
                ) from None


def _examples(
    images: Images, validation: Images | float, *, labels: bool, keys: bool, seed: int
) -> tuple[ImageExamples | ChosenExamples, ImageExamples | ChosenExamples | None]:
    if not isinstance(validation, int | float):
        if not len(validation):
            raise NlprepError(f"{validation.source}: there are no images to validate on: give some, or a share")
        if labels and validation.classes != images.classes:
            raise NlprepError(
                f"{validation.source}: its classes are not those of {images.source}: give images of the same"
            )
        return (
            ImageExamples(images, labels=labels, keys=keys),
            ImageExamples(validation, labels=labels, keys=keys),
        )
    if validation == 0:
        return ImageExamples(images, labels=labels, keys=keys), None
    trained, held = held_out_places(len(images), validation, seed=seed)
    return (
        ChosenExamples(images, trained, labels=labels, keys=keys),
        ChosenExamples(images, held, labels=labels, keys=keys),
    )


def _choose_memory_format(model: ImageModel, training: TrainingConfig, accelerator: Accelerator) -> None:
    """Keep the weights of convolutions with channels last, which makes the maps so too, where that pays.

    GPUs and products in bf16 want it. In fp32 a processor was measured to take 0.96 to 1.15 times as long with it.
    """
    import torch

    from nlprep.core.training.steps.precision import choose_precision

    if accelerator.device.type == "cpu" and choose_precision(training.precision, accelerator) == "fp32":
        return
    # Their maps are as the weights are: inputs need not be changed.
    if any(isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for part in model.modules()):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _pictures_of(model: ImageModel, shown: ImageExamples | ChosenExamples) -> Callable[[Evaluation], Assessment]:
    """What draws a model's reconstructions and samples at every evaluation, of the same images and numbers."""
    import torch

    from vision.models.model import CanReconstruct, CanSample

    # Of all of them: in a folder of classes the first are of one class.
    given = shown.batch(choose_places(len(shown), _SHOWN, purpose=_SHOWING), np.zeros(1, np.uint64))
    classes = model.num_classes

    def evaluate(_: Evaluation) -> Assessment:
        device = next(model.parameters()).device
        labels = given["labels"].to(device) if classes else None
        pictures: dict[str, Any] = {}
        if isinstance(model, CanReconstruct):
            images = given["images"].to(device)
            pictures["reconstructions"] = tiled([images.float() / 255, model.reconstruct(images, labels)])
        if isinstance(model, CanSample):
            wanted = torch.arange(_SHOWN, device=device) % classes if classes else None
            half = model.sample(_SHOWN, wanted).chunk(2)
            pictures["samples"] = tiled(list(half))
        return Assessment(pictures=pictures)

    return evaluate


def tiled(rows: list[torch.Tensor]) -> torch.Tensor:
    """Rows of images as one, (channels, height, width) in [0, 1], with a grey pixel between images.

    Args:
        rows: Each (n, channels, height, width) in [0, 1].
    """
    import torch
    from torch.nn.functional import pad

    framed = [pad(row.detach().float().cpu().clamp(0, 1), (0, 1, 0, 1), value=0.5) for row in rows]
    return torch.cat([torch.cat(list(row), 2) for row in framed], 1)
