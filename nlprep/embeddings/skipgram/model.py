"""The model of skip-gram: its settings, its parameters, its loss, and what an engine that trains it must do.

For a centre word o, a context word c within a window around it and K negatives n_k the loss is

    -log sigmoid(v_c . u_o) - sum_k log sigmoid(-v_c . u_{n_k})

with input vectors v (the result) and output vectors u (Mikolov et al. 2013). The window is drawn anew for every
centre word, frequent words are sub-sampled away first, negatives come from the unigram distribution to the power
3/4, and the learning rate falls linearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.embeddings.configuration import SkipGramConfig


@dataclass(frozen=True)
class Chunk:
    """A range of tokens to train on at a learning rate that falls from ``rate_first`` to ``rate_last``."""

    first: int
    last: int
    rate_first: float
    rate_last: float


@dataclass
class Parameters:
    """The two matrices being trained, (num_words, dimension) float32; engines may hold views of padded storage."""

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]


class Engine(Protocol):
    """Whoever does the arithmetic."""

    def train(self, chunks: list[Chunk], epoch: int) -> None:
        """Train on chunks of the corpus; returns when all are done."""

    def parameters(self) -> Parameters:
        """The matrices as they are now, in host memory."""

    def examples(self, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The examples of a held-out range: contexts (e,) and outputs (e, 1 + negatives), -1 where void."""

    def scores(self, contexts: NDArray[np.int32], outputs: NDArray[np.int32]) -> NDArray[np.float32]:
        """Inner products of contexts (e,) with their outputs (e, k) as the matrices are now; 0 for outputs of -1."""


def initial_parameters(num_words: int, config: SkipGramConfig) -> Parameters:
    """Where training starts: inputs uniform in [-1 / d, 1 / d), outputs zero.

    The range is gensim's, twice that of word2vec, whose own made word similarity a little worse.
    """
    generator = np.random.default_rng(config.seed)
    inputs = generator.random((num_words, config.dimension), dtype=np.float32)
    inputs -= 0.5
    inputs *= 2.0 / config.dimension
    return Parameters(inputs, np.zeros((num_words, config.dimension), np.float32))


def example_loss(scores: NDArray[np.float32], outputs: NDArray[np.int32]) -> float:
    """Mean skip-gram loss of examples, in nats.

    Args:
        scores: (e, 1 + negatives) inner products of each example's context with its outputs.
        outputs: (e, 1 + negatives) word ids, the centre word first; -1 counts for nothing.

    Returns:
        The mean over examples of ``-log sigmoid(s_0) - sum_k log sigmoid(-s_k)``.
    """
    signed = scores.astype(np.float64)
    signed[:, 0] *= -1
    # Vectors that have run away give infinities here; the caller looks at the sum.
    with np.errstate(invalid="ignore", over="ignore"):
        losses = np.logaddexp(0.0, signed)
    return float(losses[outputs >= 0].sum()) / max(1, len(scores))
