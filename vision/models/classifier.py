"""A classifier of images: learned from labels, for the features before its verdict.

Minimised is the cross-entropy of the labels, -log softmax(W f(x) + b)[y], in the mean over images.
In training, images are moved by up to ``shift`` places in either direction, each by its own draw (what comes in at the
edge is the edge's own pixels), and mirrored at random if ``flip`` says so (Krizhevsky et al. 2012, section 4.1);
otherwise they are as they are.

Its **code** of an image is f(x), the ``dimension`` features before the last layer. They are what Inception's are in the
usual FID (Heusel et al. 2017): a space in which images of one kind lie together, but one that was made for the images
at hand, by a recipe that anybody can repeat (`vision.comparison.feature_space`).

Features may be asked to be near by class, too, for fine-tuning an encoder whose codes are to be compared. With
``centre_weight`` w the centre loss is added (Wen et al. 2016, equations 2 and 5), w times half the squared distance of
an image's features from the centre of its class; centres are parameters, which the optimiser moves by the gradient of
that loss, and not by a rule of their own as in the paper. With ``triplet_weight`` w' the triplet loss of the batch's
hardest triplets is added (Hermans et al. 2017, equation 5), of features brought to length 1 (Schroff et al. 2015);
`nlprep.objectives.metric_learning` has both. The latter couples the images of a batch, and is declared so to the loop.

With ``pooled`` the network's last maps are averaged over their places before that, as codes of models of views are:
for fine-tuning these with few labels.

Promised, and tested: the loss is torch's cross-entropy of `classify`; an image that is moved has the pixels of its
neighbours; nothing is moved in evaluation; with weights the loss is the sum of the three, and parts of a batch learn
what the whole does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.core.training.steps.step import PlainStep
from nlprep.objectives.metric_learning import centre, triplet
from vision.backbones.networks import make_backbone
from vision.images.collection import unit_pixels
from vision.models.joint_embedding import PooledBackbone
from vision.models.model import Embedding, ImageModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.steps.step import Step
    from vision.images.collection import Shape
    from vision.models.configuration import ImageClassifierConfig


class ImageClassifier(ImageModel):
    """A classifier.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: How many classes.
        seed: Of its weights.

    Raises:
        OptionError: Fewer than two classes.
    """

    config: ImageClassifierConfig

    def __init__(self, shape: Shape, config: ImageClassifierConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        if num_classes < 2:
            raise OptionError(f"num_classes = {num_classes}: a classifier needs at least two: give images with labels")
        self.shape, self.config, self.dimension, self.num_classes = shape, config, config.dimension, num_classes
        with seeded_torch(seed):
            self.backbone = (
                PooledBackbone(config.backbone, shape) if config.pooled else make_backbone(config.backbone, shape)
            )
            self.to_features = nn.Linear(self.backbone.dimension, config.dimension)
            self.to_logits = nn.Linear(config.dimension, num_classes)
        # Features begin near 0, and so do centres.
        self.centres = nn.Parameter(torch.zeros(num_classes, config.dimension)) if config.centre_weight else None

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The ``loss`` and the ``accuracy``, given ``labels`` (b,), and each part of a loss that has several.

        Raises:
            NlprepError: No labels.
        """
        return self.judge(**self.embed(images, **given))

    def embed(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """What losses are a function of, by image: features, logits, labels and, where there are some, centres."""
        labels = given.get("labels")
        if labels is None:
            raise NlprepError("a classifier learns from labels: give one of each image")
        pixels = unit_pixels(images)
        if self.training:
            pixels = moved(pixels, self.config.shift)
            if self.config.flip:
                pixels = torch.where(
                    torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5, pixels.flip(3), pixels
                )
        features = self._features(pixels)
        found = {"features": features, "logits": self.to_logits(features).float(), "labels": labels}
        return found if self.centres is None else found | {"centres": self.centres[labels]}

    def judge(
        self, features: Tensor, logits: Tensor, labels: Tensor, centres: Tensor | None = None
    ) -> Mapping[str, Tensor]:
        """The losses of what `embed` gave."""
        loss = cross_entropy = functional.cross_entropy(logits, labels)
        found = {"accuracy": (logits.argmax(1) == labels).float().mean()}
        if centres is not None:
            # Each image comes with its own centre, as if it were alone in its class.
            found["centre"] = centre(features, torch.arange(len(features), device=features.device), centres)
            loss = loss + self.config.centre_weight * found["centre"]
        if self.config.triplet_weight:
            unit = functional.normalize(features.float(), dim=1)
            found["triplet"] = triplet(unit, labels, margin=self.config.triplet_margin)
            loss = loss + self.config.triplet_weight * found["triplet"]
        if len(found) > 1:
            found["cross_entropy"] = cross_entropy
        return {"loss": loss} | found

    def step(self) -> Step:
        """One player; an image's loss is its own, unless triplets couple the images of a batch."""
        if self.config.triplet_weight:
            return PlainCoupledStep(Embedding(self, self.embed), self.judge, unit="images")
        return PlainStep(self, unit="images")

    def encode(self, images: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self._features(unit_pixels(images))

    def classify(self, images: Tensor) -> Tensor:
        """Logits (b, num_classes) of images as `forward` takes them."""
        logits: Tensor = self.to_logits(self.encode(images)).float()
        return logits

    def _features(self, pixels: Tensor) -> Tensor:
        return functional.silu(self.to_features(self.backbone(pixels)))


def moved(pixels: Tensor, most: int) -> Tensor:
    """Images moved by up to some places up or down and to either side, with torch's generator.

    Args:
        pixels: (b, channels, height, width).
        most: Places; 0: as they are.

    Returns:
        Of the same shape; beyond an edge there are the edge's pixels.
    """
    if not most:
        return pixels
    count, _, height, width = pixels.shape
    away = torch.randint(-most, most + 1, (2, count, 1), device=pixels.device)
    rows = (torch.arange(height, device=pixels.device) + away[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=pixels.device) + away[1]).clamp(0, width - 1)
    places = torch.arange(count, device=pixels.device)[:, None, None]
    # Channels come last where rows and columns are picked together.
    return pixels.permute(0, 2, 3, 1)[places, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)
