"""What several commands take: text, models, tables of texts with labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Text = Annotated[Path, Parameter(required=True)]
"""Text files or folders of them; plain, .gz, .xz, .zst; - is standard input."""
_COLUMNS = Parameter(group="columns of the files")
TextColumn = Annotated[str, _COLUMNS]
LabelColumn = Annotated[str, _COLUMNS]
PairColumn = Annotated[str | None, _COLUMNS]


def load_model(path: Path, kind: str, device: str | None) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    """A model and its tokenizer, on the device asked for.

    Args:
        path: A run, or a transformers directory.
        kind: ``masked``, ``causal`` or ``encoder``.
        device: Its name; a GPU where there is one if None.

    Raises:
        FileError: There is no such model.
        OptionError: There is no such device.
    """
    from nlprep.core.devices import find_device
    from nlprep.language_models.models.files import load_language_model

    found = find_device(device)
    model, tokenizer = load_language_model(path, kind)
    model.to(found)  # type: ignore[arg-type]
    return model, tokenizer
