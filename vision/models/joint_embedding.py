"""What models that compare two views of each image have in common.

Each image has two views (`vision.views.making.make_views`), made of it by its own key. A backbone f makes features of
both, a head g, a perceptron of one hidden layer, turns these into what is compared, and a loss looks at all pairs of
a batch. After training the head has done its work: a **code** is f(x) of the image itself, whose last maps are averaged
over their places, as in Chen et al. (2020, section 2), where the network has maps. With ``places`` of two, they are
averaged over each quarter of the image, and a code has four times as many numbers, as Coates, Lee and Ng (2011) pool
theirs; what is compared in training is of the whole average all the same.

Both views go through the network in one call: batch norm, which no network here has unless it is asked for, takes its
statistics of both together. The loss couples the images of a batch, and is declared so to the loop: parts of a batch
and several processes have the loss and the gradient of the whole (`nlprep.core.training.steps.coupled`), with the same
views, since these belong to the images.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.core.training.steps.lars import make_lars
from nlprep.core.training.steps.step import make_adamw
from nlprep.evaluation.encoder import evaluation_mode
from vision.backbones.networks import make_backbone
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel
from vision.views.making import make_views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.configuration import TrainingConfig
    from vision.backbones.backbone import Backbone
    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Shape
    from vision.models.view_configuration import JointEmbeddingConfig
    from vision.views.configuration import ViewConfig


class PooledBackbone(nn.Module):
    """A backbone whose last maps are averaged over their places.

    Args:
        config: Which network.
        shape: Of the images.

    Attributes:
        backbone: The network.
        dimension: Channels of its last maps, or its own features where it has no maps.
    """

    def __init__(self, config: BackboneConfig, shape: Shape) -> None:
        super().__init__()
        self.backbone: Backbone = make_backbone(config, shape)
        self.dimension = self.count(shape, 1)

    def forward(self, pixels: Tensor, places: int = 1) -> Tensor:
        """Features of pixels (b, channels, height, width) in [0, 1].

        Args:
            pixels: Of images.
            places: Parts from top to bottom, and from left to right, whose averages stand beside each other: (b,
                dimension times the square of it). A network without maps has (b, dimension) whatever it is, and one
                with fewer places as many as it has.
        """
        maps = self.backbone.forward_maps(pixels)
        if maps is None:
            found: Tensor = self.backbone(pixels)
            return found
        if places == 1:
            return maps.mean((2, 3))
        return functional.adaptive_avg_pool2d(maps, (min(places, maps.shape[2]), min(places, maps.shape[3]))).flatten(1)

    @torch.no_grad()
    def count(self, shape: Shape, places: int) -> int:
        """Numbers of an image of this shape, with so many places."""
        with evaluation_mode(self):
            features: Tensor = self(torch.zeros(1, *shape), places)
        return features.shape[1]


class TwoViews(nn.Module):
    """The network and the head: two views of images to what is compared.

    Args:
        config: The network's.
        shape: Of the images.
        views: How they differ.
        hidden: Units of the head's hidden layer.
        outputs: Numbers that are compared.
        norm: Whether the head normalises its hidden layer.
    """

    def __init__(
        self, config: BackboneConfig, shape: Shape, views: ViewConfig, *, hidden: int, outputs: int, norm: bool = False
    ) -> None:
        super().__init__()
        self.views = views
        self.encoder = PooledBackbone(config, shape)
        self.head = make_head(self.encoder.dimension, hidden, outputs, norm=norm)

    def forward(self, images: Tensor, keys: Tensor) -> Mapping[str, Tensor]:
        """``first`` and ``second``, (b, outputs) each, of images and their keys (b,)."""
        first, second = self.project(self.make(images, keys)).chunk(2)
        return {"first": first, "second": second}

    def make(self, images: Tensor, keys: Tensor) -> Tensor:
        """Both views of all images, (2b, channels, height, width), the first ones first."""
        return torch.cat([make_views(images, keys, self.views, view=view) for view in (0, 1)])

    def project(self, pixels: Tensor) -> Tensor:
        """What is compared, (n, outputs) of views (n, channels, height, width)."""
        projected: Tensor = self.head(self.encoder(pixels))
        return projected


def make_head(inputs: int, hidden: int, outputs: int, *, norm: bool) -> nn.Sequential:
    """A perceptron of one hidden layer.

    Args:
        inputs: Numbers that it is given.
        hidden: Units.
        outputs: Numbers that it makes.
        norm: Whether the hidden layer of each example is normalised.
    """
    middle: list[nn.Module] = [nn.LayerNorm(hidden)] if norm else []
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.ReLU(), nn.Linear(hidden, outputs))


class TwoViewModel(ImageModel):
    """A model that learns from two views of each image.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.
    """

    head_norm = False
    """Whether the head normalises its hidden layer."""

    def __init__(self, shape: Shape, config: JointEmbeddingConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a model of views")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            self.network = TwoViews(
                config.backbone, shape, config.views, hidden=config.hidden, outputs=config.outputs, norm=self.head_norm
            )  # fmt: skip
        self.dimension = self.network.encoder.count(shape, config.places)

    @property
    def backbone(self) -> Backbone:
        """The network, whose maps are averaged to codes."""
        return self.network.encoder.backbone

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): features of the images as they are, before the head."""
        codes: Tensor = self.network.encoder(unit_pixels(images), self.config.places)
        return codes


class JointEmbedding(TwoViewModel):
    """A model that compares two views of each image, by a loss of the whole batch."""

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Mapping[str, Tensor]:
        """The losses of all pairs of a batch, (b, outputs) each."""

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The losses of `compare`.

        Args:
            images: As `vision.models.model.ImageModel.forward`.
            given: ``keys`` (b,) int64, of which the views are made (`vision.images.collection.ImageExamples`).
        """
        return self.compare(**self.network(images, keys_in(given)))

    def step(self) -> JointEmbeddingStep:
        """One player, whose loss couples the images of a batch."""
        return JointEmbeddingStep(self)


class JointEmbeddingStep(PlainCoupledStep):
    """How such a model is trained.

    Args:
        model: The model.
    """

    def __init__(self, model: JointEmbedding) -> None:
        super().__init__(model.network, model.compare, unit="images")
        self.model = model

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:
        """AdamW, or LARS where the model's settings say so."""
        return make_view_optimizer(self.model.config.optimizer, self.players[player], config)


def make_view_optimizer(name: str, module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of a name in `vision.models.view_configuration.JointEmbeddingConfig`.

    Args:
        name: ``adamw`` or ``lars``.
        module: What is trained.
        config: The loop's settings.
    """
    return (make_lars if name == "lars" else make_adamw)(module, config)


def keys_in(given: Mapping[str, Tensor]) -> Tensor:
    """The keys in a batch.

    Raises:
        NlprepError: There are none.
    """
    if "keys" not in given:
        raise NlprepError("views of an image are made by its key: give keys (b,), as ImageExamples does with keys=True")
    return given["keys"]
