"""How good a model's answers are, beside what they would be with one side taken away.

An accuracy on questions about images says nothing of whether the images were looked at: many answers are guessed from
the question alone. So every score stands beside its controls, and the report says in words where images add nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.answerers.configuration import BOTH, IMAGE, QUESTION
from multimodal.questions.controls import CONTROLS, shuffle_images
from multimodal.questions.image_content import image_digests
from multimodal.questions.scores import AnswerReport, AnswerScore, Mistake, score_answers, soft_worths, surest_mistakes
from multimodal.questions.splits import SharedImagesWarning
from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from multimodal.answerers.answerer import Answerer
    from multimodal.questions.collection import Questions
    from nlprep.core.progress import Progress

QUESTION_ONLY = "question only"
TRAINED_SO, TAKEN_AWAY, CONSTANT = "trained so", "the same model, one side taken away", "one answer to all"


@dataclass(frozen=True)
class Control:
    """What a score is compared with.

    Attributes:
        name: As of `multimodal.questions.controls.CONTROLS`, or the answer that is most frequent in training.
        made: How: by a model that was trained so, by the same model, or by one answer.
        score: How good its answers are.
        lead: By how much the model's answers are worth more, over the same questions; images are independent draws.
    """

    name: str
    made: str
    score: AnswerScore
    lead: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {**self.score.to_dict(), "name": self.name, "made": self.made, "lead": self.lead.to_dict()}


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to some questions, measured.

    Attributes:
        report: How good they are.
        controls: What they are compared with.
        verdict: A sentence on whether the images were of use.
        mistakes: The surest answers that nobody gave.
        seen_images: How many of the images the model was trained on, told by their pixels: what is measured on these
            says nothing of new ones.
    """

    report: AnswerReport
    controls: tuple[Control, ...]
    verdict: str
    mistakes: tuple[Mistake, ...]
    seen_images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            **self.report.to_dict(),
            "controls": [control.to_dict() for control in self.controls],
            "verdict": self.verdict,
            "mistakes": [mistake.to_dict() for mistake in self.mistakes],
            "seen_images": self.seen_images,
        }


def evaluate_answerer(
    answerer: Answerer,
    questions: Questions,
    *,
    question_only: Answerer | None = None,
    batch_size: int = 64,
    mistakes: int = 20,
    seed: int = 1,
    progress: Progress = SILENT,
) -> Evaluation:
    """Measure a model, and its controls on the same questions.

    Args:
        answerer: The model.
        questions: With answers; those that the model does not know count as wrong, and their share is told.
        question_only: A model that was trained on questions alone, with the same words and answers; without it, the
            model itself is asked with grey images, which it never saw, so that it may do worse than it could.
        batch_size: Images at once.
        mistakes: How many of the surest are kept.
        seed: Of the images' shuffling.
        progress: Gets images.

    Warns:
        SharedImagesWarning: Some of the images were trained on.

    Raises:
        NlprepError: No questions, or no answers to compare with.
        OptionError: A control that sees images.
    """
    if question_only is not None and question_only.config.sees != QUESTION:
        raise OptionError(f"question_only sees {question_only.config.sees}: give a model that sees questions alone")
    given = answerer.answer_questions(questions, batch_size=batch_size, progress=progress)
    report = score_answers(questions, given.answers, confidences=given.confidences, vocabulary=answerer.vocabulary)
    worth = soft_worths(questions, given.answers)

    def compared(name: str, made: str, answers: tuple[str, ...]) -> Control:
        lead = measure_lead(worth, soft_worths(questions, answers), questions.places)
        return Control(name, made, score_answers(questions, answers).whole, lead)

    frequent = answerer.vocabulary.words[0]
    controls = [compared(f"always {frequent!r}", CONSTANT, (frequent,) * len(questions))]
    for name, control in CONTROLS.items():
        if name == QUESTION_ONLY and question_only is not None:
            made = question_only.answer_questions(questions, batch_size=batch_size, progress=progress)
            controls.append(compared(name, TRAINED_SO, made.answers))
        elif _says_something(name, answerer, questions):
            asked = shuffle_images(questions, seed=seed) if control is shuffle_images else control(questions)
            made = answerer.answer_questions(asked, batch_size=batch_size, progress=progress)
            controls.append(compared(name, TAKEN_AWAY, made.answers))
    worst = tuple(surest_mistakes(questions, given.answers, given.confidences, number=mistakes))
    seen = _seen_images(answerer, questions)
    return Evaluation(report, tuple(controls), _verdict(answerer, report, controls), worst, seen)


def _seen_images(answerer: Answerer, questions: Questions) -> int:
    """How many images were trained on, which is said loudly."""
    if answerer.seen is None:
        return 0
    places = questions.image_places
    count = int(np.isin(image_digests(questions.images, places), answerer.seen).sum())
    if count:
        warnings.warn(
            f"{questions.source}: {count:,} of {len(places):,} images are among those that the model was trained on: "
            "what is measured on these says nothing of new images",
            SharedImagesWarning,
            stacklevel=3,
        )
    return count


def measure_lead(
    first: NDArray[np.float64], second: NDArray[np.float64], clusters: NDArray[np.int64], *, level: float = 0.95
) -> Interval:
    """By how much one of two systems is better on the same questions, where these come in clusters.

    Differences are taken question by question, and their mean is a ratio of clusters' sums, whose variance is that of
    `nlprep.evaluation.intervals.clustered_interval`; the interval is the normal one. Of one cluster nothing is known.

    >>> measure_lead(np.array([1.0, 1, 1, 0]), np.array([1.0, 0, 0, 0]), np.array([0, 0, 1, 1]))
    Interval(value=0.5, low=0.5, high=0.5, level=0.95)

    Args:
        first: (n,) what the answers of the one are worth.
        second: (n,) of the other.
        clusters: (n,) of which image each question is.
        level: How often such intervals hold the true difference, roughly.
    """
    differences = first - second
    mean, (_, which) = float(differences.mean()), np.unique(clusters, return_inverse=True)
    sizes, sums = np.bincount(which), np.bincount(which, weights=differences)
    number = len(sizes)
    if number < 2:
        return Interval(mean, -1.0, 1.0, level)
    varied = number / (number - 1) * float(((sums - mean * sizes) ** 2).sum()) / len(differences) ** 2
    reach = NormalDist().inv_cdf((1 + level) / 2) * varied**0.5
    return Interval(mean, max(-1.0, mean - reach), min(1.0, mean + reach), level)


def _says_something(name: str, answerer: Answerer, questions: Questions) -> bool:
    """Whether a control differs from the model: of one that sees one side, that side's being there does not."""
    if name == "image only":
        return answerer.config.sees != IMAGE
    return answerer.config.sees != QUESTION and (name == QUESTION_ONLY or len(questions.image_places) > 1)


def _verdict(answerer: Answerer, report: AnswerReport, controls: list[Control]) -> str:
    """Whether images were of use, in words."""
    if answerer.config.sees != BOTH:
        sides = {QUESTION: "questions", IMAGE: "images"}[answerer.config.sees]
        return f"This model sees {sides} alone: it is a control, and no answer to questions about images."
    # The better of the answers that need no image.
    blind = max((one for one in controls if one.name != "image only" and one.name != "shuffled images"),
                key=lambda one: one.score.soft.value)  # fmt: skip
    lead, name = blind.lead, f"{blind.name} ({blind.made})"
    scores = f"{report.whole.soft.value:.1%} against {blind.score.soft.value:.1%} of {name}"
    points = f"{100 * lead.value:+.1f} points, {100 * lead.low:+.1f} to {100 * lead.high:+.1f}"
    # A lead over another model may be of its training: images that are of use are missed when they are exchanged.
    shuffled = next((one for one in controls if one.name == "shuffled images"), None)
    if lead.low > 0 and shuffled is not None and shuffled.lead.low <= 0:
        return (
            f"The images are not looked at: with others in their places answers are as good "
            f"({shuffled.score.soft.value:.1%}), whatever the lead over {name} ({scores}) is due to."
        )
    if lead.low > 0:
        return f"The images are of use: {scores}, {points}."
    if lead.high < 0:
        return f"The images do harm: {scores}, {points}. Answer from questions alone."
    return f"The images add nothing that can be told from chance: {scores}, {points}."
