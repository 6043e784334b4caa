"""Small noise that is made to mislead a classifier, and what a denoising autoencoder before it is worth as a defence.

Within the box |x' - x|_inf <= epsilon, cut to [0, 1] where images are, an attack looks for the image with the greatest
cross-entropy of the true class:

- `fgsm`: x + epsilon sign(g), g being the gradient at x (Goodfellow et al. 2015, "Explaining and Harnessing Adversarial
  Examples", section 4). Of a linear classifier of two classes it is the best there is: the margin falls by
  epsilon ||w||_1;
- `pgd`: such steps of size ``step_size``, each followed by the projection to the box, from x itself and from random
  places in the box (Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", section 2.1);
  of all images on the way one that is misclassified is kept, if any is, and of these the one with the greatest loss.

An attack that does not know of the defence says nothing of it (Carlini and Wagner 2017; Athalye et al. 2018,
"Obfuscated Gradients"). So `measure_defence` also takes gradients through the denoiser, and, because the denoiser's
last operation may cut gradients off, as if the denoiser were the identity backwards (Athalye et al., section 4.1,
"BPDA"); what counts is the share of images that withstand all of them.

Promised, and tested: the closed form for a linear classifier of two classes; a slow reference for PGD; no image leaves
the box; accuracy under PGD is never above that under FGSM of the same step.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.evaluation.intervals import wilson_interval
from vision.images.collection import unit_pixels
from vision.models.abilities import describe_lack, kind_of
from vision.models.model import CanReconstruct
from vision.uses.configuration import AttackConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.evaluation.intervals import Interval
    from vision.images.collection import Images
    from vision.models.files import SavedModel

ATTACKS = {
    "clean": "clean",
    "fgsm": "FGSM made against the classifier alone",
    "pgd": "PGD made against the classifier alone",
    "adaptive": "PGD through both",
    "identity": "PGD, the denoiser taken for the identity",
    "all": "every one of these",
}
"""What `DefenceResult` names, in words."""

Classifier = Any
"""Called on images (b, channels, height, width) float32 in [0, 1], it gives logits (b, classes)."""
_START = 71


@dataclass(frozen=True)
class DefenceResult:
    """Shares of images that are classified rightly, each with its 95% interval.

    Attributes:
        undefended: Of the classifier alone: ``clean``, ``fgsm``, ``pgd``.
        defended: Behind the denoiser: ``clean``; ``fgsm`` and ``pgd`` as made against the classifier alone, which do
            not know of the defence; ``adaptive``, with gradients through both; ``identity``, with the denoiser taken
            for the identity backwards; ``all``, the share that withstands every one of them.
        images: How many.
        config: The attack's strength.
    """

    undefended: dict[str, Interval]
    defended: dict[str, Interval]
    images: int
    config: AttackConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON, but for the settings."""
        return {
            "images": self.images,
            **{
                side: {name: found.to_dict() for name, found in getattr(self, side).items()}
                for side in ("undefended", "defended")
            },
        }


def check_classifier(saved: SavedModel, *, where: str) -> None:
    """Refuse a model that gives no verdicts.

    Args:
        saved: It.
        where: What it is called, for the error.

    Raises:
        NlprepError: It does not.
    """
    if not hasattr(saved.model, "classify"):
        raise NlprepError(f"{where}: {kind_of(saved.model)} tells no classes apart: this does: classifier")


def check_denoiser(saved: SavedModel, classifier: SavedModel, *, where: str) -> None:
    """Refuse a model that cannot stand before a classifier.

    Args:
        saved: It.
        classifier: What it is to stand before.
        where: What it is called, for the error.

    Raises:
        NlprepError: It gives no images back, needs to know their classes, or takes images of another shape.
    """
    if not isinstance(saved.model, CanReconstruct):
        raise NlprepError(f"{where}: {describe_lack(saved.model, 'does not give images back', CanReconstruct)}")
    if getattr(saved.model, "num_classes", 0):
        raise NlprepError(f"{where}: {kind_of(saved.model)} wants to know the class, which the classifier is to find")
    if saved.preprocessing.shape != classifier.preprocessing.shape:
        shape, wanted = (" x ".join(map(str, one.preprocessing.shape)) for one in (saved, classifier))
        raise NlprepError(
            f"{where}: takes images of {shape} (channels, height, width), and the classifier {wanted}: train both for "
            "one shape"
        )


class Defended(nn.Module):
    """A classifier behind a denoiser.

    Args:
        classifier: See `Classifier`.
        denoise: Images of images, in [0, 1], such as a denoising autoencoder's ``reconstruct``.
        identity_backwards: Take the denoiser for the identity in gradients, not in values.
    """

    def __init__(
        self, classifier: Classifier, denoise: Callable[[Tensor], Tensor], *, identity_backwards: bool = False
    ) -> None:
        super().__init__()
        self.classifier, self.denoise, self.identity_backwards = classifier, denoise, identity_backwards

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images."""
        made = self.denoise(images)
        if self.identity_backwards:
            made = images + (made - images).detach()
        logits: Tensor = self.classifier(made)
        return logits


def fgsm(classifier: Classifier, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Images moved by the sign of the gradient.

    Args:
        classifier: See `Classifier`; in evaluation mode.
        images: (b, channels, height, width) float32 in [0, 1].
        labels: (b,) int64.
        epsilon: How far each pixel goes.

    Returns:
        Images of the same shape, in [0, 1].
    """
    gradient = _gradient(classifier, images, labels)[2]
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def pgd(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    config: AttackConfig,
    *,
    places: NDArray[np.int64] | None = None,
) -> Tensor:
    """Images moved by steps of the sign of the gradient, each projected to the box.

    Args:
        classifier: As `fgsm`.
        images: Likewise.
        labels: Likewise.
        config: The strength.
        places: (b,) of the images among all, by which random starts are drawn; default: 0 to b - 1.

    Returns:
        For each image, of all that were visited, one that is misclassified, if any is, with the greatest loss.
    """
    low, high = (images - config.epsilon).clamp(min=0), (images + config.epsilon).clamp(max=1)
    keys = combine(config.seed, np.arange(len(images)) if places is None else places)
    worst = images
    worst_losses = torch.full((len(images),), -torch.inf, device=images.device)
    misled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for restart in range(config.restarts + 1):
        moved = images
        if restart:
            shares = uniforms(combine(keys, restart), images[0].numel(), purpose=_START).reshape(images.shape)
            moved = low + (high - low) * torch.from_numpy(shares.astype(np.float32)).to(images.device)
        for step in range(config.steps + 1):
            losses, wrong, gradient = _gradient(classifier, moved, labels)
            better = (wrong & ~misled) | ((wrong == misled) & (losses > worst_losses))
            worst = torch.where(better.view(-1, *[1] * (images.dim() - 1)), moved, worst)
            worst_losses, misled = torch.where(better, losses, worst_losses), misled | wrong
            if step < config.steps:
                moved = torch.maximum(torch.minimum(moved + config.chosen_step * gradient.sign(), high), low)
    return worst


def measure_defence(
    classifier: nn.Module,
    denoiser: nn.Module,
    images: Images,
    config: AttackConfig | None = None,
    *,
    batch_size: int = 250,
    progress: Progress = SILENT,
) -> DefenceResult:
    """Accuracy of a classifier, alone and behind a denoiser, under attacks that do and do not know of the latter.

    Both are put in evaluation mode and left as they were.

    Args:
        classifier: See `Classifier`; or a model that has a method ``classify`` for it.
        denoiser: A model whose ``reconstruct`` gives images back.
        images: With labels, none of which was trained on.
        config: The attack's strength.
        batch_size: Images at once; no result depends on it, but for rounding.
        progress: Gets images.

    Raises:
        NlprepError: Images without labels.
    """
    chosen = config or AttackConfig()
    labels = images.required_labels("an attack")
    reconstruct: Any = getattr(denoiser, "reconstruct", None)
    if reconstruct is None:
        raise NlprepError(f"{type(denoiser).__name__} gives no images back, behind which a classifier would be safer")
    classify = getattr(classifier, "classify", classifier)
    behind = Defended(classify, reconstruct)
    passing = Defended(classify, reconstruct, identity_backwards=True)
    alone_right: dict[str, list[Tensor]] = {name: [] for name in ("clean", "fgsm", "pgd")}
    behind_right: dict[str, list[Tensor]] = {name: [] for name in ("clean", "fgsm", "pgd", "adaptive", "identity")}
    device = next(classifier.parameters()).device
    with progress.task("attacking", len(images)) as task, _in_evaluation(classifier, denoiser):
        for start in range(0, len(images), batch_size):
            rows = np.arange(start, min(start + batch_size, len(images)))
            pixels = unit_pixels(torch.from_numpy(images.pixels[rows]).to(device))
            truth = torch.from_numpy(labels[rows]).to(device)
            made = {
                "clean": pixels,
                "fgsm": fgsm(classify, pixels, truth, chosen.epsilon),
                "pgd": pgd(classify, pixels, truth, chosen, places=rows),
            }
            for name, moved in made.items():
                alone_right[name].append(_is_right(classify, moved, truth))
            made["adaptive"] = pgd(behind, pixels, truth, chosen, places=rows)
            made["identity"] = pgd(passing, pixels, truth, chosen, places=rows)
            for name, moved in made.items():
                behind_right[name].append(_is_right(behind, moved, truth))
            task.advance(len(rows))
    alone = {name: torch.cat(parts) for name, parts in alone_right.items()}
    defended = {name: torch.cat(parts) for name, parts in behind_right.items()}
    defended["all"] = torch.stack(list(defended.values())).all(0)

    def shares(right: dict[str, Tensor]) -> dict[str, Interval]:
        return {name: wilson_interval(int(values.sum()), len(values)) for name, values in right.items()}

    return DefenceResult(shares(alone), shares(defended), len(images), chosen)


@contextmanager
def _in_evaluation(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode in the block, with gradients; afterwards every part is in the mode in which it was."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _gradient(classifier: Classifier, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (b,), whether images are misclassified, and the gradient of each loss with respect to its image."""
    with torch.enable_grad():
        moved = images.detach().requires_grad_()
        logits = classifier(moved)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), moved)
    return losses.detach(), logits.detach().argmax(1) != labels, gradient


@torch.no_grad()
def _is_right(classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    right: Tensor = (classifier(images).argmax(1) == labels).cpu()
    return right
