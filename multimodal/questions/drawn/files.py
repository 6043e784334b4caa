"""Drawn questions on disk, as `multimodal.questions.reading.read_questions` reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.configuration import DrawnQuestionsConfig
from multimodal.questions.drawn.drawing import draw_questions
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine

if TYPE_CHECKING:
    import os

    from multimodal.questions.collection import Questions
    from nlprep.core.progress import Progress

KIND = "drawn-questions"
SPLITS = ("train", "validation", "test")
NUM_EXAMPLES = 12
"""Test images that are written as pictures too, to look at and to ask of."""

_SPLIT = 31
_AS_GIVEN = DrawnQuestionsConfig()


def split_config(config: DrawnQuestionsConfig, split: str, images: int) -> DrawnQuestionsConfig:
    """What a split is drawn with: as many images, and a seed that no other split has.

    Args:
        config: What all are drawn with.
        split: One of `SPLITS`.
        images: How many the split has.
    """
    return replace(config, images=images, seed=int(combine(config.seed, _SPLIT, SPLITS.index(split))))


def write_drawn_questions(
    folder: str | os.PathLike[str],
    config: DrawnQuestionsConfig = _AS_GIVEN,
    *,
    validation: int = 500,
    test: int = 1_000,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write ``train.jsonl`` with ``train_images.npz``, and so for ``validation`` and ``test``.

    The same settings give the same bytes. ``examples`` holds a few of the test images as PNG files, ``settings.json``
    what was drawn.

    Args:
        folder: The directory, replaced only if it is an earlier one of these.
        config: What is drawn; its number of images is that of the training images.
        validation: Images to choose by; an even number, 0 for none.
        test: Images to measure on; likewise.
        overwrite: Whether another directory of ours may be replaced.
        progress: Gets the images.

    Returns:
        The directory.

    Raises:
        OptionError: Numbers that are odd or negative.
        FileError: It cannot be written, or something else is there.
    """
    counts = dict(zip(SPLITS, (config.images, validation, test), strict=True))
    if min(counts.values()) < 0:
        raise OptionError(f"validation = {validation}, test = {test}: give 0 or more")
    configs = {split: split_config(config, split, count) for split, count in counts.items() if count}
    with (
        atomic_directory(folder, kind=KIND, overwrite=overwrite) as place,
        progress.task("drawing", sum(counts.values())) as task,
    ):
        for split, drawn_with in configs.items():
            questions = draw_questions(drawn_with).questions
            _write(place, split, questions)
            task.advance(len(questions.images))
        _write_examples(place / "examples", questions)
        text = json.dumps({"config": to_mapping(config), "images": counts}, indent=2)
        (place / "settings.json").write_text(text + "\n", encoding="utf-8")
    return Path(folder)


def _write(place: Path, split: str, questions: Questions) -> None:
    kinds = zip(questions.question_types or (), questions.answer_types or (), strict=True)
    with (place / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for text, image, answers, (question_type, answer_type) in zip(
            questions.texts, questions.places.tolist(), questions.required_answers("to write them"), kinds, strict=True
        ):
            row = {
                "question": text,
                "answer": answers[0],
                "image": image,
                "question_type": question_type,
                "answer_type": answer_type,
            }
            stream.write(json.dumps(row) + "\n")
    pixels = questions.images.pixels.transpose(0, 2, 3, 1)
    np.savez(place / f"{split}_images.npz", x=pixels, ids=np.arange(len(pixels)))


def _write_examples(folder: Path, questions: Questions) -> None:
    from PIL import Image

    folder.mkdir()
    for number, pixels in enumerate(questions.images.pixels[:NUM_EXAMPLES]):
        Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(folder / f"{number:02d}.png")
