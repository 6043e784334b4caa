"""Questions about drawn images, few and small, and a model that learns them in a moment."""

from __future__ import annotations

import numpy as np

from multimodal.answerers.configuration import AnswererConfig, ImageNetworkConfig, QuestionNetworkConfig
from multimodal.fusions.configuration import FusionConfig
from multimodal.questions.collection import Questions
from nlprep.core.training.configuration import TrainingConfig
from vision.images.collection import Images

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
SIDES = ("left", "right")


def ask_of_halves(count=24, seed=0, side=8):
    """Images whose halves have a colour each, and questions for the colours of both, for a colour, and for nothing."""
    draws = np.random.default_rng(seed)
    names = list(COLOURS)
    halves = draws.integers(0, 3, (count, 2))
    pixels = np.zeros((count, 3, side, side), np.uint8)
    texts, places, answers = [], [], []
    for place, pair in enumerate(halves):
        for half, colour in enumerate(pair):
            part = slice(half * side // 2, (half + 1) * side // 2)
            noise = draws.integers(-20, 21, (3, side, side // 2))
            value = np.array(COLOURS[names[colour]])[:, None, None] + noise
            pixels[place, :, :, part] = value.clip(0, 255)
            texts.append(f"what colour is the {SIDES[half]} half ?")
            answers.append((names[colour],))
            places.append(place)
        if place % 3 == 0:
            texts.append("is anything red here ?")
            answers.append(("yes" if 0 in pair else "no",))
            places.append(place)
    return Questions(texts, np.array(places), Images(pixels, source="halves"), answers, source="halves")


def small(kind="attention", **others):
    """The settings of a small model."""
    fusion = {"then": "mlp"} if kind == "attention" else {}
    return AnswererConfig(
        question=QuestionNetworkConfig(dimension=8, width=12),
        image=ImageNetworkConfig(width=8, layers=2, strided=1),
        fusion=FusionConfig(
            kind=kind, **{"width": 8, "dimension": 16} if kind in ("attention", "mlp", "film") else {}, **fusion
        ),
        head=16,
        **others,
    )


def short(steps=6, **others):
    """The settings of a short run."""
    return TrainingConfig(**{"steps": steps, "batch_size": 4, "learning_rate": 1e-2, "evaluate_every": 3, **others})
