"""What the tests of ``rep-pretrain`` share."""

from __future__ import annotations

import sys

from nlprep.demonstration import generate_sentences

PRETRAIN = [sys.executable, "-m", "cli.pretrain"]

# The smallest thing that is still a model: it is not to be good, it is to be made.
SHAPE = ["--layers", "1", "--width", "16", "--heads", "2", "--block-length", "64", "--validation-fraction", "0.05"]
VOCABULARY = ["--vocabulary-size", "300"]
SHORT = ["--steps", "6", "--batch-size", "4", "--log-every", "2", "--precision", "fp32", "--threads", "1"]
SMALL = [*SHAPE, *VOCABULARY, *SHORT]


def english(num: int, seed: int = 1) -> str:
    """Generated sentences, one a line."""
    return "".join(f"{sentence}\n" for sentence in generate_sentences("en", num, seed=seed))
