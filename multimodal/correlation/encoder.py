"""One view of a model of correlated views, as what makes vectors of things.

>>> from multimodal.correlation import ViewEncoder  # doctest: +SKIP
>>> ViewEncoder.from_directory("run", view="left").encode(halves)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import check_items, check_sequence, evaluation_mode

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from multimodal.correlation.model import CorrelationModel, View
    from nlprep.core.progress import Progress

_NOUN = "array"


class Coordinates(nn.Module):
    """The differentiable part of an encoder.

    Args:
        view: Of a model.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def forward(self, given: Tensor) -> Tensor:
        """Codes (b, dimension) of things (b, *shape): what linear CCA makes of what the network makes."""
        return self.view.coordinates(given)


class ViewEncoder:
    """A network for one view and the linear CCA after it: an `nlprep.evaluation.encoder.Encoder`.

    Its items are arrays, or nested sequences of numbers, of the view's shape; all of them may be one array
    (n, *shape).

    Args:
        model: The model.
        view: The name of the view.

    Attributes:
        module: The differentiable part: called on things (b, *shape), it gives codes (b, d).
        model: The model.
        view: The name.

    Raises:
        OptionError: No such view.
    """

    def __init__(self, model: CorrelationModel, view: str) -> None:
        self.model, self.view = model, view
        self.shape = model.view(view).shape
        self.dimension = model.dimension
        self.module: nn.Module = Coordinates(model.view(view)).eval()

    @classmethod
    def from_directory(
        cls,
        directory: str | os.PathLike[str],
        *,
        view: str | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        device: str | None = None,
    ) -> ViewEncoder:
        """Open the encoder of a view, of a run or of what was saved.

        Args:
            directory: Of a run of `multimodal.correlation.training.train_correlation`, of its model, or of what `save`
                wrote.
            view: Which; default: the one that was saved, or the first.
            networks: As for `multimodal.correlation.files.load_model`, which also says what is raised.
            device: Likewise.
        """
        from multimodal.correlation.files import load_saved

        saved = load_saved(directory, networks=networks, device=device)
        return cls(saved.model, view or saved.view or saved.model.names[0])

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.correlations.device

    def to(self, device: torch.device | str) -> ViewEncoder:
        """Move the model; returns itself."""
        self.model.to(device)
        return self

    def encode(self, items: Any, batch_size: int = 1024, *, progress: Progress = SILENT) -> NDArray[np.float32]:
        """Make codes.

        Args:
            items: n arrays of the view's shape, or one of shape (n, *shape).
            batch_size: How many are computed at once.
            progress: Gets items.

        Returns:
            (n, `dimension`) float32, in order.

        Raises:
            NlprepError: One array instead of a list, one of another shape, or a value that is no number.
            OptionError: A batch size below 1.
        """
        check_sequence(items, batch_size, noun=_NOUN, accepts=self._is_item)
        whole = isinstance(items, np.ndarray) and items.shape[1:] == self.shape and items.dtype.kind in "fiub"
        codes = np.zeros((len(items), self.dimension), np.float32)
        if not whole:
            check_items(items, noun=_NOUN, accepts=self._is_item)
        with progress.task("encoding", len(items)) as task, evaluation_mode(self.module):
            for start in range(0, len(items), batch_size):
                part = np.array(items[start : start + batch_size], dtype=np.float32)
                wrong = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
                if wrong.any():
                    raise NlprepError(
                        f"items[{start + int(wrong.argmax())}] of {self.view!r} holds a value that is no finite "
                        "number: leave it out, or say what it is"
                    )
                found = self.module(torch.from_numpy(part).to(self.device))
                codes[start : start + len(part)] = found.float().cpu().numpy()
                task.advance(len(part))
        return codes

    def randomized(self, seed: int = 1) -> ViewEncoder:
        """The same architecture with random weights and no linear CCA: what training is compared with.

        Args:
            seed: Of the weights.

        Raises:
            OptionError: As `multimodal.correlation.model.CorrelationModel.randomized`.
        """
        return ViewEncoder(self.model.randomized(seed), self.view).to(self.device)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model, all of its views, and which one this is.

        Args:
            directory: The place; another such model there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        from multimodal.correlation.files import save_model

        save_model(self.model, directory, view=self.view, overwrite=overwrite)

    def _is_item(self, thing: object) -> bool:
        if thing is None or isinstance(thing, str | bytes | Mapping | Set):
            return False
        try:
            array = np.asarray(thing)
        except ValueError:
            # Rows of different lengths.
            return False
        return array.shape == self.shape and array.dtype.kind in "fiub"
