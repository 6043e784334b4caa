"""A trained model with all that belongs to it: pictures and questions to answers.

>>> from multimodal.answerers.answerer import Answerer  # doctest: +SKIP
>>> Answerer.from_directory("run").answer("kitchen.jpg", "is there a red cup?").answer  # doctest: +SKIP
'yes'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from multimodal.answerers.configuration import QUESTION, AnswererConfig
from multimodal.answerers.image_network import encoder_features
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import evaluation_mode
from vision.encoders.pictures import batches_of_pixels
from vision.images.collection import Images

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from multimodal.answerers.network import AnswererNetwork
    from multimodal.answerers.words import QuestionWords
    from multimodal.questions.collection import Questions
    from nlprep.core.progress import Progress
    from nlprep.vocabulary import Vocabulary
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.preprocessing import Preprocessing

_QUESTIONS_AT_ONCE = 4096


@dataclass(frozen=True)
class GivenAnswer:
    """What was answered to a question.

    Attributes:
        answer: The most probable answer.
        probability: Its probability.
        ranking: The most probable answers with their probabilities, the best first.
        unknown_words: Words of the question that did not occur often enough in training to be known.
    """

    answer: str
    probability: float
    ranking: tuple[tuple[str, float], ...]
    unknown_words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "answer": self.answer,
            "probability": self.probability,
            "ranking": [{"answer": answer, "probability": probability} for answer, probability in self.ranking],
            "unknown_words": list(self.unknown_words),
        }


@dataclass(frozen=True)
class GivenAnswers:
    """What was answered to several questions.

    Attributes:
        answers: The most probable answer to each.
        confidences: (n,) float64, their probabilities.
    """

    answers: tuple[str, ...]
    confidences: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """A model that answers questions about images.

    Attributes:
        network: The module, in evaluation mode.
        words: The words that it knows.
        vocabulary: The answers that it gives.
        preprocessing: What makes images of pictures.
        encoder: What makes features of images, where it has no network of its own for that.
        temperature: What scores are divided by, so that probabilities are as high as answers are right.
        seen: Digests of the images that it was trained on, ascending (`multimodal.questions.image_content`).
        notes: Plain values: what training came to.
    """

    network: AnswererNetwork
    words: QuestionWords
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    encoder: ImageEncoder | None = None
    temperature: float = 1.0
    seen: NDArray[np.bytes_] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], *, device: str | None = None) -> Answerer:
        """Open what a run published or `save` wrote.

        Args:
            directory: Of a run of `multimodal.answerers.training.train_answerer`, or of a model.
            device: ``cpu``, ``cuda``...; default: a GPU where there is one.

        Raises:
            FileError: Missing, damaged, or something else's.
            OptionError: A device that is not there.
        """
        from multimodal.answerers.files import load_answerer

        return load_answerer(directory, device=device)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens; as `multimodal.answerers.files.save_answerer`."""
        from multimodal.answerers.files import save_answerer

        save_answerer(self, directory, overwrite=overwrite)

    @property
    def config(self) -> AnswererConfig:
        """The network's settings."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def answer(self, image: Any, question: str, *, number: int = 5) -> GivenAnswer:
        """Answer a question about a picture.

        Args:
            image: A path, a Pillow image or an array of any size, as `vision.images.preprocessing.Preprocessing` takes;
                a model that sees questions alone does not look at it.
            question: What is asked.
            number: How many of the most probable answers are told.

        Raises:
            FileError: A picture that cannot be read or is damaged.
            NlprepError: An empty question, or something that is no picture.
            OptionError: A number below 1.
        """
        if number < 1:
            raise OptionError(f"number = {number}: must be at least 1")
        probabilities = self._probabilities(self._asked(image, question))[0]
        best = np.argsort(-probabilities, kind="stable")[:number].tolist()
        ranking = tuple((self.vocabulary.words[place], float(probabilities[place])) for place in best)
        return GivenAnswer(*ranking[0], ranking, tuple(self.words.unknown(question)))

    def look(self, image: Any, question: str) -> NDArray[np.float32]:
        """Where it looks to answer: (maps, h, w), shares that sum to 1 over the places of the image.

        Args:
            image: As for `answer`.
            question: What is asked.

        Raises:
            OptionError: Its fusion looks at no place more than at others (only ``attention`` does).
            FileError: As `answer`, and so is what follows.
            NlprepError: Likewise.
        """
        asked = self._asked(image, question)
        with evaluation_mode(self.network):
            features = self._features(asked.images.pixels)
            words = torch.from_numpy(self.words.numbers([question])).to(self.device)
            found: NDArray[np.float32] = self.network.attend(features, words)[0].float().cpu().numpy()
        return found

    def answer_questions(
        self, questions: Questions, *, batch_size: int = 64, progress: Progress = SILENT
    ) -> GivenAnswers:
        """Answer questions, each image looked at once.

        Args:
            questions: n questions; answers that they have are not looked at.
            batch_size: Images at once.
            progress: Gets images.

        Raises:
            OptionError: A batch size below 1.
        """
        best = np.zeros(len(questions), np.int64)
        confidences = np.zeros(len(questions), np.float64)
        for numbers, scores in self._scored(questions, batch_size, progress):
            probabilities = self._softmax(scores)
            best[numbers] = probabilities.argmax(1)
            confidences[numbers] = probabilities.max(1)
        return GivenAnswers(tuple(self.vocabulary.words[place] for place in best.tolist()), confidences)

    def scores(self, questions: Questions, *, batch_size: int = 64, progress: Progress = SILENT) -> NDArray[np.float32]:
        """Scores (n, answers) of n questions before the softmax, and before the temperature; as `answer_questions`."""
        found = np.zeros((len(questions), len(self.vocabulary)), np.float32)
        for numbers, scores in self._scored(questions, batch_size, progress):
            found[numbers] = scores
        return found

    def _asked(self, image: Any, question: str) -> Questions:
        from multimodal.questions.collection import Questions

        # A model that sees no image needs none.
        blind = self.config.sees == QUESTION
        pixels = np.zeros((1, 1, 1, 1), np.uint8) if blind else self.preprocessing(image)[None]
        return Questions([question], np.zeros(1, np.int64), Images(pixels), source="question")

    def _probabilities(self, questions: Questions) -> NDArray[np.float64]:
        return self._softmax(self.scores(questions))

    def _softmax(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        scaled = scores.astype(np.float64) / self.temperature
        powers = np.exp(scaled - scaled.max(1, keepdims=True))
        probabilities: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return probabilities

    def _scored(
        self, questions: Questions, batch_size: int, progress: Progress
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Numbers of questions and their scores, image by image."""
        if batch_size < 1:
            raise OptionError(f"batch_size = {batch_size}: must be at least 1")
        groups = questions.by_image()
        with progress.task("answering", len(groups.places)) as task, evaluation_mode(self.network):
            done = 0
            for pixels in self._pixels(questions.images, groups.places, batch_size):
                features = self._features(pixels)
                ends = groups.ends[done : done + len(pixels) + 1]
                numbers = groups.order[ends[0] : ends[-1]]
                owners = np.repeat(np.arange(len(pixels)), np.diff(ends))
                # Where an image has thousands of questions, of these as many as memory takes.
                for start in range(0, len(numbers), _QUESTIONS_AT_ONCE):
                    part = slice(start, start + _QUESTIONS_AT_ONCE)
                    words = self.words.numbers([questions.texts[number] for number in numbers[part].tolist()])
                    scores = self.network.scores(
                        features,
                        torch.from_numpy(words).to(self.device),
                        torch.from_numpy(owners[part]).to(self.device),
                    )
                    found = scores.float().cpu().numpy()
                    if not np.isfinite(found).all():
                        raise NlprepError("the model gives scores that are no finite numbers: train it again")
                    yield numbers[part], found
                done += len(pixels)
                task.advance(len(pixels))

    def _pixels(self, images: Images, places: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.uint8]]:
        """Images of the model's shape, a batch at a time, without copying all of them."""
        for start in range(0, len(places), batch_size):
            chosen = places[start : start + batch_size]
            if self.config.sees == QUESTION:
                yield np.zeros((len(chosen), 1, 1, 1), np.uint8)
                continue
            some = Images(np.ascontiguousarray(images.pixels[chosen]), source=images.source)
            yield from batches_of_pixels(some, batch_size, self.preprocessing)

    def _features(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        if self.encoder is not None and self.config.sees != QUESTION:
            made = encoder_features(self.encoder, pixels, gridded=self.network.gridded)
            return self.network.image_features(made.to(self.device))
        return self.network.image_features(torch.from_numpy(pixels).to(self.device))


def check_answers(vocabulary: Sequence[str] | Vocabulary) -> None:
    """Fail where there is nothing to choose from.

    Raises:
        NlprepError: Fewer than two answers.
    """
    if len(vocabulary) < 2:
        raise NlprepError(
            f"all training questions have one answer, {next(iter(vocabulary), None)!r}: give questions with others, too"
        )
