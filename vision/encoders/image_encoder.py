"""Images to vectors, with a model that was trained here or one of the transformers library.

>>> from vision import ImageEncoder  # doctest: +SKIP
>>> ImageEncoder.from_directory("run").encode(["one.jpg", "two.png"])  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from nlprep.core.devices import find_device
from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import evaluation_mode
from vision.backbones.backbone import Backbone
from vision.backbones.configuration import BackboneConfig
from vision.encoders.pictures import batches_of_pixels, check_pictures
from vision.images.collection import unit_pixels
from vision.images.preprocessing import Preprocessing
from vision.models.files import (
    SavedModel,
    build,
    check_shape,
    is_transformers_model,
    load_model,
    redrawn,
    save_model,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.models.model import ImageModel

OUTPUTS = ("codes", "features")


class Coder(nn.Module):
    """The differentiable part of an encoder.

    Args:
        model: A model of images, or a backbone.
        output: ``codes`` of a model, or ``features`` of its backbone.
    """

    def __init__(self, model: ImageModel | Backbone, output: str) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        """Vectors (b, dimension) of images (b, channels, height, width), uint8, or floats in [0, 1]."""
        found: Tensor
        if isinstance(self.model, Backbone):
            found = self.model(unit_pixels(images))
        elif self.output == "features":
            backbone = cast("Backbone", self.model.backbone)
            found = backbone(unit_pixels(images))
        else:
            found = self.model.encode(images)
        return found


class ImageEncoder:
    """A model that makes a vector of an image: an `nlprep.evaluation.encoder.Encoder`.

    Its items are paths, Pillow images or arrays, (height, width) or with channels first or last, of any size: they are
    preprocessed as the model's training images were. A whole `vision.images.collection.Images` may be given in place
    of a list.

    Args:
        saved: A model and its preprocessing.
        output: ``codes`` of the model, or ``features``, which its backbone makes before them.
        precision: ``fp32``, or ``bf16``, which is faster where the hardware computes it, and gives nearly the same.

    Attributes:
        module: The differentiable part: called on images (b, channels, height, width), uint8 or floats in [0, 1], it
            gives vectors (b, d). Train it as a part of a larger model as you would any module.
        saved: The model and what belongs to it.

    Raises:
        OptionError: Another output or precision, or features of a model that has no backbone.
        NlprepError: A preprocessing that makes images of another shape than the model takes.
    """

    def __init__(self, saved: SavedModel, *, output: str = "codes", precision: str = "fp32") -> None:
        if output not in OUTPUTS:
            raise OptionError(f"output = {output!r}: choose from {', '.join(OUTPUTS)}")
        if precision not in ("fp32", "bf16"):
            raise OptionError(f"precision = {precision!r}: choose from fp32, bf16")
        check_shape(saved.model, saved.preprocessing.shape, where="preprocessing")
        backbone = saved.model if isinstance(saved.model, Backbone) else getattr(saved.model, "backbone", None)
        if output == "features" and not isinstance(backbone, Backbone):
            raise OptionError("output = 'features': the model has no backbone that makes some: choose codes")
        self.saved, self.output, self.precision = saved, output, precision
        self.dimension = int(
            backbone.dimension if output == "features" and backbone is not None else saved.model.dimension
        )
        self.module: nn.Module = Coder(saved.model, output).eval()

    @classmethod
    def from_directory(
        cls,
        directory: str | os.PathLike[str],
        *,
        output: str | None = None,
        precision: str = "fp32",
        device: str | None = None,
    ) -> ImageEncoder:
        """Open the encoder of a run, one that was saved, or a pretrained model.

        Args:
            directory: Of a run of `vision.training.train_images`, of its model, or of what `save` wrote; one that the
                transformers library wrote is opened as `from_transformers` does.
            output: ``codes`` or ``features``; default: what was saved, codes of a run.
            precision: As for the class.
            device: ``cpu``, ``cuda``...; default: a GPU where there is one.

        Raises:
            FileError: Missing, damaged, or something else's.
            OptionError: As the class, or a device that is not there.
        """
        if is_transformers_model(directory):
            return cls.from_transformers(directory, precision=precision, device=device)
        chosen = find_device(device)
        saved = load_model(directory)
        wanted = output or str(saved.notes.get("output", "codes"))
        return cls(saved, output=wanted, precision=precision).to(chosen)

    @classmethod
    def from_transformers(
        cls,
        directory: str | os.PathLike[str],
        preprocessing: Preprocessing | None = None,
        *,
        precision: str = "fp32",
        device: str | None = None,
    ) -> ImageEncoder:
        """A pretrained vision model that the transformers library wrote to disk.

        Nothing is fetched, no code that came with the model is run, nothing is unpickled.

        Args:
            directory: Of the model, with its ``preprocessor_config.json``.
            preprocessing: What pictures become before the model's own resizing and normalisation; default: colour
                images of the size that the model wants.
            precision: As for the class.
            device: As for `from_directory`.

        Raises:
            FileError: Missing, damaged, or no model of images.
        """
        from vision.backbones.transformers_model import wanted_size

        chosen = find_device(device)
        config = BackboneConfig(kind="transformers", path=str(Path(directory)))
        if preprocessing is None:
            height, width = wanted_size(Path(directory))
            preprocessing = Preprocessing(channels=3, height=height, width=width)
        model = build(None, preprocessing.shape, config).eval()
        saved = SavedModel(model=model, config=config, preprocessing=preprocessing)
        return cls(saved, precision=precision).to(chosen)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> ImageEncoder:
        """Move the model; returns itself."""
        self.module.to(device)
        return self

    def encode(
        self, items: Sequence[Any] | Images, batch_size: int = 64, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors.

        Pictures are decoded by threads while the model computes.

        Args:
            items: n paths, Pillow images or arrays, or `Images`.
            batch_size: How many are computed at once.
            progress: Gets images.

        Returns:
            (n, `dimension`) float32, in order.

        Raises:
            NlprepError: One picture instead of a list, or something else than a picture.
            FileError: A picture that cannot be read or is damaged; says which.
            OptionError: A batch size below 1.
        """
        check_pictures(items, batch_size)
        vectors = np.zeros((len(items), self.dimension), np.float32)
        low = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        done = 0
        with progress.task("encoding", len(items)) as task, evaluation_mode(self.module), low:
            for pixels in batches_of_pixels(items, batch_size, self.saved.preprocessing):
                codes = self.module(torch.from_numpy(pixels).to(self.device))
                vectors[done : done + len(pixels)] = codes.float().cpu().numpy()
                done += len(pixels)
                task.advance(len(pixels))
        return vectors

    def randomized(self, seed: int = 1) -> ImageEncoder:
        """The same architecture with random weights: what training is compared with.

        Args:
            seed: Of the weights, which are the same whatever the device.
        """
        other = redrawn(self.saved, seed)
        return ImageEncoder(other, output=self.output, precision=self.precision).to(self.device)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens, with the weights, the preprocessing and a card.

        Args:
            directory: The place; another model of images there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        notes = {**self.saved.notes, "output": self.output}
        save_model(self.saved.with_notes(notes), directory, overwrite=overwrite)

    def export_onnx(
        self, path: str | os.PathLike[str], *, notes: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> None:
        """Write the model for other runtimes: see `vision.encoders.onnx_files.export_onnx`.

        Args:
            path: The file, such as ``encoder.onnx``.
            notes: Plain values to keep in the file, such as a threshold.
            overwrite: Whether another ONNX model there may be replaced.

        Raises:
            NlprepError: The libraries for it are not installed, or do not know an operation of the model.
            FileError: It cannot be written or something else is there.
        """
        from vision.encoders.onnx_files import export_onnx

        export_onnx(self, path, notes=notes, overwrite=overwrite)
