"""Image encoders learned without labels, from a folder of images to a representation and what it is worth.

The names below are loaded when first used:

- `read_images` reads a folder, an archive or a file of images, and `Images` are what it gives;
- `train_images` trains a model on them, with the settings of a `BackboneConfig` and a `TrainingConfig`;
- `write_run_report` writes a page about a run and its images;
- `ImageEncoder` makes vectors of pictures with it, or with a pretrained model; `RawPixels` are the baseline;
- `save_model` and `load_model` keep a model with its preprocessing, a `SavedModel`;
- `MODELS` are all models by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.lazy_names import hand_on

if TYPE_CHECKING:
    from nlprep.core.training.configuration import TrainingConfig
    from vision.backbones.configuration import BackboneConfig
    from vision.encoders.image_encoder import ImageEncoder
    from vision.encoders.raw_pixels import RawPixels
    from vision.images.collection import Images
    from vision.images.reading import read_images
    from vision.models.files import SavedModel, load_model, save_model
    from vision.models.methods import MODELS
    from vision.report import write_run_report
    from vision.training import train_images

_HOMES = {
    "BackboneConfig": "vision.backbones.configuration",
    "ImageEncoder": "vision.encoders.image_encoder",
    "Images": "vision.images.collection",
    "MODELS": "vision.models.methods",
    "RawPixels": "vision.encoders.raw_pixels",
    "SavedModel": "vision.models.files",
    "TrainingConfig": "nlprep.core.training.configuration",
    "load_model": "vision.models.files",
    "read_images": "vision.images.reading",
    "save_model": "vision.models.files",
    "train_images": "vision.training",
    "write_run_report": "vision.report",
}

__all__ = [
    "MODELS",
    "BackboneConfig",
    "ImageEncoder",
    "Images",
    "RawPixels",
    "SavedModel",
    "TrainingConfig",
    "load_model",
    "read_images",
    "save_model",
    "train_images",
    "write_run_report",
]

__getattr__, __dir__ = hand_on(__name__, _HOMES)
