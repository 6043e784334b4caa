"""The settings of a density of tables."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option

VECTOR_FLOWS = ("nice", "realnvp", "spline", "maf", "spline-maf", "iaf", "residual", "continuous")
"""The names of flows of vectors."""

COUPLINGS = ("nice", "realnvp", "spline")
"""Those that change some numbers by others, of which there must be two at least."""


@dataclass(frozen=True, kw_only=True)
class TableFlowConfig:
    """Which flow is learned of the rows of a table."""

    kind: str = option("spline", "which flow: see `vision.flows.vectors.make_vector_flow`", choices=VECTOR_FLOWS)
    layers: int = option(5, "transforms, one after another", minimum=1)
    width: int = option(64, "units in the layers of networks", minimum=1)
    depth: int = option(2, "layers of networks before the last", minimum=1)

    def __post_init__(self) -> None:
        check(self)
