"""The settings of models of images, each beside the others and known by the model's name with ``Config`` behind it."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from vision.backbones.configuration import BackboneConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """A plain autoencoder: undercomplete, deep or convolutional as its dimension and its backbone say."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    error: str = option(
        "bce", "between an image and what is made of it: squared, absolute, or bce, the binary cross-entropy",
        choices=("squared", "absolute", "bce"),
    )  # fmt: skip
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig:
    """How a pixel is distributed about what a decoder says."""

    kind: str = option(
        "bernoulli", "distribution of a pixel: bernoulli (binary), gaussian, or logistic (256 levels)",
        choices=("bernoulli", "gaussian", "logistic"),
    )  # fmt: skip
    binarization: str = option(
        "dynamic", "how grey pixels become binary: drawn anew each time, by a threshold of a half, or none: refused",
        choices=("dynamic", "threshold", "none"), counts_for=("kind", ("bernoulli",)),
    )  # fmt: skip
    variance: str = option(
        "shared", "standard deviation: one that is learned for all pixels, or one for each pixel, of the decoder",
        choices=("shared", "pixel"), counts_for=("kind", ("gaussian",)),
    )  # fmt: skip
    floor: float | None = option(
        None, "what the standard deviation (0.01) or the logistic's scale (0.001) stays above, pixels being in [0, 1]",
        above=0, counts_for=("kind", ("gaussian", "logistic")),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """A variational autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    beta: float = option(1.0, "weight of the divergence from the prior; 1: a bound of the likelihood", minimum=0)
    beta_warmup: float = option(0.0, "share of the run in which that weight rises from 0", minimum=0, maximum=1)
    free_bits: float = option(0.0, "nats of each number in a code that the divergence leaves free", minimum=0)
    likelihood: LikelihoodConfig = option(LikelihoodConfig(), "distribution of a pixel")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ImportanceWeightedConfig:
    """An importance-weighted autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    samples: int = option(5, "codes drawn for each image, over which the bound is", minimum=1)
    gradient: str = option(
        "double", "of the encoder: double, reparameterised twice, or plain, which drowns in noise as samples grow",
        choices=("double", "plain"),
    )  # fmt: skip
    likelihood: LikelihoodConfig = option(LikelihoodConfig(), "distribution of a pixel")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class WassersteinConfig:
    """A Wasserstein autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    penalty: str = option(
        "mmd", "what holds codes to the prior: the maximum mean discrepancy, or an adversary",
        choices=("mmd", "adversarial"),
    )  # fmt: skip
    penalty_weight: float = option(100.0, "its weight beside the squared error of an image", minimum=0)
    width: int = option(256, "units in the layers of the adversary", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
