"""What is told by drawn questions without their images, and how fast they are drawn.

Question only is who gives each text the answer that it has most often in training, and a text that is new the most
frequent answer of all::

    python -m benchmarks.drawn_questions             12,000 images to learn from
    python -m benchmarks.drawn_questions --quick     2,000

Seconds are of one thread of a processor, of one run.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report import describe_machine, make_parser, print_table
from multimodal.questions.configuration import DrawnQuestionsConfig
from multimodal.questions.drawn.drawing import draw_questions
from multimodal.questions.drawn.families import FAMILIES

if TYPE_CHECKING:
    from multimodal.questions.collection import Questions

FULL, QUICK, TEST = 12_000, 2_000, 4_000


def of_family(questions: Questions, family: str) -> Questions:
    """Those of one family."""
    return questions.select(np.flatnonzero(np.array(questions.question_types) == family))


def question_only(train: Questions, test: Questions) -> float:
    """The share of right answers of who sees texts alone."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for text, answer in zip(train.texts, train.main_answers, strict=True):
        votes[text][answer] += 1
    usual = Counter(train.main_answers)
    given = [(votes.get(text) or usual).most_common(1)[0][0] for text in test.texts]
    return float(np.mean([one == answer for one, answer in zip(given, test.main_answers, strict=True)]))


def main() -> None:
    """Draw, and print what texts tell."""
    given = make_parser(__doc__, quick=f"{QUICK:,} images to learn from").parse_args()
    images = QUICK if given.quick else FULL
    print(describe_machine())
    begun = time.process_time()
    train = draw_questions(DrawnQuestionsConfig(images=images, seed=given.seed)).questions
    seconds = time.process_time() - begun
    test = draw_questions(DrawnQuestionsConfig(images=TEST, seed=given.seed + 1)).questions
    rows = []
    for family in FAMILIES:
        learned, asked = of_family(train, family), of_family(test, family)
        frequent = Counter(asked.main_answers).most_common(1)[0][1] / len(asked)
        told = question_only(learned, asked)
        rows.append([family, f"{len(learned):,}", f"{100 * frequent:.1f}", f"{100 * told:.1f}"])
    told = question_only(train, test)
    frequent = Counter(test.main_answers).most_common(1)[0][1] / len(test)
    rows.append(["all", f"{len(train):,}", f"{100 * frequent:.1f}", f"{100 * told:.1f}"])
    print_table(
        f"{images:,} images of {train.images.shape[1]} x {train.images.shape[2]} to learn from, {TEST:,} to measure on",
        ["family", "questions", "most frequent answer, %", "question only, %"],
        rows,
    )
    speed = f"{images / seconds:,.0f} images and {len(train) / seconds:,.0f} questions a second"
    print(f"Drawn in {seconds:.1f} s of one thread: {speed}")


if __name__ == "__main__":
    main()
