"""The settings of what models of images are used for."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """How strong an attack on a classifier is."""

    epsilon: float = option(0.1, "how far a pixel may go, from black to white being 1", above=0, maximum=1)
    steps: int = option(40, "steps of projected gradient descent", minimum=1)
    step_size: float | None = option(
        None, "size of a step; none: 2.5 epsilon / steps, by which every corner of the box is reached", above=0
    )
    restarts: int = option(1, "random places to begin at, besides the image itself", minimum=0)
    seed: int = option(1, "seed of these places", minimum=0)

    def __post_init__(self) -> None:
        check(self)

    @property
    def chosen_step(self) -> float:
        """The size of a step."""
        return 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size
