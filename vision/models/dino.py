"""DINO: a student learns to sort views of an image as its teacher sorts other views of it.

Student and teacher are backbone and head; the head says of a view how near it is to each of K prototypes, by cosines
(its last layer's inputs and weights have length 1). The teacher sees two large views g of each image, the student these
and some small ones besides, and for every pair of different views (Caron et al. 2021, "Emerging Properties in
Self-Supervised Vision Transformers", equations 1 to 4, algorithm 1)

    loss = mean_i mean_(g, v != g)  - sum_k q_igk log p_ivk,
    q_ig = softmax((t(g) - c) / 0.04),    p_iv = softmax(s(v) / 0.1).

No gradient goes to the teacher, which follows the student (`vision.models.momentum`). The centre c, by which no
prototype wins everywhere, is itself a moving average of what the teacher says, c <- m c + (1 - m) mean_(i, g) t(g),
after every optimiser step over the whole batch, whatever its parts and processes: so the loop is told that the loss
couples the images. What is recorded besides is the ``balance``, the entropy of the mean of q over log K: 1 where all
prototypes are used alike, 0 where one has everything.

Deviations: small views, of less of the image, are enlarged to its size, since networks take one size; the head has
one hidden layer; the teacher's temperature does not rise and the last layer is never frozen. A code is the teacher's.

Promised, and tested: the loss is that of a loop over pairs of views; the centre and the teacher are the averages that
the formulas say, also in parts of a batch.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear, normalize

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import PlainCoupledStep
from vision.images.collection import unit_pixels
from vision.models.joint_embedding import PooledBackbone, keys_in, make_head
from vision.models.labels import refuse_classes
from vision.models.model import Embedding, ImageModel
from vision.models.momentum import follow, make_target, momentum_at
from vision.views.making import make_views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nlprep.core.training.steps.step import Moment
    from vision.backbones.backbone import Backbone
    from vision.images.collection import Shape
    from vision.models.view_configuration import DinoConfig

_LARGE = 2


class Sorter(nn.Module):
    """A backbone and the head that says how near a view is to each prototype.

    Args:
        shape: Of the images.
        config: The model's settings.
    """

    def __init__(self, shape: Shape, config: DinoConfig) -> None:
        super().__init__()
        self.encoder = PooledBackbone(config.backbone, shape)
        self.head = make_head(self.encoder.dimension, config.hidden, config.outputs, norm=True)
        self.prototypes = nn.Parameter(torch.randn(config.prototypes, config.outputs))

    def forward(self, pixels: Tensor) -> Tensor:
        """Cosines (n, K) of views (n, channels, height, width)."""
        said = self.head(self.encoder(pixels)).float()
        return linear(normalize(said, dim=1), normalize(self.prototypes, dim=1)).float()


class Dino(ImageModel):
    """A student and its teacher.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        student: What is trained.
        teacher: What follows it.
        centre: (K,) the average of what the teacher says.
    """

    config: DinoConfig
    centre: Tensor

    def __init__(self, shape: Shape, config: DinoConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "a model of views")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            self.student = Sorter(shape, config)
        self.teacher = make_target(self.student)
        self.dimension = self.student.encoder.count(shape, config.places)
        self.register_buffer("centre", torch.zeros(config.prototypes))
        self._mean: Tensor | None = None

    @property
    def backbone(self) -> Backbone:
        """The teacher's network, whose maps are averaged to codes."""
        return self.teacher.encoder.backbone

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The losses of `compare`.

        Args:
            images: As `vision.models.model.ImageModel.forward`.
            given: ``keys`` (b,) int64, of which the views are made.
        """
        return self.compare(**self.sort(images, keys_in(given)))

    def sort(self, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """What the ``student`` says of all views, (b, views, K), and the ``teacher`` of the large ones, (b, 2, K)."""
        large = [make_views(images, keys, self.config.views, view=view) for view in range(_LARGE)]
        zoomed = replace(
            self.config.views, least_crop=self.config.least_small_crop, most_crop=self.config.most_small_crop
        )
        small = [
            make_views(images, keys, zoomed, view=view) for view in range(_LARGE, _LARGE + self.config.small_views)
        ]
        count = len(images)
        student = self.student(torch.cat([*large, *small]))
        with torch.no_grad():
            teacher = self.teacher(torch.cat(large))
        return {
            "student": student.view(-1, count, student.shape[1]).transpose(0, 1),
            "teacher": teacher.view(-1, count, teacher.shape[1]).transpose(0, 1),
        }

    def compare(self, student: Tensor, teacher: Tensor) -> Mapping[str, Tensor]:
        """The ``loss``, in nats, and the ``balance`` of a whole batch, of what `sort` gives."""
        teacher = teacher.detach()
        if self.training:
            self._mean = teacher.mean((0, 1))
        wanted = torch.softmax((teacher - self.centre) / self.config.teacher_temperature, 2)
        logs = torch.log_softmax(student / self.config.student_temperature, 2)
        losses = -torch.einsum("bgk,bvk->gv", wanted, logs) / len(student)
        different = ~torch.eye(*losses.shape, dtype=torch.bool, device=losses.device)
        shares = wanted.mean((0, 1))
        entropy = -(shares * shares.clamp(min=1e-30).log()).sum()
        return {"loss": losses[different].mean(), "balance": entropy / math.log(len(shares))}

    def step(self) -> DinoStep:
        """One player, whose teacher and centre follow."""
        return DinoStep(self)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the teacher's features of the images as they are, before the head."""
        codes: Tensor = self.teacher.encoder(unit_pixels(images), self.config.places)
        return codes

    @torch.no_grad()
    def follow(self, moment: Moment) -> None:
        """Let teacher and centre follow, after an optimiser step."""
        follow(self.teacher, self.student, momentum_at(moment, self.config.momentum))
        if self._mean is not None:
            self.centre.lerp_(self._mean, 1 - self.config.centre_momentum)


class DinoStep(PlainCoupledStep):
    """How it is trained.

    Args:
        model: The model.
    """

    def __init__(self, model: Dino) -> None:
        super().__init__(Embedding(model, model.sort), model.compare, unit="images")
        self.model = model

    def after_update(self, player: str, *, moment: Moment) -> None:  # noqa: ARG002 - there is one
        """Teacher and centre follow."""
        self.model.follow(moment)
