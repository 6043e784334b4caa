"""What the commands of ``rep-vqa`` read: questions with their images, and a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cli.console import Console
from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from multimodal.questions.collection import Questions
    from vision.images.configuration import PreprocessingConfig

OnError = Literal["refuse", "skip"]


def read(
    data: Path,
    images: Path | None,
    annotations: Path | None,
    split: str | None,
    preprocessing: "PreprocessingConfig",
    on_error: OnError,
    cache: Path | None,
    console: Console,
) -> "Questions":
    """Questions with answers (see `multimodal.questions.reading.read_questions`)."""
    from multimodal.questions.reading import read_questions
    from vision.images.sources.source import PictureError

    try:
        return read_questions(
            data, images, annotations=annotations, split=split, preprocessing=preprocessing, on_error=on_error,
            cache=cache, progress=console.progress,
        )  # fmt: skip
    except PictureError as error:
        raise FileError(
            error.path, f"{error.problem}, or leave out what cannot be read with --on-error skip", line=error.line
        ) from None


def question_only_of(model: Path) -> Path | None:
    """The finished run of the model that sees questions alone, beside a run or its model; None if there is none."""
    from multimodal.answerers.training import QUESTION_ONLY

    for run in (model, model.parent):
        if (run / QUESTION_ONLY / "model").is_dir():
            return run / QUESTION_ONLY
    return None
