"""BYOL: what another, slower network says of one view is predicted from the other view.

The online network, backbone and head, and a predictor q on top of it see one view; the target, a copy of backbone and
head that follows them (`vision.models.momentum`), sees the other. With predictions p = q(g(f(v))) and targets
t = g'(f'(v)) of the views v_1 and v_2 of each of n images (Grill et al. 2020, "Bootstrap your own latent: A new
approach to self-supervised learning", equation 2, both ways),

    loss = 1/n sum_i  |p_1 / |p_1| - t_2 / |t_2||^2 + |p_2 / |p_2| - t_1 / |t_1||^2  =  1/n sum_i 4 - 2 cos - 2 cos.

No gradient goes to the target. Nothing is pushed apart, and a network that says the same of every image would have a
loss of 0: that this is not what is learned is due to the predictor and to the target's slowness. So ``spread`` is
recorded besides: the standard deviation over the batch of the numbers of t / |t|, times sqrt(d): 1 where targets lie
evenly on the sphere, 0 where they are all the same.

Deviations: heads normalise their hidden layers by layers, not by batches (Richemond et al. 2020, "BYOL works even
without batch statistics"), so that an image's loss is its own and parts of a batch are what they are in the whole; the
momentum begins at 0.99, as in the paper's shorter runs.

Promised, and tested: the loss is that of a loop over images; the target has no gradient and is the average of the
online network that the formula says; runs that go on, parts of a batch and several processes have the same target;
codes do not collapse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cosine_similarity, normalize

from nlprep.core.randomness import combine, seeded_torch
from vision.models.joint_embedding import TwoViewModel, keys_in, make_head, make_view_optimizer
from vision.models.momentum import MomentumStep, make_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nlprep.core.training.configuration import TrainingConfig
    from vision.images.collection import Shape
    from vision.models.view_configuration import ByolConfig

_PREDICTOR = 1


class Byol(TwoViewModel):
    """A model that predicts a slower copy of itself.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        network: The online network: views, backbone and head.
        predictor: What is on top of it.
        target: What follows it.
    """

    config: ByolConfig
    head_norm = True

    def __init__(self, shape: Shape, config: ByolConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__(shape, config, num_classes=num_classes, seed=seed)
        with seeded_torch(int(combine(seed, _PREDICTOR))):
            self.predictor = make_head(config.outputs, config.hidden, config.outputs, norm=True)
        self.target = make_target(self.network)

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """The ``loss`` and the ``spread`` of the targets.

        Args:
            images: As `vision.models.model.ImageModel.forward`.
            given: ``keys`` (b,) int64, of which the views are made.
        """
        views = self.network.make(images, keys_in(given))
        first, second = self.predictor(self.network.project(views)).float().chunk(2)
        with torch.no_grad():
            targets = self.target.project(views).float()
            units = normalize(targets, dim=1)
            spread = units.std(0, unbiased=False).mean() * units.shape[1] ** 0.5
        one, other = targets.chunk(2)
        loss = 4 - 2 * cosine_similarity(first, other) - 2 * cosine_similarity(second, one)
        return {"loss": loss.mean(), "spread": spread}

    def step(self) -> ByolStep:
        """One player, in which the target follows."""
        return ByolStep(self)


class ByolStep(MomentumStep):
    """How it is trained.

    Args:
        model: The model.
    """

    def __init__(self, model: Byol) -> None:
        super().__init__(model, [(model.target, model.network)], momentum=model.config.momentum)
        self.model = model

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:
        """AdamW, or LARS where the model's settings say so."""
        return make_view_optimizer(self.model.config.optimizer, self.players[player], config)
