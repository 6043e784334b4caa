"""The network that answers: words and an image to scores of answers.

With q the features of a question and v those of its image (a vector, or a grid of vectors),

    scores = W_2 relu(W_1 fuse(q, v) + b_1) + b_2,        loss = -sum_a share_a log softmax(scores)_a

where share_a is the share of people who gave the answer a. Answers that the vocabulary has not take their share out of
the sum. A batch is images with all of their questions: every image goes through its network once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.answerers.configuration import IMAGE, QUESTION
from multimodal.answerers.image_network import ImageNetwork
from multimodal.answerers.question_network import QuestionNetwork
from multimodal.answerers.words import PADDING
from multimodal.fusions.fusion import CanAttend
from multimodal.fusions.methods import make_fusion, takes_grids
from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine, seeded_torch
from nlprep.core.training.steps.step import PlainStep

if TYPE_CHECKING:
    from multimodal.answerers.configuration import AnswererConfig
    from nlprep.core.training.steps.step import Batch
    from vision.images.collection import Shape

_NETWORKS, _FUSION = 1, 2


class AnswererNetwork(nn.Module):
    """Scores of answers to questions about images.

    Args:
        config: Its settings.
        num_words: Numbers of words (`multimodal.answerers.words.QuestionWords`).
        num_answers: Answers that there are to give.
        shape: (channels, height, width) of images, for a network of its own.
        features: Numbers in the features of images, or at each of their places, where an encoder makes these and the
            model has no such network; None: it has one.
        seed: Of all weights.

    Attributes:
        gridded: Whether its fusion takes grids.

    Raises:
        OptionError: As the fusion and the network of images.
    """

    def __init__(
        self,
        config: AnswererConfig,
        *,
        num_words: int,
        num_answers: int,
        shape: Shape,
        features: int | None = None,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.gridded = config, takes_grids(config.fusion.kind)
        self.words: QuestionNetwork | None = None
        self.images: ImageNetwork | None = None
        with seeded_torch(int(combine(seed, _NETWORKS))):
            text_dimension = config.question.width
            if config.sees == IMAGE:
                self.no_question = nn.Parameter(torch.randn(text_dimension))
            else:
                self.words = QuestionNetwork(num_words, config.question)
            image_dimension = config.image.width if features is None else features
            if config.sees == QUESTION:
                self.no_image = nn.Parameter(torch.randn(image_dimension))
            elif features is None:
                self.images = ImageNetwork(shape, config.image, gridded=self.gridded)
                image_dimension = self.images.dimension
        self.fusion = make_fusion(text_dimension, image_dimension, config.fusion, seed=int(combine(seed, _FUSION)))
        with seeded_torch(seed):
            hidden = [] if not config.head else [nn.Linear(self.fusion.dimension, config.head), nn.ReLU()]
            width = config.head or self.fusion.dimension
            self.head = nn.Sequential(*hidden, nn.Dropout(config.dropout), nn.Linear(width, num_answers))

    def image_features(self, images: Tensor) -> Tensor:
        """Features of images, once for all of their questions.

        Args:
            images: (b, channels, height, width) uint8, or what an encoder made of them.

        Returns:
            (b, h, w, c) where the fusion takes grids, else (b, d).
        """
        if self.config.sees == QUESTION:
            blank = self.no_image.expand(len(images), -1)
            return blank[:, None, None] if self.gridded else blank
        if self.images is not None:
            found: Tensor = self.images(images)
            return found
        return images

    def question_features(self, words: Tensor) -> Tensor:
        """Features (n, dt) of questions (n, longest) of words."""
        if self.words is None:
            return self.no_question.expand(len(words), -1)
        found: Tensor = self.words(words)
        return found

    def scores(self, features: Tensor, words: Tensor, owners: Tensor) -> Tensor:
        """Scores of all answers, before the softmax.

        Args:
            features: Of b images, from `image_features`.
            words: (n, longest) of questions.
            owners: (n,) whose image each question is about, of the b.

        Returns:
            (n, answers).
        """
        fused = self.fusion(self.question_features(words), features[owners])
        found: Tensor = self.head(fused)
        return found

    def attend(self, features: Tensor, words: Tensor) -> Tensor:
        """Where it looks: (n, maps, h, w), shares that sum to 1 over places, of n images and a question about each.

        Raises:
            OptionError: Its fusion looks at no place more than at others, or it sees no image.
        """
        if not isinstance(self.fusion, CanAttend) or self.config.sees == QUESTION:
            raise OptionError(
                f"a model with the fusion {self.config.fusion.kind!r} cannot say where it looked: train one with "
                "attention"
            )
        return self.fusion.attend(self.question_features(words), features)

    def forward(
        self, images: Tensor, words: Tensor, answers: Tensor, shares: Tensor, worths: Tensor
    ) -> dict[str, Tensor]:
        """Losses of images with their questions.

        Args:
            images: As `image_features` takes them.
            words: (b, questions, longest), rows of padding alone where an image has fewer questions than another.
            answers: (b, questions, k) of each question what people answered, -1 for nothing and for answers that are
                not in the vocabulary.
            shares: (b, questions, k) the share of people who did.
            worths: (b, questions, k) what these answers are worth.

        Returns:
            ``loss``, and ``mistakes``: 1 less the mean of what the most probable answers are worth. Both are means
            over all questions, those whose answers are unknown included.
        """
        asked = words[..., 0] != PADDING
        owners = asked.nonzero()[:, 0]
        scores = self.scores(self.image_features(images), words[asked], owners).float()
        answers, shares, worths = answers[asked], shares[asked], worths[asked]
        probable = functional.log_softmax(scores, 1).gather(1, answers.clamp(min=0))
        loss = -(shares * probable).sum(1).mean()
        right = (worths * (answers == scores.detach().argmax(1, keepdim=True))).sum(1)
        return {"loss": loss, "mistakes": 1 - right.mean()}

    def step(self) -> PlainStep:
        """How it is trained: losses are means over questions, and the fewest mistakes decide which weights are kept."""
        step = PlainStep(self, weight=_count_questions, num_units=_count_questions, unit="questions")
        step.criterion = "mistakes"
        return step


def _count_questions(batch: Batch) -> int:
    return int((batch["words"][..., 0] != PADDING).sum())
