"""A hierarchical variational autoencoder: codes in groups, from what is large in an image to what is fine.

Latent variables come in L groups, the first a vector that sees the whole image, each further one some numbers at every
patch of it, and a ladder goes down from group to group (Sonderby et al. 2016, "Ladder Variational Autoencoders"):

    p(x, z) = p(x | z) prod_l p(z_l | z_<l),   p(z_l | z_<l) = N(m_l, s_l^2),
    q(z | x) = prod_l q(z_l | z_<l, x),        q(z_l | z_<l, x) = N(m_l + s_l a_l, (s_l b_l)^2).

m_l and s_l are functions of the groups above, p(z_1) = N(0, I), and a_l and b_l are functions of the groups above and
of the image's features: what q says is relative to what p says, as in Vahdat and Kautz 2020, "NVAE", section 3.2 (there
the mean's distance is not in units of s_l). Both share the way down. Minimised is, as for one group,

    1/n sum_i  -log p(x_i | z_i) + beta sum_l KL(q(z_l | z_<l, x_i) || p(z_l | z_<l)),     z_i ~ q(z | x_i),

with each divergence in closed form given the groups drawn above it: sums over numbers, means over images, in nats.

A **code** is not z but u, u_l = (z_l - m_l) / s_l, which says the same: its prior is N(0, I) in all `dimension`
numbers, its posterior N(a_l, b_l^2) group by group, and the divergences are the same numbers, as they do not change
with units. So whatever is done with a variational autoencoder's codes (drawing, ways between them, importance sampling)
is done with these. Of an image, they are the posterior's means, each group's given the means above it.

Networks are over patches (`vision.backbones.patch`). Posteriors of further groups begin at a = 0, b = 1, so that a
deep ladder begins as one group.

Promised, and tested: with one group it is `vision.models.vae.Vae`, to the bit; the divergences are torch.distributions'
of z; the bound is below the importance sampled likelihood, whose figure does not depend on how it is batched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from nlprep.core.randomness import seeded_torch
from vision.backbones.backbone import Decoder
from vision.backbones.layers import make_activation
from vision.backbones.patch import PatchBackbone, PatchDecoder
from vision.backbones.residual import ResidualBlock
from vision.models.labels import refuse_classes
from vision.models.likelihoods import make_likelihood
from vision.models.model import ImageModel
from vision.models.priors import NormalPrior
from vision.models.vae import LARGEST_LOG_SCALE, Vae

if TYPE_CHECKING:
    from vision.backbones.configuration import BackboneConfig
    from vision.images.collection import Shape
    from vision.models.configuration import HierarchicalVaeConfig

_LARGEST_LOG_UNIT = 3.0
"""What the logarithm of s stays below, so that no group's unit can run away."""


class Rung(nn.Module):
    """A group of codes at every patch: what p says of it, what q does, and what it adds to the maps on the way down.

    Args:
        numbers: At each patch.
        backbone: Width, norm and activation.
    """

    def __init__(self, numbers: int, backbone: BackboneConfig) -> None:
        super().__init__()
        width, _ = backbone.sizes()
        self.above = ResidualBlock(width, norm=backbone.norm, activation=backbone.activation)
        self.to_prior = nn.Conv2d(width, 2 * numbers, 1)
        last = nn.Conv2d(width, 2 * numbers, 1)
        self.to_posterior = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            make_activation(backbone.activation),
            last,
        )
        self.add = nn.Conv2d(numbers, width, 1)
        for part in (*self.to_prior.parameters(), *last.parameters()):
            nn.init.zeros_(part)

    def prior(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean m and the logarithm of s, each (b, numbers, rows, columns) float32, of the maps of the groups above."""
        mean, raw = self.to_prior(context).float().chunk(2, 1)
        return mean, _LARGEST_LOG_UNIT * torch.tanh(raw / _LARGEST_LOG_UNIT)

    def posterior(self, context: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean a and the logarithm of b, likewise, of these maps and the image's."""
        mean, log_scale = self.to_posterior(torch.cat([context, features], 1)).float().chunk(2, 1)
        return mean, log_scale.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)

    def descend(self, context: Tensor, codes: Tensor) -> Tensor:
        """The maps below, given a group's codes (b, numbers, rows, columns)."""
        mean, log_unit = self.prior(context)
        below: Tensor = context + self.add(mean + log_unit.exp() * codes)
        return below


class LadderDecoder(Decoder):
    """Codes of all groups to numbers of pixels, from the first group to the last.

    Args:
        shape: Of what it makes.
        config: The model's settings.
    """

    def __init__(self, shape: Shape, config: HierarchicalVaeConfig) -> None:
        super().__init__()
        backbone = config.backbone
        self.shape, self.first_numbers = shape, config.dimension
        width, _ = backbone.sizes()
        self.patches = PatchDecoder(
            shape, config.dimension, patch=backbone.patch, width=width, blocks=backbone.blocks, norm=backbone.norm,
            activation=backbone.activation, overlap=backbone.overlap,
        )  # fmt: skip
        self.group = (config.numbers, *self.patches.maps[1:])
        self.rungs = nn.ModuleList(Rung(config.numbers, backbone) for _ in range(config.groups - 1))
        self.dimension = config.dimension + len(self.rungs) * config.numbers * self.group[1] * self.group[2]

    def split(self, codes: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The first group (b, its numbers), and the further ones, each (b, numbers, rows, columns)."""
        first, rest = codes[:, : self.first_numbers], codes[:, self.first_numbers :]
        return first, [part.view(-1, *self.group) for part in rest.chunk(max(1, len(self.rungs)), 1) if self.rungs]

    def ladder(self) -> list[Rung]:
        """The further groups, from the upper to the lower."""
        return cast("list[Rung]", list(self.rungs))

    def begin(self, first: Tensor) -> Tensor:
        """Maps of the first group."""
        maps: Tensor = self.patches.first(first).view(-1, *self.patches.maps)
        return maps

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers (b, channels, height, width) of codes (b, dimension)."""
        first, groups = self.split(codes)
        maps = self.begin(first)
        for rung, group in zip(self.ladder(), groups, strict=True):
            maps = rung.descend(rung.above(maps), group)
        made: Tensor = self.patches.layers(maps)
        return made[..., : self.shape[1], : self.shape[2]]


class HierarchicalVae(Vae):
    """A variational autoencoder with groups of codes.

    Attributes:
        dimension: Numbers in a code, of all groups together.

    Args:
        shape: Of the images.
        config: Its settings.
        num_classes: 0: it is conditioned on nothing.
        seed: Of its weights.

    Raises:
        OptionError: Classes, or a patch larger than the images.
    """

    config: HierarchicalVaeConfig  # type: ignore[assignment]

    def __init__(self, shape: Shape, config: HierarchicalVaeConfig, *, num_classes: int = 0, seed: int = 1) -> None:
        refuse_classes(num_classes, "a hierarchical VAE")
        ImageModel.__init__(self)
        config = replace(config, likelihood=config.likelihood.settled(shape[0]))
        backbone = config.backbone
        width, _ = backbone.sizes()
        self.shape, self.config, self.num_classes = shape, config, 0
        self.likelihood = make_likelihood(config.likelihood)
        with seeded_torch(seed):
            self.backbone = PatchBackbone(
                shape, patch=backbone.patch, width=width, blocks=backbone.blocks, norm=backbone.norm,
                activation=backbone.activation,
            )  # fmt: skip
            self.to_posterior = nn.Linear(self.backbone.dimension, 2 * config.dimension)
            self.decoder = LadderDecoder((self.likelihood.multiple * shape[0], *shape[1:]), config)
        self.dimension = self.decoder.dimension
        self.prior = NormalPrior(self.dimension)

    def draw(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes drawn from q, and the means and scales that they were drawn with, group by group.

        Args:
            pixels: As `vision.models.vae.Vae.draw`.
            noise: Likewise.
        """
        assert isinstance(self.decoder, LadderDecoder)  # noqa: S101 - what the constructor made
        features = self.backbone.forward_maps(pixels)
        assert features is not None  # noqa: S101 - a patch network has maps
        mean, log_scale = self.to_posterior(features.flatten(1)).float().chunk(2, -1)
        log_scale = log_scale.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
        leading, flat = noise.shape[:-1], noise.flatten(0, -2)
        # Noise of further axes is of the same images again and again.
        times = len(flat) // max(1, len(features))
        if times > 1:
            mean, log_scale = mean.repeat(times, 1), log_scale.repeat(times, 1)
            features = features.repeat(times, 1, 1, 1)
        first, groups = self.decoder.split(flat)
        means, log_scales, codes = [mean], [log_scale], [mean + log_scale.exp() * first]
        maps = self.decoder.begin(codes[0])
        for rung, drawn in zip(self.decoder.ladder(), groups, strict=True):
            context = rung.above(maps)
            mean, log_scale = rung.posterior(context, features)
            code = mean + log_scale.exp() * drawn
            maps = rung.descend(context, code)
            for parts, part in ((means, mean), (log_scales, log_scale), (codes, code)):
                parts.append(part.flatten(1))
        whole = [torch.cat(parts, 1).view(*leading, self.dimension) for parts in (codes, means, log_scales)]
        return whole[0], whole[1], whole[2]

    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and the logarithms of standard deviations, each (b, dimension), each group's given the means above."""
        noise = torch.zeros(len(pixels), self.dimension, device=pixels.device)
        return self.draw(pixels, noise)[1:]
