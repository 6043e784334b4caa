"""What is not finite is refused and not returned: a sample that is infinite, a density that is no number."""

from __future__ import annotations

import torch

from nlprep.core.errors import NlprepError


def refuse_infinite(made: torch.Tensor, what: str) -> torch.Tensor:
    """The same events, if all of their numbers are finite.

    Args:
        made: (b, ...).
        what: They are, in the plural.

    Raises:
        NlprepError: Some are not; says how many, and what to do.
    """
    if not bool(torch.isfinite(made).all()):
        wrong = ~torch.isfinite(made.flatten(1) if made.dim() > 1 else made[:, None]).all(1)
        raise NlprepError(
            f"{int(wrong.sum())} of {len(made)} {what} are not finite: the flow's scales are too large for what it was "
            "given: take a lower temperature, or train it again with a lower learning rate"
        )
    return made
