"""A start without a dictionary from a game (Conneau et al., ICLR 2018, section 2.1).

A discriminator learns to tell mapped source vectors from target vectors; an orthogonal map learns to fool it. Once it
is fooled, the two clouds of vectors lie upon each other, and some words upon their translations. A game is unstable by
nature. So several are played; how they go is judged by the mean cosine of the pairs that CSLS induces (section 3.5
there), which needs no dictionary, and one that falls behind the best is given up. What the others are worth is for
`nlprep.translation.aligners.self_learning` to find out, which goes on from each and believes attempts that agree.

Departures from the paper and its release, for vectors of 20 million words and two processors instead of billions and
a GPU: the map starts where the principal axes of both languages meet, instead of the identity; vectors are scaled such
that their entries are about one, without which the discriminator hardly learns at these rates; it is smaller, moves as
often as the map, and sees half of each vector, so that it cannot learn words by heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, seeded_torch
from nlprep.core.threads import torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.evaluation import Assessment
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.step import TwoPlayerStep
from nlprep.translation.aligners.maps import map_words
from nlprep.vectors.csls import find_candidates, mutual_pairs
from nlprep.vectors.normalization import fit_normalization

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from nlprep.core.randomness import Seeds
    from nlprep.core.training.evaluation import Evaluation
    from nlprep.core.training.steps.step import Batch, Moment
    from nlprep.translation.aligners.configuration import AdversarialConfig

AXES_OF = (0.1, 0.25, 0.15, 0.05)
"""Games start from the axes of such shares of the words, the frequent ones; further games from a random rotation.

Vectors that have nothing in common are not brought to agree by that: where one side was destroyed along every axis,
attempts from any two of these agree on 2% of the words at most, and between French and Spanish on 60 to 84%."""
FEWEST_PER_AXIS = 2
"""Axes of fewer words than this times the dimensions are accidents, and not used."""
CENTERED = 20_000
"""Vectors are centred on so many words of each side."""
_EVALUATIONS = 12
_SOURCE, _TARGET = 1, 2


@dataclass(frozen=True)
class Game:
    """What came of a game.

    Attributes:
        mapping: (d, d), nearly orthogonal, of the highest criterion.
        criteria: At every evaluation, as far as it went.
        given_up: Whether it fell behind another.
    """

    mapping: NDArray[np.float64]
    criteria: list[float]
    given_up: bool


class WordSamples:
    """Words of both languages, drawn alike; no two belong together.

    Args:
        source: (n, d) float32 vectors.
        target: (m, d) likewise.
    """

    def __init__(self, source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
        self._sides = (source, target)

    def __len__(self) -> int:
        return max(map(len, self._sides))

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:
        """Draw a source word and a target word for each seed; the indices say nothing."""
        drawn = {}
        for name, purpose, side in zip(("source", "target"), (_SOURCE, _TARGET), self._sides, strict=True):
            rows = combine(seeds.astype(np.int64), purpose, indices) % np.uint64(len(side))
            drawn[name] = torch.from_numpy(side[rows.astype(np.int64)])
        return drawn


class MapGame(TwoPlayerStep):
    """The map is the generator.

    Args:
        start: (d, d) orthogonal, to be used as ``x @ start``.
        config: Settings.
        seed: Of the discriminator's weights.
    """

    unit = "words"

    def __init__(self, start: NDArray[np.floating], config: AdversarialConfig, seed: int) -> None:
        dimension = len(start)
        with seeded_torch(seed):
            mapping = nn.Linear(dimension, dimension, bias=False)
            discriminator = nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(dimension, config.hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(config.hidden, config.hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(config.hidden, 1),
            )
        with torch.no_grad():
            mapping.weight.copy_(torch.from_numpy(np.ascontiguousarray(start.T)))
        super().__init__(mapping, discriminator)
        self._mapping = mapping
        self._config = config

    def losses(
        self,
        player: str,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        *,
        moment: Moment,  # noqa: ARG002 - the game is the same throughout
    ) -> Mapping[str, Tensor]:
        """Cross-entropy of the discriminator's judgement against the truth or, for the map, against its opposite.

        The truth is 1 for a mapped source vector and 0 for a target vector, smoothed (equations 3 and 4).
        """
        mapped = modules["generator"](batch["source"])
        judged = modules["discriminator"](torch.cat([mapped, batch["target"]])).squeeze(1)
        truth = torch.full_like(judged, self._config.smoothing)
        truth[: len(mapped)] = 1 - self._config.smoothing
        if player == "generator":
            return {"loss": binary_cross_entropy_with_logits(judged, 1 - truth)}
        right = ((judged > 0) == (truth > 0.5)).float().mean()
        return {"loss": binary_cross_entropy_with_logits(judged, truth), "accuracy": right}

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:  # noqa: ARG002 - two rates
        """Plain gradient descent, as in the paper, each player at its own rate."""
        rate = self._config.map_rate if player == "generator" else self._config.discriminator_rate
        return torch.optim.SGD(self.players[player].parameters(), lr=rate)

    @torch.no_grad()
    def after_update(self, player: str, *, moment: Moment) -> None:  # noqa: ARG002 - the pull is constant
        """Pull the map towards an orthogonal one: W <- (1 + b) W - b W W^T W (equation 7)."""
        if player == "generator":
            weight, pull = self._mapping.weight, self._config.orthogonality
            weight.copy_((1 + pull) * weight - pull * weight @ weight.T @ weight)

    def mapping(self) -> NDArray[np.float64]:
        """W, (d, d), to be used as ``x @ W``."""
        matrix: NDArray[np.float64] = self._mapping.weight.detach().cpu().double().numpy().T.copy()
        return matrix


class AdversarialStarts:
    """Plays games and offers what comes of them, for `nlprep.translation.aligners.self_learning` to start from.

    Args:
        source: (n, d) normalised vectors, frequent words first; any number of them.
        target: (m, d) likewise.
        config: Settings.
        seed: Of words, weights and dropout.
        neighborhood: Neighbours averaged by CSLS.
        threads: Processors to use; all by default.
        progress: Gets updates.

    Attributes:
        games: Those played so far.

    Raises:
        OptionError: Sides of different dimensions.
    """

    def __init__(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        config: AdversarialConfig,
        *,
        seed: int = 1,
        neighborhood: int = 10,
        threads: int | None = None,
        progress: Progress = SILENT,
    ) -> None:
        if source.shape[1] != target.shape[1]:
            raise OptionError(
                f"an orthogonal map needs vectors of one dimension, found {source.shape[1]} and {target.shape[1]}: "
                "train both sides alike, or choose the self-learning method"
            )
        self._config = config
        self._seed = seed
        # Where rare words are many, the mean of all lies far from the frequent ones, differently in each language.
        one, other = (fit_normalization(side[:CENTERED]).apply(side[:CENTERED]) for side in (source, target))
        self._sides = (one, other)
        self._neighborhood = neighborhood
        self._threads = threads
        self._progress = progress
        self.games: list[Game] = []

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """After each game that is not given up, (p, 2) pairs of words that its map makes each other's nearest."""
        for number in range(self._config.games):
            game = self.play(number)
            self.games.append(game)
            if not game.given_up:
                yield self._induce(game.mapping)[0]

    def play(self, number: int) -> Game:
        """Play a game, the first of which is 0; give it up if it falls behind the best of those in `games`."""
        settings = self._config
        seed = int(combine(self._seed, number) % np.uint64(2**31))
        rivals = [game.criteria for game in self.games if not game.given_up]
        game = MapGame(self._start(number, seed), settings, seed)
        criteria: list[float] = []

        def judge(_evaluation: Evaluation) -> Assessment:
            criteria.append(self._induce(game.mapping())[1])
            best = max((rival[len(criteria) - 1] for rival in rivals), default=-np.inf)
            # The first evaluations say little: the map has hardly moved.
            behind = len(criteria) >= _EVALUATIONS // 2 and criteria[-1] < (1 - settings.behind) * best
            return Assessment({"criterion": -criteria[-1]}, stop="fell behind" if behind else None)

        training = TrainingConfig(
            steps=settings.steps,
            batch_size=settings.batch_size,
            schedule="linear",
            final_learning_rate=0.0,
            warmup=0,
            clip_norm=None,
            precision="fp32",
            seed=seed,
            log_every=100,
            evaluate_every=max(1, settings.steps // _EVALUATIONS),
        )
        # Entries of about one; the map of scaled vectors is that of the vectors.
        scale = np.float32(np.sqrt(self._sides[0].shape[1]))
        words = WordSamples(*(scale * side[: settings.frequent] for side in self._sides))
        with torch_threads(self._threads):
            history = fit(game, words, config=training, evaluate=judge, progress=self._progress)
        return Game(game.mapping(), criteria, given_up=history.stopped is not None)

    def _start(self, number: int, seed: int) -> NDArray[np.float64]:
        fewest = min(map(len, self._sides))
        words = round(AXES_OF[number] * fewest) if number < len(AXES_OF) else 0
        if words >= FEWEST_PER_AXIS * self._sides[0].shape[1]:
            return match_axes(self._sides[0][:words], self._sides[1][:words])
        random = np.random.default_rng(seed).standard_normal((self._sides[0].shape[1],) * 2)
        rotation: NDArray[np.float64] = np.linalg.qr(random)[0]
        return rotation

    def _induce(self, mapping: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
        """Mutual pairs of the judged words, and the paper's criterion: mean cosine of source words and their best."""
        maps = (mapping, np.eye(len(mapping)))
        one, other = map_words(self._sides[0], self._sides[1], maps, self._config.judged)
        found = find_candidates(one, other, neighborhood=self._neighborhood, threads=self._threads)
        cosines = np.einsum("ij,ij->i", one, other[found.targets[:, 0]])
        return mutual_pairs(found), float(cosines.mean(dtype=np.float64))


def match_axes(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation that lays the principal axes of one cloud of vectors onto those of another, in order.

    Either end of an axis may be the positive one: that towards which the vectors are skewed is.

    Args:
        source: (n, d) vectors, about a common point such as the mean of all words: where the frequent ones lie from
            it is the first of the axes that languages share.
        target: (m, d) likewise; no row belongs to any.

    Returns:
        (d, d) orthogonal, to be used as ``x @ W``. Axes of nearly equal variance may be confused.
    """
    axes: Sequence[NDArray[np.float64]] = [_find_axes(np.asarray(side, np.float64)) for side in (source, target)]
    rotation: NDArray[np.float64] = axes[0] @ axes[1].T
    return rotation


def _find_axes(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal axes, (d, d) columns by falling variance, pointing the way of the skew."""
    axes = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1]
    skew = ((vectors @ axes) ** 3).sum(axis=0)
    directed: NDArray[np.float64] = axes * np.where(skew < 0, -1.0, 1.0)
    return directed


def describe_games(games: Sequence[Game]) -> list[dict[str, Any]]:
    """Plain values, for provenance."""
    return [{"criteria": [round(value, 4) for value in game.criteria], "given_up": game.given_up} for game in games]
