"""What is trained where nobody says more than which images: a network by their size, and how long by their number.

The sizes are those at which a processor core sees some hundreds of images a second, so that a folder of photographs
answers in minutes. They were chosen by what two cores do and are no part of any method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.wording import counted
from vision.backbones.configuration import BackboneConfig
from vision.models.methods import find_method

if TYPE_CHECKING:
    from vision.images.collection import Shape

_FEW, _SOME = 1000, 5000
_EPOCHS, _LEAST_STEPS, _MOST_STEPS = 20, 2000, 20_000
_HELD_OUT, _MOST_HELD_OUT, _ENOUGH = 0.1, 0.25, 20
_SMALL, _MEDIUM = 40, 96
_PLACES = 16
_COARSE = 16
_JUDGES = ("gan", "conditional-gan", "classifier", "drlim", "rotation", "colourization", "inpainting")
"""Models whose network judges images: it wants to see what is fine. So do models of views."""
_OF_PATCHES = ("context-prediction", "cpc")
"""Models whose network sees patches, of a quarter of the shorter side."""
_QUICK = {"learning_rate": 4e-3, "final_learning_rate": 0.01, "beta2": 0.99, "clip_norm": 50.0}
"""For networks over patches and fully connected ones: a gradient's length forgets soon, so that the first, huge ones do
not hold back the rest, and one that is far longer than others is cut."""


def default_backbone(model: str, shape: Shape) -> BackboneConfig | None:
    """The network that suits a model and the size of its images; None where the model has none to choose.

    One over patches, which has the most for its arithmetic: patches of four pixels where no side is over 40, and else
    so large that there are about sixteen in a row, of half as many channels. On grey images that small, such as digits,
    patches are next to each other; on others, where seams are seen, they overlap. A masked autoencoder's transformer
    gets patches of such a size that there are about as many of them whatever the size of the images, and what judges
    images (a GAN's discriminator, a classifier) convolutions, with half as many channels where sides are over 40
    pixels. Models of patches have their own small network, which is deeper where patches have 16 pixels a side or more.

    Args:
        model: Its name.
        shape: (channels, height, width) of the images.

    Raises:
        OptionError: No such model.
    """
    config: Any = find_method(model).config()
    own = getattr(config, "backbone", None)
    if not isinstance(own, BackboneConfig):
        return None
    channels, height, width = shape
    longest = max(height, width)
    if model in _OF_PATCHES:
        return replace(own, depth=own.depth if min(height, width) // 4 < _COARSE else None)
    kind = _kind(model, own)
    if kind == "vit":
        return BackboneConfig(kind="vit", patch=4 if longest <= _SMALL else 8 if longest <= _MEDIUM else 16)
    if kind == "patch":
        small = longest <= _SMALL
        patch = 4 if small else 2 * max(2, round(longest / _PLACES / 2))
        return BackboneConfig(
            kind="patch",
            patch=min(patch, longest),
            width=32 if small else 16,
            norm="none",
            blocks=1,
            overlap=channels > 1 or not small,
        )
    return BackboneConfig(kind="convolutional", width=32 if longest <= _SMALL else 16)


def default_training(model: str, count: int, backbone: BackboneConfig | None = None) -> TrainingConfig:
    """Settings of the loop that suit a model, a number of images and a network.

    Twenty passes, but at least 2,000 steps and at most 20,000: of 32 images where there are under 1,000, which are seen
    more often for it, of 64 under 5,000, and of 128. What is kept is an average of the weights. Networks over patches
    and fully connected ones learn four times as fast as others, whose gradient is not cut, since losses are sums over
    pixels.

    Args:
        model: Its name.
        count: Images to train on.
        backbone: Its network; None: one of the kind that `default_backbone` gives it.

    Raises:
        OptionError: No such model.
    """
    method = find_method(model)
    own = getattr(method.config(), "backbone", None)
    kind = backbone.kind if backbone else _kind(model, own) if own else None
    batch = 32 if count < _FEW else 64 if count < _SOME else 128
    batch = max(1, min(batch, count))
    steps = min(max(_EPOCHS * count // batch, _LEAST_STEPS), _MOST_STEPS)
    values: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "clip_norm": None,
        "average": 0.999,
    }
    if kind in ("patch", "mlp") and not method.keyed:
        values |= _QUICK
    if method.keyed:
        values |= _training_of_views(count)
    return TrainingConfig(**values | dict(method.training))


def _kind(model: str, own: BackboneConfig) -> str:
    """The kind of network that a model is given, whose own default is another perhaps."""
    judges = model in (*_JUDGES, *_OF_PATCHES) or find_method(model).keyed
    return "patch" if own.kind == "convolutional" and not judges else own.kind


def _training_of_views(count: int) -> dict[str, Any]:
    """What models of views want otherwise: 256 images of a step, among which to find an image's other view."""
    batch = max(1, min(256, count))
    return {"batch_size": batch, "steps": min(max(2 * _EPOCHS * count // batch, _LEAST_STEPS), _MOST_STEPS)}


def default_validation(count: int) -> float:
    """The share of the images to hold out: a tenth, and of few images more, up to a quarter, until there are twenty.

    With a handful neither the best weights could be told nor a line be drawn past which an image is odd.

    >>> [round(count * default_validation(count)) for count in (40, 100, 150, 1000)]
    [10, 20, 20, 100]
    """
    return max(_HELD_OUT, min(_MOST_HELD_OUT, _ENOUGH / max(1, count)))


def describe_choice(
    model: str, backbone: BackboneConfig | None, training: TrainingConfig, *, count: int, shape: Shape
) -> str:
    """One line that says what is trained, of what, and for how long.

    Args:
        model: Its name.
        backbone: Its network, if it has one.
        training: The loop's settings.
        count: Images to train on.
        shape: (channels, height, width) of the images.

    >>> from nlprep.core.training.configuration import TrainingConfig
    >>> describe_choice("linear", None, TrainingConfig(steps=50, batch_size=8), count=100, shape=(1, 28, 28))
    'linear on 100 grey images of 28 x 28: 50 steps of 8, 4 passes'
    >>> describe_choice("linear", None, TrainingConfig(steps=1, batch_size=8), count=8, shape=(1, 28, 28))
    'linear on 8 grey images of 28 x 28: 1 step of 8, 1 pass'
    """
    channels, height, width = shape
    colours = "grey" if channels == 1 else "colour"
    steps = training.num_steps(count)
    passes = f"{steps * training.batch_size / max(1, count):.3g}"
    network = "" if backbone is None else f", {_network(backbone)}"
    return (
        f"{model}{network} on {counted(count, f'{colours} image')} of {height} x {width}: "
        f"{counted(steps, 'step')} of {training.batch_size}, {passes} {'pass' if passes == '1' else 'passes'}"
    )


def _network(backbone: BackboneConfig) -> str:
    if backbone.kind == "transformers":
        return f"with the network of {backbone.path}" + ("" if backbone.pretrained else ", its weights drawn anew")
    return f"with a network of the kind {backbone.kind} of width {to_mapping(backbone)['width'] or backbone.sizes()[0]}"
