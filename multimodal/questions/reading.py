"""Questions from wherever they lie, with their images, in one call."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from multimodal.questions.answers import answer_type_of, main_answer, normalize_answer, question_type_of
from multimodal.questions.collection import Questions
from multimodal.questions.image_content import image_digests
from multimodal.questions.sources.image_names import ImageNames, UnknownImageError
from multimodal.questions.sources.json_files import list_easy_vqa, list_vqa
from multimodal.questions.sources.json_lines import list_json_lines
from multimodal.questions.sources.saved_questions import list_saved_questions
from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT, open_binary
from nlprep.core.progress import SILENT
from vision.images.configuration import PreprocessingConfig
from vision.images.reading import list_images, read_images
from vision.images.sources.arrangement import ALL, SPLITS, choose_split
from vision.images.sources.source import Arrays, PictureError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from multimodal.questions.sources.rows import Row, Rows
    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.images.reading import OnError
    from vision.images.sources.source import Source

Repeated = Literal["warn", "refuse"]
"""What to do with a question that is asked of the same image twice."""

_AS_ASKED = PreprocessingConfig()
_LINES = (".jsonl", ".jsonl.gz", ".jsonl.xz", ".jsonl.zst", ".jsonl.bz2", ".ndjson", ".csv", ".tsv")
_IMAGES = (".npz", ".zip", "")
_IDS = ("ids", "names")
_HEAD = 1 << 16
_SHOWN = 3


class SkippedQuestionsWarning(UserWarning):
    """Questions whose images are missing or damaged were left out."""


class RepeatedQuestionsWarning(UserWarning):
    """Questions are asked of the same image more than once."""


def read_questions(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    annotations: str | os.PathLike[str] | None = None,
    split: str | None = None,
    answered: bool = True,
    normalize: bool | None = None,
    preprocessing: PreprocessingConfig = _AS_ASKED,
    on_error: OnError = "refuse",
    repeated: Repeated = "warn",
    cache: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Questions:
    """Read questions and the images that they are about; these are decoded once and kept (`vision.images.reading`).

    Args:
        path: One of these, told by content:

            - a file of JSON lines, or a CSV or TSV file (`multimodal.questions.sources.json_lines`);
            - VQA v2's file of questions, with `annotations`, or easy-VQA's ``questions.json``
              (`multimodal.questions.sources.json_files`);
            - easy-VQA's folder of ``train`` and ``test``, or one of these;
            - a folder of ``train.jsonl``, ``test.jsonl``, ... with ``train_images.npz`` and so on, which may be
              zip archives or folders, or with ``images`` for all;
            - a directory that `datasets` saved, whose pictures are told apart by their pixels
              (`multimodal.questions.sources.saved_questions`).
        images: Whatever `vision.images.reading.read_images` reads; all of it is read. Names are matched as
            `multimodal.questions.sources.image_names.ImageNames` does; in an ``.npz`` file an array ``ids`` (or
            ``names``) calls them something, and else their number does. None: what lies beside the file and is called
            ``STEM_images``.
        annotations: VQA v2's file of answers.
        split: Which of a folder's splits; None: train if there are splits.
        answered: Whether every question needs an answer; False reads questions to be asked, and no answers.
        normalize: Whether answers are made alike as VQA v2 does (`multimodal.questions.answers.normalize_answer`);
            None: those of VQA v2's files.
        preprocessing: What the images are to be; what is left open, the data decide.
        on_error: ``refuse`` to read anything if an image is missing or damaged, or ``skip`` the questions about it and
            say how many.
        repeated: ``warn`` of questions that are asked of the same image again, or ``refuse`` them.
        cache: As for `read_images`.
        threads: As for `read_images`.
        progress: Gets images.

    Returns:
        The questions in their order. Where a file gives no types, a question's is its first two words and an answer's
        one of `multimodal.questions.answers.ANSWER_TYPES`.

    Raises:
        FileError: A line or entry that is broken, an empty question, one without an answer or with a number that
            another has; an image that is missing or damaged. Says where.
        OptionError: Another ``on_error`` or ``repeated``.
    """
    if on_error not in ("refuse", "skip"):
        raise OptionError(f"on_error = {on_error!r}: choose refuse or skip")
    if repeated not in ("warn", "refuse"):
        raise OptionError(f"repeated = {repeated!r}: choose warn or refuse")
    found = _Files.at(path, images, annotations, split)
    if found.saved:
        # First, since its reader says what is wrong with the directory.
        source = list_images(found.images, split)
        rows = list_saved_questions(Path(found.images), split, answered=answered)
    else:
        rows = found.rows(answered)
        source = list_images(found.images, ALL)
    if not rows.found:
        raise FileError(rows.path, "holds no questions: give a file with a line for each")
    names = _names(source)
    skip = on_error == "skip"
    kept, places, lost = _resolve(rows, names, skip=skip)
    try:
        read = read_images(
            found.images, split=split if found.saved else ALL, preprocessing=preprocessing, on_error=on_error,
            cache=cache, threads=threads, progress=progress,
        )  # fmt: skip
    except PictureError as error:
        raise _named(error, source, kept, places) from None
    if len(read) < len(names):
        there = {name: place for place, name in enumerate(read.names or ())}
        moved = [there.get(names[place], -1) for place in places]
        lost += [row for row, place in zip(kept, moved, strict=True) if place < 0]
        kept = [row for row, place in zip(kept, moved, strict=True) if place >= 0]
        places = [place for place in moved if place >= 0]
        names = list(read.names or ())
    if lost:
        _warn_of_lost(rows, lost)
        if not kept:
            raise FileError(rows.path, "asks about no image that can be read: give the images that belong to it")
    plain = replace(read, labels=None, classes=(), names=names if read.names is None else read.names)
    questions = _questions(rows, kept, np.array(places, np.int64), plain, found.normalizes(normalize))
    if found.saved:
        questions = _told_apart(questions)
    _check_repeated(questions, kept, refuse=repeated == "refuse")
    return questions


class _Files:
    """Where questions, answers and images lie."""

    def __init__(self, kind: str, path: Path | str, images: Path, annotations: Path | None = None) -> None:
        self.kind, self.path, self.images, self.annotations = kind, path, images, annotations

    @classmethod
    def at(
        cls,
        path: str | os.PathLike[str],
        images: str | os.PathLike[str] | None,
        annotations: str | os.PathLike[str] | None,
        split: str | None,
    ) -> _Files:
        place = Path(path)
        if annotations is not None and place.is_dir():
            raise FileError(place, "is a folder, and annotations belong to a file of questions: name that")
        if place.is_dir():
            return cls._in_folder(place, None if images is None else Path(images), split)
        if split is not None:
            raise FileError(place, f"is one file, and has no split {split!r}: name the file that is wanted")
        kind = "vqa" if annotations is not None else _kind_of(path)
        if images is None and kind == "easy-vqa" and (place.parent / "images").is_dir():
            images = place.parent / "images"
        return cls(
            kind,
            STANDARD_INPUT if str(path) == STANDARD_INPUT else place,
            _images_beside(place) if images is None else Path(images),
            None if annotations is None else Path(annotations),
        )

    @classmethod
    def _in_folder(cls, folder: Path, images: Path | None, split: str | None) -> _Files:
        if any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            if images is not None:
                raise FileError(folder, "holds pictures of its own: give no images with a saved data set")
            return cls("saved", folder, folder)
        if (folder / "questions.json").is_file():
            return cls("easy-vqa", folder / "questions.json", images or folder / "images")
        with os_errors_named(folder):
            entries = sorted(folder.iterdir())
        easy = {SPLITS[one.name]: one for one in entries if one.name in SPLITS and (one / "questions.json").is_file()}
        if easy:
            chosen = easy[choose_split(set(easy), split, folder)]
            return cls("easy-vqa", chosen / "questions.json", images or chosen / "images")
        lines = {SPLITS[stem]: one for one in entries if (stem := _stem(one)) in SPLITS and one.name != stem}
        if not lines:
            raise FileError(
                folder, "holds no questions: name a folder with train.jsonl or questions.json, or a file of questions"
            )
        chosen = lines[choose_split(set(lines), split, folder)]
        return cls("lines", chosen, images or _images_beside(chosen))

    @property
    def saved(self) -> bool:
        return self.kind == "saved"

    def rows(self, answered: bool) -> Rows:
        if self.kind == "vqa":
            return list_vqa(self.path, self.annotations, answered=answered)
        if self.kind == "easy-vqa":
            return list_easy_vqa(self.path, answered=answered)
        return list_json_lines(self.path, answered=answered)

    def normalizes(self, asked: bool | None) -> bool:
        return self.kind == "vqa" if asked is None else asked


def _stem(path: Path) -> str:
    """A file's name without the ending of JSON lines, or all of it."""
    ending = next((ending for ending in _LINES if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)]


def _images_beside(path: Path) -> Path:
    stem = _stem(path)
    tried = [path.parent / f"{name}{ending}" for name in (f"{stem}_images", "images") for ending in _IMAGES]
    for place in tried:
        if place.exists():
            return place
    raise FileError(
        path, f"says nothing of where its images lie, and {tried[0].name} is not beside it: name them with images="
    )


def _kind_of(path: str | os.PathLike[str]) -> str:
    """What a file holds, by its ending or else its beginning."""
    if str(path) == STANDARD_INPUT or _stem(Path(path)) != Path(path).name:
        return "lines"
    with open_binary(path) as stream:
        head = stream.read(_HEAD).lstrip()
    if head.startswith(b"["):
        return "easy-vqa"
    first = re.search(rb'"(question|questions|annotations)"\s*:', head)
    if first is not None and first[1] == b"annotations":
        raise FileError(path, "holds VQA v2's answers: name the file of questions, and this one with annotations=")
    return "vqa" if first is not None and first[1] == b"questions" else "lines"


def _names(source: Source) -> list[str]:
    """What images are called."""
    if source.names is not None:
        return list(source.names)
    if isinstance(source, Arrays) and source.path.is_file():
        ids = _ids(source.path)
        if ids is not None:
            if len(ids) != len(source):
                raise FileError(source.path, f"has {len(ids):,} ids for {len(source):,} images: give one for each")
            return ids
    return [str(number) for number in range(len(source))]


def _ids(path: Path) -> list[str] | None:
    """What an ``.npz`` file calls its images, if it does."""
    import zipfile

    if not zipfile.is_zipfile(path):
        return None
    # Looked at by the reader of images before; of this array, nothing is unpickled either.
    with os_errors_named(path), np.load(path, allow_pickle=False) as arrays:
        key = next((key for key in _IDS if key in arrays.files), None)
        if key is None:
            return None
        try:
            values = arrays[key]
        except ValueError as error:
            raise FileError(path, f"array {key!r} cannot be read ({error}): save plain numbers or texts") from None
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise FileError(path, f"array {key!r} is {values.dtype} {values.shape}: give a number or a name for each image")
    return [str(value) for value in values.tolist()]


def _resolve(rows: Rows, names: Sequence[str], *, skip: bool) -> tuple[list[Row], list[int], list[Row]]:
    """The rows whose images are known, these, and the other rows."""
    known = ImageNames(names, "the images")
    places: dict[str, int] = {}
    kept: list[Row] = []
    found: list[int] = []
    lost: list[Row] = []
    for row in rows.found:
        place = places.get(row.image)
        if place is None:
            try:
                place = known.place(row.image)
            except UnknownImageError as error:
                if not skip:
                    raise row.spot.error(f"asks about an image that is not there: {error}") from None
                place = -1
            places[row.image] = place
        if place < 0:
            lost.append(row)
        else:
            kept.append(row)
            found.append(place)
    return kept, found, lost


def _named(error: PictureError, source: Source, rows: Sequence[Row], places: Sequence[int]) -> FileError:
    """A damaged picture, with the first question about it."""
    for row, place in zip(rows, places, strict=True):
        if source.names is not None and f"{source.path}/{source.names[place]}" == error.path:
            return row.spot.error(f"asks about {error.path}, which {error.problem}")
    return error


def _warn_of_lost(rows: Rows, lost: Sequence[Row]) -> None:
    some = ", ".join(f"{row.spot} (image {row.image!r})" for row in lost[:_SHOWN])
    warnings.warn(
        f"{rows.path}: {len(lost):,} of {len(rows.found):,} questions are left out, as their images are missing or "
        f"damaged: {some}{', ...' if len(lost) > _SHOWN else ''}",
        SkippedQuestionsWarning,
        stacklevel=3,
    )


def _questions(
    rows: Rows, kept: Sequence[Row], places: np.ndarray[tuple[int], np.dtype[np.int64]], images: Images, normalize: bool
) -> Questions:
    answers = [tuple(map(normalize_answer, row.answers)) if normalize else row.answers for row in kept]
    answered = bool(kept) and bool(answers[0])
    numbered = [row.number for row in kept]
    lines = [row.spot.line for row in kept]
    return Questions(
        [row.text for row in kept],
        places,
        images,
        answers if answered else None,
        [row.question_type or question_type_of(row.text) for row in kept],
        [row.answer_type or answer_type_of(main_answer(given)) for row, given in zip(kept, answers, strict=True)]
        if answered
        else None,
        None if None in numbered else [str(number) for number in numbered],
        None if None in lines else [int(line or 0) for line in lines],
        rows.path,
    )


def _told_apart(questions: Questions) -> Questions:
    """Each picture once, where a data set repeats it with every question."""
    _, first, which = np.unique(image_digests(questions.images), return_index=True, return_inverse=True)
    # In the order in which they come.
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return replace(
        questions, images=questions.images.select(first[order]), places=rank[which.reshape(-1)][questions.places]
    )


def _check_repeated(questions: Questions, rows: Sequence[Row], *, refuse: bool) -> None:
    first: dict[tuple[int, str], int] = {}
    again: list[tuple[int, int]] = []
    for number, key in enumerate(zip(questions.places.tolist(), questions.texts, strict=True)):
        earlier = first.setdefault(key, number)
        if earlier != number:
            again.append((number, earlier))
    if not again:
        return
    number, earlier = again[0]
    if refuse:
        raise rows[number].spot.error(
            f"asks {questions.texts[number]!r:.60} of the same image as {rows[earlier].spot} does: leave one out"
        )
    other = 0
    if questions.answers is not None:
        answers = questions.answers
        other = sum(answers[number] != answers[earlier] for number, earlier in again)
    warnings.warn(
        f"{questions.source}: {len(again):,} of {len(questions):,} questions were asked of the same image before, "
        f"{other:,} of them with another answer, such as {rows[number].spot} and {rows[earlier].spot}",
        RepeatedQuestionsWarning,
        stacklevel=3,
    )
