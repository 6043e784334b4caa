"""Questions that are drawn, with what is in their images.

>>> from multimodal.questions.configuration import DrawnQuestionsConfig
>>> drawn = draw_questions(DrawnQuestionsConfig(images=2))
>>> drawn.questions.images.shape, drawn.questions.texts[0], drawn.questions.answers[0]
((3, 48, 48), 'is there a ...', ('yes',))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.answers import NUMBER, OTHER, YES_OR_NO
from multimodal.questions.collection import Questions
from multimodal.questions.configuration import DrawnQuestionsConfig
from multimodal.questions.drawn.families import FAMILIES, ask
from multimodal.questions.drawn.pictures import draw_pictures
from multimodal.questions.drawn.scenes import draw_scenes, image_keys, pair_keys
from vision.images.collection import Images

if TYPE_CHECKING:
    from multimodal.questions.drawn.scenes import Scenes

ANSWER_TYPE_OF = {"exist": YES_OR_NO, "relate": YES_OR_NO, "neighbour": OTHER, "compare": YES_OR_NO, "count": NUMBER}

_AS_GIVEN = DrawnQuestionsConfig()


@dataclass(frozen=True)
class DrawnQuestions:
    """Questions whose images are known.

    Attributes:
        questions: In the order of their images; their type is their family.
        scenes: What is in each image.
    """

    questions: Questions
    scenes: Scenes


def draw_questions(config: DrawnQuestionsConfig = _AS_GIVEN) -> DrawnQuestions:
    """Draw images, and ask of them.

    What an image shows and what is asked of it are a function of the seed and its number: a smaller set is the
    beginning of a larger one.

    Args:
        config: How many, how hard, and what is asked (`multimodal.questions.drawn.families`).
    """
    scenes = draw_scenes(config)
    pairs, keys = pair_keys(config.seed, config.images), image_keys(config.seed, config.images)
    families = [name for name in FAMILIES if getattr(config, name)]
    asked = [ask(name, scenes, pairs, keys, config) for name in families]
    places = np.concatenate([found.images for found in asked])
    order = np.argsort(places, kind="stable").tolist()
    texts = [text for found in asked for text in found.texts]
    answers = [answer for found in asked for answer in found.answers]
    types = [name for name, found in zip(families, asked, strict=True) for _ in found.texts]
    images = Images(draw_pictures(scenes, keys, config), source=f"drawn questions (seed {config.seed})")
    questions = Questions(
        [texts[number] for number in order],
        places[order],
        images,
        [(answers[number],) for number in order],
        [types[number] for number in order],
        [ANSWER_TYPE_OF[types[number]] for number in order],
        source=images.source,
    )
    return DrawnQuestions(questions, scenes)
