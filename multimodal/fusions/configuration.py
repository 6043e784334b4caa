"""The settings of fusions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

VECTOR_KINDS = (
    "concatenation", "mlp", "sum", "product", "bilinear", "compact-bilinear", "tensor", "low-rank-tensor", "mlb",
    "mutan", "mfb",
)  # fmt: skip
"""Of two vectors, (b, dt) and (b, di)."""
GRID_KINDS = ("grid-product", "attention", "film", "cross-attention")
"""Of a vector and a grid of vectors, (b, dt) and (b, h, w, di)."""
KINDS = (*VECTOR_KINDS, *GRID_KINDS)

# What is left out, by kind. Compact bilinear's dimension has no prime factor above 5, as is quick to transform.
_DEFAULTS: dict[str, dict[str, int]] = {
    "mlp": {"dimension": 512, "width": 512, "depth": 1},
    "sum": {"dimension": 512},
    "product": {"dimension": 512},
    "bilinear": {"dimension": 128},
    "compact-bilinear": {"dimension": 8000},
    "tensor": {"dimension": 512, "width": 64},
    "low-rank-tensor": {"dimension": 512, "rank": 4},
    "mlb": {"dimension": 512, "width": 512},
    "mutan": {"dimension": 512, "width": 256, "rank": 5},
    "mfb": {"dimension": 512, "rank": 5},
    "grid-product": {"dimension": 512, "width": 256},
    "attention": {"width": 256, "glimpses": 2},
    "film": {"dimension": 512, "width": 128, "depth": 2},
    "cross-attention": {"dimension": 512, "width": 128, "depth": 3, "glimpses": 4},
}


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Which fusion, and how large it is; a size that is left out follows from the kind."""

    kind: str = option("attention", "what makes one vector of a text's features and an image's", choices=KINDS)
    dimension: int | None = option(
        None, "numbers in what is fused (512; compact-bilinear 8000, bilinear 128); concatenation has those of both "
        "sides", minimum=1, counts_for=("kind", tuple(kind for kind in KINDS if kind != "concatenation")),
    )  # fmt: skip
    width: int | None = option(
        None, "hidden units of an mlp (512), of mlb (512) and mutan (256); numbers that a tensor keeps of each side "
        "(64); units at a place of a grid (256; film and cross-attention 128)", minimum=1,
        counts_for=("kind", ("mlp", "tensor", "mlb", "mutan", *GRID_KINDS)),
    )  # fmt: skip
    depth: int | None = option(
        None, "hidden layers of an mlp (1), blocks of film (2), steps of cross-attention (3)", minimum=1,
        counts_for=("kind", ("mlp", "film", "cross-attention", "attention")),
    )  # fmt: skip
    rank: int | None = option(
        None, "products that are added for each number: of low-rank-tensor (4), mutan (5) and mfb (5)", minimum=1,
        counts_for=("kind", ("low-rank-tensor", "mutan", "mfb", "attention")),
    )  # fmt: skip
    glimpses: int | None = option(
        None, "maps of attention (2), or vectors in which cross-attention reads (4)", minimum=1,
        counts_for=("kind", ("attention", "cross-attention")),
    )  # fmt: skip
    then: str = option(
        "mlp", "what fuses the text and what attention found", choices=VECTOR_KINDS,
        counts_for=("kind", ("attention",)),
    )  # fmt: skip
    heads: int = option(
        4, "of cross-attention; they divide its width", minimum=1, counts_for=("kind", ("cross-attention",))
    )
    pooling: str = option(
        "max", "what becomes of the places of a grid: the largest number of each unit, or their mean",
        choices=("max", "mean"), counts_for=("kind", ("grid-product", "film")),
    )  # fmt: skip
    normalized: bool = option(
        True, "signed square roots, and rows of length 1, of compact-bilinear and mfb",
        counts_for=("kind", ("compact-bilinear", "mfb", "attention")),
    )  # fmt: skip
    dropout: float = option(0.0, "share of the fused numbers that are hidden in training", minimum=0, maximum=0.95)

    def __post_init__(self) -> None:
        check(self)
        if self.kind == "cross-attention" and self.settled().size("width") % self.heads:
            raise OptionError(f"heads = {self.heads}: must divide the width, {self.settled().width}")

    def settled(self) -> FusionConfig:
        """The same with every size that its kind has."""
        missing: dict[str, Any] = {
            name: value for name, value in _DEFAULTS.get(self.kind, {}).items() if getattr(self, name) is None
        }
        return replace(self, **missing) if missing else self

    def size(self, name: str) -> int:
        """A size that its kind has, as given or by default.

        Raises:
            OptionError: The kind has no such size.
        """
        value = getattr(self, name)
        value = _DEFAULTS.get(self.kind, {}).get(name) if value is None else value
        if value is None:
            raise OptionError(f"{name}: a fusion of the kind {self.kind!r} has none")
        return int(value)

    def after_attention(self) -> FusionConfig:
        """The settings of the fusion that follows an attention; sizes that are not given are that kind's own."""
        return replace(self, kind=self.then, glimpses=None)
