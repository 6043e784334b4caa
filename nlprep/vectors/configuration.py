"""The settings of maps and of the normalisation before them."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

SIDES = ("none", "source", "target")


@dataclass(frozen=True, kw_only=True)
class WhiteningConfig:
    """The steps of the family; the defaults are the member of VecMap's supervised mode."""

    whiten: bool = option(True, "give the directions of each side equal variance first")
    source_power: float = option(0.5, "power of the correlations that re-weights the source", minimum=0)
    target_power: float = option(0.5, "power of the correlations that re-weights the target", minimum=0)
    source_dewhiten: str = option("source", "whose variances the source gets back", choices=SIDES)
    target_dewhiten: str = option("target", "whose variances the target gets back", choices=SIDES)
    dewhitening: float = option(1.0, "share of the variances given back, as a power", minimum=0)
    ridge: float = option(0.0, "added to the variances, in units of their mean", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        if not self.whiten and (self.source_dewhiten, self.target_dewhiten) != ("none", "none"):
            raise OptionError("de-whitening without whitening: set source_dewhiten and target_dewhiten to none")


ITERATIONS = 5
"""Rounds of iterative normalisation, as in Zhang et al. 2019, who find them enough to converge."""


def parse_steps(text: str) -> tuple[str, ...]:
    """Turn ``unit,center,unit`` into its steps.

    ``iterative`` stands for five rounds of ``unit,center``, closed by ``unit`` (Zhang et al. 2019, "Are Girls
    Neko or Shōjo?", section 3, which stops on either); ``none`` for no step.

    Raises:
        OptionError: A step of another name.

    >>> parse_steps("unit, center, unit")
    ('unit', 'center', 'unit')
    """
    steps: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name == "iterative":
            steps += ["unit", "center"] * ITERATIONS + ["unit"]
        elif name in ("unit", "center"):
            steps.append(name)
        elif name != "none":
            raise OptionError(f"normalization step {name!r}: choose from unit, center, iterative, none")
    return tuple(steps)
