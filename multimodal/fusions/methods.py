"""All fusions by name: options, contract tests and models are derived from it.

Nothing heavy is loaded to know the names; a fusion's module is, when it is made.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from multimodal.fusions.configuration import GRID_KINDS, FusionConfig
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from multimodal.fusions.fusion import Fusion


@dataclass(frozen=True)
class Method:
    """A fusion by name.

    Attributes:
        home: The module that defines it.
        fusion: The name of its class there.
        additive: Whether what the text says of the answer cannot depend on the image, for a linear layer above it.
    """

    home: str
    fusion: str
    additive: bool = False

    def load(self) -> type[Fusion]:
        """The class: ``load()(text_dimension, image_dimension, config, seed=1)`` makes a fusion."""
        return cast("type[Fusion]", getattr(importlib.import_module(self.home), self.fusion))


FUSIONS: dict[str, Method] = {
    "concatenation": Method("multimodal.fusions.additive", "Concatenation", additive=True),
    "mlp": Method("multimodal.fusions.additive", "Mlp"),
    "sum": Method("multimodal.fusions.additive", "Sum", additive=True),
    "product": Method("multimodal.fusions.bilinear", "Product"),
    "bilinear": Method("multimodal.fusions.bilinear", "Bilinear"),
    "compact-bilinear": Method("multimodal.fusions.compact_bilinear", "CompactBilinear"),
    "tensor": Method("multimodal.fusions.tensor", "TensorFusion"),
    "low-rank-tensor": Method("multimodal.fusions.tensor", "LowRankTensorFusion"),
    "mlb": Method("multimodal.fusions.bilinear", "Mlb"),
    "mutan": Method("multimodal.fusions.mutan", "Mutan"),
    "mfb": Method("multimodal.fusions.bilinear", "Mfb"),
    "grid-product": Method("multimodal.fusions.grid_product", "GridProduct"),
    "attention": Method("multimodal.fusions.attention", "Attention"),
    "film": Method("multimodal.fusions.film", "Film"),
    "cross-attention": Method("multimodal.fusions.cross_attention", "CrossAttention"),
}
"""By the name that users give; those of `multimodal.fusions.configuration.KINDS`."""


def find_fusion(name: str) -> Method:
    """The fusion of a name.

    Raises:
        OptionError: There is none; says which there are.
    """
    if name not in FUSIONS:
        raise OptionError(f"fusion {name!r}: choose from {', '.join(FUSIONS)}")
    return FUSIONS[name]


def takes_grids(name: str) -> bool:
    """Whether the fusion of a name takes images as grids (b, h, w, di), not as vectors (b, di)."""
    find_fusion(name)
    return name in GRID_KINDS


def make_fusion(
    text_dimension: int, image_dimension: int, config: FusionConfig | str = "attention", *, seed: int = 1
) -> Fusion:
    """A fusion, its weights and hashes a function of the seed.

    Args:
        text_dimension: dt, numbers in a text's features.
        image_dimension: di, numbers in an image's, or at each place of its grid.
        config: Its settings, or the name of one with the sizes that it has by default.
        seed: Of its weights.

    Raises:
        OptionError: No such fusion, or a dimension below 1.

    Example:
        >>> import torch
        >>> fusion = make_fusion(3, 4, "product")
        >>> fusion(torch.ones(2, 3), torch.ones(2, 4)).shape
        torch.Size([2, 512])
    """
    if isinstance(config, str):
        find_fusion(config)
        config = FusionConfig(kind=config)
    kind: Any = find_fusion(config.kind).load()
    fusion: Fusion = kind(text_dimension, image_dimension, config, seed=seed)
    return fusion
