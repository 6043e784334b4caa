"""Whitening, orthogonal mapping, re-weighting, de-whitening (Artetxe, Labaka & Agirre, AAAI 2018).

The paper writes every linear method as these steps, in this order, on the vectors X and Z of the pairs:

1. whiten each side, so that its directions are uncorrelated and of equal variance: X (X^T X / p)^(-1/2);
2. turn both orthogonally into one space: U S V^T = SVD of the sides' cross-covariance, X U and Z V;
3. re-weight each direction by its correlation S to some power;
4. de-whiten, giving directions back the variance they had on one side or the other: in the paper all of it, here
   the variance to a power. Short of one, the few directions of great variance count for less, and so do the hubs
   that lie along them.

Exponents of zero and no whitening leave orthogonal Procrustes; the two sides then meet in a rotated space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.vectors.configuration import WhiteningConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_VARIANCE = 1e-10
"""Directions with a smaller share than this of the greatest variance are rounding, and have none."""


PRESETS = {
    "orthogonal": WhiteningConfig(
        whiten=False, source_power=0, target_power=0, source_dewhiten="none", target_dewhiten="none"
    ),
    "canonical-correlation": WhiteningConfig(
        source_power=0, target_power=0, source_dewhiten="none", target_dewhiten="none"
    ),
    "reweighted": WhiteningConfig(),
    "least-squares": WhiteningConfig(
        source_power=1, target_power=0, source_dewhiten="target", target_dewhiten="target"
    ),
}
"""Published members: Procrustes; Faruqui & Dyer 2014 (all dimensions); VecMap; Mikolov et al. 2013."""


def fit_whitened(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    *,
    weights: NDArray[np.floating] | None = None,
    config: WhiteningConfig | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the maps of both sides into their shared space.

    Args:
        source: (p, d) vectors of the source words of p pairs.
        target: (p, e) vectors of their translations; e may differ from d.
        weights: (p,) weights of the pairs; all one by default.
        config: The steps; `WhiteningConfig` by default.

    Returns:
        A (d, r) and B (e, r), r = min(d, e): rows x and z meet as ``x @ A`` and ``z @ B``. As in the paper
        the variances are those of the pairs, about zero; vectors are centred beforehand.

    Raises:
        OptionError: Sides of different lengths, or fewer independent pairs than dimensions where whitening
            needs them.

    A rotation is undone, and both sides meet:

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.2], [-0.5, 1.0], [0.3, -2.0]])
    >>> z = x @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> a, b = fit_whitened(x, z, config=PRESETS["orthogonal"])
    >>> np.allclose(x @ a, z @ b)
    True
    """
    steps = config or WhiteningConfig()
    if len(source) != len(target) or not len(source):
        raise OptionError(f"{len(source)} source and {len(target)} target vectors: give the two sides of pairs")
    x = source.astype(np.float64)
    z = target.astype(np.float64)
    shares = np.full(len(x), 1.0 / len(x)) if weights is None else weights / weights.sum(dtype=np.float64)
    weighted = x * shares[:, None]
    x_whitener = x_dewhitener = np.eye(x.shape[1])
    z_whitener = z_dewhitener = np.eye(z.shape[1])
    if steps.whiten:
        x_whitener, x_dewhitener = whitener(weighted.T @ x, len(x), ridge=steps.ridge, dewhitening=steps.dewhitening)
        z_whitener, z_dewhitener = whitener(
            (z * shares[:, None]).T @ z, len(z), ridge=steps.ridge, dewhitening=steps.dewhitening
        )
    left, correlations, right_transposed = np.linalg.svd(
        x_whitener @ (weighted.T @ z) @ z_whitener, full_matrices=False
    )
    right = right_transposed.T
    back = {
        "none": np.eye(len(correlations)),
        # The variances of a side, written in the basis that the orthogonal map has turned it to.
        "source": left.T @ x_dewhitener @ left,
        "target": right.T @ z_dewhitener @ right,
    }
    mapped_x = x_whitener @ left * correlations**steps.source_power @ back[steps.source_dewhiten]
    mapped_z = z_whitener @ right * correlations**steps.target_power @ back[steps.target_dewhiten]
    return mapped_x, mapped_z


def whitener(
    covariance: NDArray[np.float64], num_pairs: int, *, ridge: float = 0.0, dewhitening: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The symmetric inverse square root of a covariance (d, d), and what gives the variances back.

    Args:
        covariance: Of one side's vectors.
        num_pairs: It is of so many, for the message.
        ridge: Added to the variances, in units of their mean.
        dewhitening: Share of the variances given back, as a power.

    Raises:
        OptionError: Some direction has no variance.

    >>> import numpy as np
    >>> whiten, dewhiten = whitener(np.diag([4.0, 9.0]), 100)
    >>> np.diag(whiten).round(3).tolist(), np.diag(dewhiten).round(3).tolist()
    ([0.5, 0.333], [2.0, 3.0])
    """
    variances = Variances.of(covariance, ridge=ridge)
    if variances.rank < len(covariance):
        raise OptionError(
            f"{num_pairs} pairs leave some of the {len(covariance)} dimensions without variance, so they "
            "cannot be whitened: give more pairs, or choose the procrustes method"
        )
    return variances.to_power(-0.5), variances.to_power(dewhitening / 2)


@dataclass(frozen=True)
class Variances:
    """The directions of a covariance that have any variance, and how much: the one place that takes its roots.

    Attributes:
        values: (r,) by rising size.
        directions: (d, r), orthonormal columns.
    """

    values: NDArray[np.float64]
    directions: NDArray[np.float64]

    @classmethod
    def of(cls, covariance: NDArray[np.float64], *, ridge: float = 0.0) -> Variances:
        """Find them in a covariance (d, d).

        Args:
            covariance: Symmetric; what rounding makes negative counts as nothing.
            ridge: Added to the variances, in units of their mean.
        """
        values, directions = np.linalg.eigh(covariance)
        values = np.maximum(values, 0) + ridge * (values.mean() if len(values) else 0.0)
        kept = values > _LEAST_VARIANCE * values.max(initial=0.0)
        return cls(values, directions) if kept.all() else cls(values[kept], directions[:, kept])

    @property
    def rank(self) -> int:
        """How many directions have variance."""
        return len(self.values)

    def to_power(self, power: float) -> NDArray[np.float64]:
        """The covariance to a power, (d, d), within the directions that have variance."""
        raised: NDArray[np.float64] = (self.directions * self.values**power) @ self.directions.T
        return raised

    def whitening_basis(self) -> NDArray[np.float64]:
        """(d, r): what turns vectors into r uncorrelated coordinates of variance one."""
        basis: NDArray[np.float64] = self.directions * self.values**-0.5
        return basis
