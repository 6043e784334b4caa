"""How many images it takes for a result to say something, said where there are fewer."""

from __future__ import annotations

import warnings

from nlprep.core.errors import NlprepError
from nlprep.core.wording import counted

LEAST_TRAINED = 2
"""With one image every model does best to learn it by heart."""
ENOUGH_TRAINED, ENOUGH_MEASURED = 15, 5
"""Under so many images to learn from, or to measure on, figures are of these images and of no others."""


class FewImagesWarning(UserWarning):
    """So few images that what comes of them says little of others."""


def require_images(
    learned: int,
    measured: int | None,
    *,
    source: str,
    what: tuple[str, str] = ("image to train on", "images to train on"),
    use: str = "measure on",
    least: int = LEAST_TRAINED,
) -> None:
    """Refuse too few images to learn from, and warn of few.

    Args:
        learned: Images to learn from.
        measured: Others that are held out; None: there are none.
        source: Where they come from, for what is said.
        what: What one of the first is called, and what more are.
        use: What the others are held out for: to choose weights by is not to measure.
        least: The fewest of them of which anything can be learned.

    Raises:
        NlprepError: There are fewer.

    >>> require_images(1, 1, source="photos")
    Traceback (most recent call last):
    nlprep.core.errors.NlprepError: photos: 1 image to train on, beside 1 to measure on: nothing can be learned of them; give at least 15 and 5
    """  # noqa: E501 - an error is one line
    beside = "" if measured is None else f", beside {measured:,} to {use}"
    given = counted(learned, *what)
    wanted = f"at least {ENOUGH_TRAINED}" + ("" if measured is None else f" and {ENOUGH_MEASURED}")
    if learned < least:
        raise NlprepError(f"{source}: {given}{beside}: nothing can be learned of them; give {wanted}")
    if learned < ENOUGH_TRAINED or (measured is not None and measured < ENOUGH_MEASURED):
        warnings.warn(
            f"{source}: {given}{beside}: what comes of so few says little of other images; give {wanted}",
            FewImagesWarning,
            stacklevel=3,
        )
