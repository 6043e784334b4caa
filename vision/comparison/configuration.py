"""The settings of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from vision.models.configuration import LIKELIHOODS, METHODS

COMPARED = "autoencoder,vae,conditional-vae,wae,gan,diffusion"


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """What is compared, with which budget, and how it is measured."""

    models: str = option(COMPARED, "models to train, with commas between them")
    seeds: int = option(3, "runs of each model, with seeds from 1 on", minimum=1)
    seconds: float = option(
        60.0, "processor seconds that each run may train (of a GPU, seconds): what a model costs in a step decides how "
        "many steps it gets", above=0,
    )  # fmt: skip
    steps: int | None = option(None, "steps of every run, instead of seconds", minimum=1, instead_of="seconds")
    batch_size: int = option(128, "images of one step", minimum=1)
    dimension: int = option(
        32, "numbers in a code, and that a GAN draws images of; a diffusion model's network says its own", minimum=1
    )
    likelihood: str = option(
        "auto", "distribution of a pixel for models that have one: bernoulli, of pixels made binary; logistic, of "
        "bytes; gaussian; auto: bernoulli for grey images, logistic for colour",
        choices=LIKELIHOODS,
    )  # fmt: skip
    scale: str = option(
        "pixel", "of a logistic: each pixel's, by the decoder, by which images are likelier; or one that all share, by "
        "which colours are livelier", choices=("pixel", "shared"),
    )  # fmt: skip
    held_out: int = option(1000, "training images set aside to choose weights by; at most a tenth of them", minimum=1)
    most_test: int = option(10_000, "test images to measure on, at the most", minimum=20)
    generated: int = option(5000, "images that each run draws, to be compared with the test images", minimum=20)
    likelihood_images: int = option(100, "test images whose likelihood is importance-sampled", minimum=2)
    likelihood_samples: int = option(500, "samples for each of them", minimum=1)
    bound_images: int = option(
        64, "test images whose bound a diffusion model computes, all levels of it, or flow matching", minimum=2
    )
    labels: str | None = option(
        None, "labels that probes learn from, as for rep-vision probe; none: 1%,10%,100%, as far as these are one of "
        "each class at the least",
    )  # fmt: skip
    most_labels: int = option(10_000, "training images with labels that probes may learn from, at the most", minimum=20)
    repeats: int = option(3, "random choices of labels", minimum=1)
    space_steps: int = option(2000, "training steps of the classifier whose features FID and KID are of", minimum=1)

    def __post_init__(self) -> None:
        check(self)
        self.names()

    def names(self) -> tuple[str, ...]:
        """The models, in order.

        Raises:
            OptionError: One that there is not, one twice, or none.
        """
        found = [name.strip() for name in self.models.split(",") if name.strip()]
        if not found:
            raise OptionError("models = '': name at least one")
        for place, name in enumerate(found):
            if name not in METHODS:
                raise OptionError(f"model {name!r}: choose from {', '.join(METHODS)}")
            if name in found[:place]:
                raise OptionError(f"models = {self.models!r}: {name!r} is named twice")
        return tuple(found)
