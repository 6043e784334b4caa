"""The space of features in which generated images are compared with real ones, by name and digest.

A figure such as FID is one of a space. Inception's is not to be had without a network, and is one of photographs; so
the space is made of the images at hand, by a recipe that anybody can repeat: `train_space` trains a classifier
(`vision.models.classifier`) on labelled images, with the one loop, and its features before the verdict are the space.
Its accuracy on images that it has not seen says what the space knows. Any other encoder on disk will do as well:
`open_space`. Real images to compare with ought not to be those that the classifier learned from, which it knows by
heart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.progress import SILENT
from vision.models.configuration import ImageClassifierConfig
from vision.presets import default_training
from vision.training import train_images

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.collection import Images

_BATCH = 256


@dataclass(frozen=True)
class FeatureSpace:
    """Where images are compared.

    Attributes:
        encoder: What makes features.
        digest: Of its weights: spaces of one digest are the same.
        accuracy: Of the classifier that it is part of, on images that it has not seen; None where it is none.
        tested: How many these were.
    """

    encoder: ImageEncoder
    digest: str
    accuracy: float | None = None
    tested: int = 0

    @property
    def name(self) -> str:
        """What is said wherever a figure is."""
        saved = self.encoder.saved
        kind = type(saved.model).__name__
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.2%} on {self.tested:,} test images"
        return f"{kind}, {self.encoder.dimension} features, digest {self.digest}{accuracy}"

    def features(self, images: Images | NDArray[np.uint8], *, progress: Progress = SILENT) -> NDArray[np.float32]:
        """Features (n, d) of images, or of their pixels (n, channels, height, width)."""
        items: Any = images
        return self.encoder.encode(items, _BATCH, progress=progress)


def train_space(
    train: Images,
    test: Images,
    directory: str | os.PathLike[str],
    *,
    steps: int = 2000,
    seed: int = 1,
    progress: Progress = SILENT,
) -> FeatureSpace:
    """Train a classifier as a feature space; the same call again goes on, or finds the finished one.

    The recipe: a convolutional network of 64 channels and 64 features, batches of 128, a learning rate of 0.001 that
    falls to a tenth, averaged weights; images moved by up to two places, and those in colour mirrored. A twentieth of
    the training images chooses the weights.

    Args:
        train: With labels, which are learned.
        test: With labels, on which the accuracy is measured and nothing is chosen.
        directory: Of the run.
        steps: Of training.
        seed: Of weights and order.
        progress: Gets steps.

    Raises:
        NlprepError: As `vision.training.train_images`; or labels that are missing.
    """
    import numpy as np
    import torch

    from vision.encoders.image_encoder import ImageEncoder
    from vision.models.classifier import ImageClassifier

    train.required_labels("a feature space")
    answers = test.required_labels("a feature space")
    from dataclasses import replace

    config = ImageClassifierConfig(flip=train.shape[0] == 3)
    training = replace(default_training("classifier", len(train)), steps=steps, seed=seed)
    run = train_images(
        train, directory, model="classifier", config=config, training=training, validation=0.05, progress=progress
    )
    encoder = ImageEncoder.from_directory(run.directory)
    space = FeatureSpace(encoder, digest_weights(run.directory / "model"))
    features = torch.from_numpy(space.features(test, progress=progress)).to(encoder.device)
    model = encoder.saved.model
    assert isinstance(model, ImageClassifier)  # noqa: S101 - it was just trained
    with torch.inference_mode():
        said = model.to_logits(features).argmax(1).cpu().numpy()
    right = float(np.mean(said == answers))
    return FeatureSpace(encoder, space.digest, right, len(test))


def open_space(path: str | os.PathLike[str]) -> FeatureSpace:
    """A feature space of what is on disk: a run, a model or an encoder of ours, or a model of the transformers library.

    Raises:
        FileError: It is none of these, or damaged.
    """
    from nlprep.core.published import find_published
    from vision.encoders.image_encoder import ImageEncoder

    directory = Path(path)
    with os_errors_named(directory):
        names = {child.name for child in directory.iterdir()}
    if "preprocessor_config.json" in names:
        return FeatureSpace(ImageEncoder.from_transformers(directory), digest_weights(directory))
    return FeatureSpace(
        ImageEncoder.from_directory(directory), digest_weights(find_published(directory, "model of images"))
    )


def digest_weights(directory: Path) -> str:
    """What tells weights from others: of all ``.safetensors`` files, wherever they lie and whatever stands beside them.

    Raises:
        FileError: There are none, or one cannot be read.
    """
    digest, found = hashlib.sha256(), False
    with os_errors_named(directory):
        for path in sorted(directory.rglob("*.safetensors")):
            found = True
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    if not found:
        raise FileError(directory, "holds no weights (.safetensors): name the directory of a model")
    return digest.hexdigest()[:12]
