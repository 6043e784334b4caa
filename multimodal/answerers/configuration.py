"""The settings of models that answer questions about images."""

from __future__ import annotations

from dataclasses import dataclass

from multimodal.fusions.configuration import FusionConfig
from multimodal.questions.configuration import AnswersConfig
from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

BOTH, QUESTION, IMAGE = SIDES = ("both", "question", "image")
"""What a model sees; those that see one side are controls."""
_FUSION, _ANSWERS = FusionConfig(), AnswersConfig()


@dataclass(frozen=True, kw_only=True)
class QuestionNetworkConfig:
    """A recurrent network over the words of a question."""

    dimension: int = option(64, "numbers in a word's vector", minimum=1)
    width: int = option(128, "units of the recurrent network, which are a question's features", minimum=1)
    minimum: int = option(2, "how often a word has to occur in training questions to be known", minimum=1)
    dropout: float = option(0.0, "share of the numbers of words that are hidden in training", minimum=0, maximum=0.95)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ImageNetworkConfig:
    """A convolutional network that is trained from nothing; an encoder that is given takes its place."""

    width: int = option(64, "channels of every layer, which are the features of a place", minimum=1)
    layers: int = option(4, "convolutions of 3 x 3", minimum=1)
    strided: int = option(3, "of these, the first that halve height and width", minimum=0)
    pooling: str = option(
        "mean", "what becomes of all places for a fusion of vectors", choices=("mean", "max", "mean-max", "all")
    )

    def __post_init__(self) -> None:
        check(self)
        if self.strided > self.layers:
            raise OptionError(f"strided = {self.strided}: there are {self.layers} layers: give no more than these")


@dataclass(frozen=True, kw_only=True)
class AnswererConfig:
    """A model that answers questions about images."""

    sees: str = option(BOTH, "what it is given: both sides, or one alone as a control", choices=SIDES)
    question: QuestionNetworkConfig = QuestionNetworkConfig()
    image: ImageNetworkConfig = ImageNetworkConfig()
    fusion: FusionConfig = _FUSION
    head: int = option(256, "hidden units between what is fused and the answers; 0: none, a linear read-out", minimum=0)
    dropout: float = option(0.0, "share of the head's units that are hidden in training", minimum=0, maximum=0.95)
    answers: AnswersConfig = _ANSWERS

    def __post_init__(self) -> None:
        check(self)
