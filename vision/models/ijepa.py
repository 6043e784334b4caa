"""I-JEPA: of some patches of an image, what a slower network says of the others is predicted.

A vision transformer, the context encoder, sees some patches; the target encoder, which follows it
(`vision.models.momentum`), sees all. A small transformer, the predictor, is given the codes of the context and, at the
places of a block of other patches, a learned token with its place, and says what the target's codes y of these patches
are (Assran et al. 2023, "Self-Supervised Learning from Images with a Joint-Embedding Predictive Architecture", section
3). With M blocks B_im of an image and predictions p,

    loss = 1/n sum_i 1/M sum_m sum_(j in B_im) |p_imj - y_ij|^2,

where the numbers of each y are brought to mean 0 and variance 1, as in the paper's code. Pixels are nowhere predicted.

Blocks lie at places drawn anew for each image in every step. The context of an image are as many patches as are sure
to be left, drawn from those in no block of it, so that every image has as many, whatever the others have. Deviations:
blocks have the image's proportions and one size, where the paper draws both; places are learned; features are
the mean of the tokens. ``spread`` is recorded besides: the standard deviation over images of the mean token, before it
is normalised, over its root mean square. It is 0 where all images have one code. A code is the target encoder's.

Promised, and tested: the loss is that of a loop over blocks and patches; what is in no context patch does not change
predictions; blocks and context never meet; no gradient goes to the target, which follows as the formula says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from nlprep.core.randomness import seeded_torch
from vision.backbones.networks import make_backbone
from vision.backbones.vit import TransformerBlock, VisionTransformer
from vision.images.collection import unit_pixels
from vision.models.labels import refuse_classes
from vision.models.model import ImageModel
from vision.models.momentum import MomentumStep, make_target
from vision.models.pretext import seeded_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vision.images.collection import Shape
    from vision.models.pretext_configuration import IJepaConfig

_DEVIATION = 0.02


class IJepa(ImageModel):
    """A joint-embedding predictive model.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: Must be 0: it sees no labels.
        seed: Of its weights.

    Attributes:
        context: The encoder that is trained.
        target: What follows it.
        block: Height and width of a block, in patches.
        visible: Patches of a context.

    Raises:
        OptionError: Blocks that leave no patch for a context.
    """

    config: IJepaConfig

    def __init__(self, shape: Shape, config: IJepaConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        super().__init__()
        refuse_classes(num_classes, "an I-JEPA")
        self.shape, self.config, self.num_classes = shape, config, num_classes
        with seeded_torch(seed):
            context = make_backbone(config.backbone, shape)
        if not isinstance(context, VisionTransformer):
            raise OptionError("the backbone of an I-JEPA must be a vit")
        self.context, self.target = context, make_target(context)
        self.dimension = context.dimension
        self.block, self.visible = self._sizes(context)
        if self.visible < 1:
            raise OptionError(
                f"blocks = {config.blocks} of {self.block[0]} x {self.block[1]} patches: of {context.tokens} patches "
                "none may be left: take fewer or smaller blocks, or smaller patches"
            )
        width = config.predictor_width
        with seeded_head(seed):
            self.to_predictor = nn.Linear(self.dimension, width)
            self.unseen = nn.Parameter(_DEVIATION * torch.randn(1, 1, width))
            self.places = nn.Parameter(_DEVIATION * torch.randn(1, context.tokens, width))
            self.predictor = nn.Sequential(
                *(TransformerBlock(width, config.predictor_heads) for _ in range(config.predictor_depth)),
                nn.LayerNorm(width),
                nn.Linear(width, self.dimension),
            )

    def _sizes(self, context: VisionTransformer) -> tuple[tuple[int, int], int]:
        """Of a block, and of a context: sides are rounded, and down where less than a quarter would be left."""
        rows, columns = (side * self.config.block**0.5 for side in context.grid)
        block, visible = (1, 1), 0
        for size in (round, math.floor):
            block = (max(1, size(rows)), max(1, size(columns)))
            visible = context.tokens - self.config.blocks * block[0] * block[1]
            if 4 * visible >= context.tokens:
                break
        return block, visible

    @property
    def backbone(self) -> VisionTransformer:
        """The target's network, which makes codes."""
        return self.target

    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002 - sees no labels
        """The ``loss`` and the ``spread``."""
        pixels = unit_pixels(images)
        blocks = self.draw_blocks(len(pixels), pixels.device)
        seen = self.draw_context(blocks)
        with torch.no_grad():
            tokens = self.target.transform(self.target.embed(pixels)).float()
            means = tokens.mean(1)
            spread = means.var(0, unbiased=False).mean().sqrt() / means.square().mean().sqrt().clamp(min=1e-12)
        errors = (self.predict(pixels, seen, blocks) - self.targets(tokens, blocks)).square()
        return {"loss": errors.sum((2, 3)).mean(), "spread": spread}

    def step(self) -> MomentumStep:
        """One player, in which the target follows."""
        return MomentumStep(self, [(self.target, self.context)], momentum=self.config.momentum)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, dimension): the target encoder's features of whole images."""
        codes: Tensor = self.target(unit_pixels(images))
        return codes

    def targets(self, tokens: Tensor, blocks: Tensor) -> Tensor:
        """What is to be predicted, (b, M, patches of a block, dimension), of the target's tokens (b, N, dimension)."""
        normal = functional.layer_norm(tokens, tokens.shape[2:])
        found = normal.gather(1, blocks.flatten(1)[:, :, None].expand(-1, -1, normal.shape[2]))
        return found.view(*blocks.shape, -1)

    def predict(self, pixels: Tensor, seen: Tensor, blocks: Tensor) -> Tensor:
        """What is predicted of each block by itself, (b, M, patches of a block, dimension).

        Args:
            pixels: (b, channels, height, width) in [0, 1].
            seen: (b, visible) the patches of the context.
            blocks: (b, M, patches of a block) those that are asked for.
        """
        tokens = self.context.embed(pixels)
        codes = self.context.transform(tokens.gather(1, seen[:, :, None].expand(-1, -1, tokens.shape[2])))
        count, number, size = blocks.shape
        places = self.places[0]
        known = self.to_predictor(codes) + places[seen]
        asked = (self.unseen + places[blocks.flatten(0, 1)]).to(known.dtype)
        given = torch.cat([known.repeat_interleave(number, 0), asked], 1)
        predicted: Tensor = self.predictor(given)[:, -size:]
        return predicted.float().view(count, number, size, -1)

    def draw_blocks(self, count: int, device: torch.device) -> Tensor:
        """Patches (count, M, patches of a block) of blocks, with torch's generator."""
        rows, columns = self.context.grid
        number = (count, self.config.blocks, 1)
        top = torch.randint(rows - self.block[0] + 1, number, device=device)
        left = torch.randint(columns - self.block[1] + 1, number, device=device)
        inside = torch.arange(self.block[0] * self.block[1], device=device)
        patches: Tensor = (top + inside // self.block[1]) * columns + left + inside % self.block[1]
        return patches

    def draw_context(self, blocks: Tensor) -> Tensor:
        """Patches (b, visible) that are in no block, with torch's generator."""
        order = torch.rand(len(blocks), self.context.tokens, device=blocks.device)
        # Those of blocks come last.
        return order.scatter(1, blocks.flatten(1), 2.0).argsort(1)[:, : self.visible]
