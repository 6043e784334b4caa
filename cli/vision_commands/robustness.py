"""``rep-vision robustness``: a classifier under attack, alone and behind a denoising autoencoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Options, Threads
from cli.vision_commands.inputs import OnError, open_model, read_for
from nlprep.core.configuration import to_mapping
from vision.uses.configuration import AttackConfig

if TYPE_CHECKING:
    from nlprep.evaluation.intervals import Interval
    from vision.images.collection import Images
    from vision.models.files import SavedModel

EPILOG = """\
examples:
  rep-vision train classifier digits/ -o classifier
  rep-vision train denoising digits/ -o denoising --denoising-noise gaussian
  rep-vision robustness classifier --denoiser denoising
  rep-vision robustness classifier --denoiser denoising --data other-digits/ \\
      --epsilon 0.2 --number 500

Images are moved by at most --epsilon a pixel so that the classifier errs: in one step (FGSM) or
by projected gradient descent (PGD), made against the classifier alone, which says little of a
defence, and through the denoiser, which is what somebody does who knows of it. What counts is
the last row, and a longer attack may find more. Without --data the images are a split test of
the classifier's own, or those that it held out.
"""


def robustness(
    classifier: Path,
    /,
    *,
    denoiser: Annotated[Path, Parameter(required=True)],
    data: Path | None = None,
    number: AtLeastOne = 1000,
    attack: Annotated[AttackConfig, Options(title="attack")],
    batch_size: AtLeastOne = 250,
    split: str | None = None,
    on_error: OnError = "refuse",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure a classifier under attack, alone and behind a denoiser.

    Args:
        classifier: A run of rep-vision train classifier, or its model.
        denoiser: A run of a model that gives images back, or its model: what is classified is what it makes of images.
        data: Images with the classifier's classes, as for train, which neither was trained on.
        number: Images to attack; a choice of more.
        attack: How strong it is.
        batch_size: Images at once.
        split: Which split of the images; test where there is one.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from vision.images.splits import choose_places
    from vision.uses.robustness import ATTACKS, check_classifier, check_denoiser, measure_defence

    judge, before = open_model(classifier, device), open_model(denoiser, device)
    check_classifier(judge, where=str(classifier))
    check_denoiser(before, judge, where=str(denoiser))
    images = _unseen(judge, before, data, split, on_error, console)
    images = images.select(choose_places(len(images), number, attack.seed))
    with torch_threads(threads):
        found = measure_defence(
            judge.model, before.model, images, attack, batch_size=batch_size, progress=console.progress
        )
    if console.json_output:
        console.result(found.to_dict() | {"settings": to_mapping(attack)})
        return 0
    sides = (found.undefended, found.defended)
    rows = [(name, *(_share(side.get(key)) for side in sides)) for key, name in ATTACKS.items()]
    console.table(("attack", "classifier alone", "behind the denoiser"), rows)
    console.note(
        f"accuracy on {found.images:,} images, 95% intervals; epsilon {attack.epsilon:g}, PGD of {attack.steps} steps "
        f"from {attack.restarts + 1} places"
    )
    return 0


def _share(found: "Interval | None") -> str:
    return "" if found is None else f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _unseen(
    judge: "SavedModel",
    denoiser: "SavedModel",
    data: Path | None,
    split: str | None,
    on_error: OnError,
    console: Console,
) -> "Images":
    """Images that neither was trained on, as far as that can be known."""
    from contextlib import suppress

    import numpy as np

    from vision.images.sources.arrangement import NoSplitError
    from vision.run_images import find_images, parts_of_run

    place, own = find_images(judge, data, split)
    if split is None:
        with suppress(NoSplitError):
            return read_for(judge, place, "test", on_error, console, classes=True)
    images = read_for(judge, place, own, on_error, console, classes=True)
    places = np.arange(len(images))
    for saved in (judge, denoiser):
        parts = parts_of_run(saved, images)
        if parts is not None:
            places = np.setdiff1d(places, parts[0])
    if len(places):
        return images.select(places)
    console.note("all of these images were trained on: name others with --data")
    return images
