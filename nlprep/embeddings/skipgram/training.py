"""A run of skip-gram training: what is trained when, held-out loss, progress, saved state.

The arithmetic is an engine's: `compiled_engine` (processor threads) or `torch_engine` (a GPU).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.interrupts import deferred_interrupt
from nlprep.core.ownership import check_replaceable, remove_directory
from nlprep.core.progress import SILENT
from nlprep.core.threads import resolve_threads
from nlprep.embeddings.configuration import SkipGramConfig
from nlprep.embeddings.skipgram.model import Chunk, Parameters, example_loss, initial_parameters
from nlprep.embeddings.word_vectors import WordVectors

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress, Task
    from nlprep.corpus import EncodedCorpus
    from nlprep.embeddings.skipgram.model import Engine

STATE_KIND = "skipgram-state"

_CHUNK_TOKENS = 1 << 13
_CHUNKS_PER_ROUND = 64
_HELD_OUT_SPAN = 256
_MOST_HELD_OUT_SPANS = 40
_LOSS_REPORTS = 10


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on text kept back, at one moment of training.

    Attributes:
        tokens: Tokens trained on so far, epochs added up.
        loss: Mean loss of a (context, centre, negatives) example, in nats.
    """

    tokens: int
    loss: float


@dataclass(frozen=True)
class SkipGramResult:
    """What training gives.

    Attributes:
        vectors: The input vectors, in vocabulary order.
        losses: Held-out losses in order; empty when nothing was held out.
        tokens: Tokens trained on in this run (not those of the run it resumed).
        seconds: Wall time of this run, compiling excluded.
    """

    vectors: WordVectors
    losses: list[HeldOutLoss]
    tokens: int
    seconds: float

    @property
    def words_per_second(self) -> float:
        """Tokens trained on each second."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass
class _Plan:
    """Which tokens are trained on, in what order: the text cut at its held-out spans into small chunks."""

    bounds: NDArray[np.int64]
    spans: list[tuple[int, int]]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    tokens_before: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens_before = np.concatenate([[0], np.cumsum(self.lasts - self.firsts)])

    @property
    def tokens_per_epoch(self) -> int:
        return int(self.tokens_before[-1])


def _plan(corpus: EncodedCorpus, config: SkipGramConfig) -> _Plan:
    num_tokens = corpus.num_tokens
    wanted = num_tokens * config.held_out
    spans: list[tuple[int, int]] = []
    if wanted >= 1:
        num_spans = max(1, min(_MOST_HELD_OUT_SPANS, round(wanted / _HELD_OUT_SPAN)))
        length = max(1, min(_HELD_OUT_SPAN, round(wanted)))
        starts = (np.arange(num_spans) + 0.5) * num_tokens / num_spans - length / 2
        spans = [(int(start), int(start) + length) for start in starts]
    edges = np.array(spans, np.int64).reshape(-1)
    grid = np.arange(0, num_tokens, _CHUNK_TOKENS, dtype=np.int64)
    cuts = np.union1d(np.append(grid, num_tokens), edges)
    firsts, lasts = cuts[:-1], cuts[1:]
    trained = ~np.isin(firsts, edges[::2])
    return _Plan(
        bounds=np.union1d(corpus.offsets, edges) if spans else np.asarray(corpus.offsets),
        spans=spans,
        firsts=firsts[trained],
        lasts=lasts[trained],
    )


def train_skipgram(
    corpus: EncodedCorpus,
    config: SkipGramConfig | None = None,
    *,
    threads: int | None = None,
    state: str | os.PathLike[str] | None = None,
    save_every: float = 300.0,
    keep_state: bool = False,
    progress: Progress = SILENT,
) -> SkipGramResult:
    """Train word vectors on a corpus.

    On a CPU with one thread the result is a function of corpus and configuration, bit for bit, interrupted or not;
    more threads update the same matrices without locks (Hogwild, Niu et al. 2011) and differ in the last digits.

    Args:
        corpus: The encoded corpus.
        config: Settings; the defaults if None.
        threads: Processor threads; all if None. A GPU takes no notice.
        state: A directory to save the state in, on Ctrl-C and every ``save_every`` seconds, and to go on from when
            it holds one. It is removed when training ends well. Anything else that is there is refused.
        save_every: Seconds between saved states.
        keep_state: Leave the last saved state when training ends, for a caller who has yet to write the vectors.
        progress: Gets tokens, with words per second and the held-out loss.

    Returns:
        The vectors and how training went.

    Raises:
        NlprepError: The corpus is too small or damaged, the loss stopped being finite, or ``state`` belongs to another
            run.
        KeyboardInterrupt: After Ctrl-C, with the state saved if ``state`` was given.
    """
    config = config or SkipGramConfig()
    if len(corpus.vocabulary) < 2:
        raise NlprepError(
            f"the corpus has {len(corpus.vocabulary)} word(s) that occur often enough, training needs 2: "
            "give more text or lower the minimum count"
        )
    corpus.check()
    if state is not None:
        check_replaceable(state, STATE_KIND)
    plan = _plan(corpus, config)
    total = plan.tokens_per_epoch * config.epochs
    with deferred_interrupt(terminations=True) as interrupt, progress.task("training", total) as task:
        # In here too: raised inside a callback of the compiler, an interrupt would be swallowed and lost.
        run = _SkipGramRun(corpus, config, plan, resolve_threads(threads), None if state is None else Path(state))
        interrupt.raise_if_requested()
        task.advance(run.tokens)
        run.start(task)
        saved = time.monotonic()
        while not run.finished:
            run.advance(task)
            if interrupt.requested:
                run.save()
                interrupt.raise_if_requested()
            if time.monotonic() - saved > save_every:
                run.save()
                saved = time.monotonic()
        return run.finish(keep_state=keep_state)


class _SkipGramRun:
    """One training run: where it stands and how to take the next step."""

    def __init__(
        self, corpus: EncodedCorpus, config: SkipGramConfig, plan: _Plan, threads: int, state: Path | None
    ) -> None:
        self.corpus = corpus
        self.config = config
        self.plan = plan
        self.threads = threads
        self.state = state
        self.losses: list[HeldOutLoss] = []
        self.epoch = 0
        self.chunk = 0
        initial = self._restore(state) if state is not None and state.exists() else None
        self._engine = _build_engine(corpus, config, plan.bounds, threads, initial)
        self._examples = self._list_examples()
        self._tokens_at_start = self.tokens
        self._began = time.perf_counter()

    @property
    def total_tokens(self) -> int:
        return self.plan.tokens_per_epoch * self.config.epochs

    @property
    def tokens(self) -> int:
        """Tokens trained on, those of a resumed run included."""
        return self.epoch * self.plan.tokens_per_epoch + int(self.plan.tokens_before[self.chunk])

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def start(self, task: Task) -> None:
        if not self.losses:
            self._report_loss()
        self._began = time.perf_counter()
        self._describe(task)

    def advance(self, task: Task) -> None:
        """Train on the next round of chunks."""
        before = self.tokens
        stop = min(self.chunk + _CHUNKS_PER_ROUND * self.threads, len(self.plan.firsts))
        chunks = [
            Chunk(
                int(self.plan.firsts[i]),
                int(self.plan.lasts[i]),
                self._rate(int(self.plan.tokens_before[i])),
                self._rate(int(self.plan.tokens_before[i + 1])),
            )
            for i in range(self.chunk, stop)
        ]
        self._engine.train(chunks, self.epoch)
        self.chunk = stop
        if stop == len(self.plan.firsts):
            self.epoch, self.chunk = self.epoch + 1, 0
        reports = math.floor(self.tokens * _LOSS_REPORTS / self.total_tokens)
        if reports > math.floor(before * _LOSS_REPORTS / self.total_tokens):
            self._report_loss()
        task.advance(self.tokens - before)
        self._describe(task)

    def _rate(self, tokens_into_epoch: int) -> float:
        done = (self.epoch * self.plan.tokens_per_epoch + tokens_into_epoch) / self.total_tokens
        return self.config.learning_rate + (self.config.min_learning_rate - self.config.learning_rate) * done

    def _describe(self, task: Task) -> None:
        speed = (self.tokens - self._tokens_at_start) / max(1e-9, time.perf_counter() - self._began)
        loss = f", held-out loss {self.losses[-1].loss:.4f}" if self.losses else ""
        task.describe(f"{speed / 1000:,.0f}k words/s{loss}")

    def _list_examples(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        found = [self._engine.examples(first, last) for first, last in self.plan.spans]
        if not found:
            return np.empty(0, np.int32), np.empty((0, 1 + self.config.negatives), np.int32)
        return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])

    def _report_loss(self) -> None:
        contexts, outputs = self._examples
        if len(contexts):
            loss = example_loss(self._engine.scores(contexts, outputs), outputs)
            if not math.isfinite(loss):
                raise NlprepError(
                    f"the loss is no longer finite after {self.tokens:,} words: lower the learning rate "
                    f"(it was {self.config.learning_rate:g})"
                )
            self.losses.append(HeldOutLoss(self.tokens, loss))

    def finish(self, *, keep_state: bool) -> SkipGramResult:
        seconds = time.perf_counter() - self._began
        inputs = np.ascontiguousarray(self._engine.parameters().inputs)
        if not np.isfinite(inputs).all():
            raise NlprepError(
                f"the vectors are no longer finite: lower the learning rate (it was {self.config.learning_rate:g})"
            )
        vectors = WordVectors(self.corpus.vocabulary.words, inputs)
        if self.state is not None and not keep_state:
            with contextlib.suppress(FileError):
                # If somebody has put something into it, it stays.
                remove_directory(self.state)
        return SkipGramResult(vectors, self.losses, self.tokens - self._tokens_at_start, seconds)

    def save(self) -> None:
        if self.state is None:
            return
        parameters = self._engine.parameters()
        write_artifact(
            self.state,
            kind=STATE_KIND,
            config={
                "settings": to_mapping(self.config),
                "corpus": _fingerprint(self.corpus),
                "epoch": self.epoch,
                "chunk": self.chunk,
                "losses": [[report.tokens, report.loss] for report in self.losses],
            },
            tensors={"inputs": parameters.inputs, "outputs": parameters.outputs},
        )

    def _restore(self, state: Path) -> Parameters:
        artifact = read_artifact(state, kind=STATE_KIND)
        remedy = "train with the settings it was saved with, or delete it to start afresh"
        if artifact.config.get("corpus") != _fingerprint(self.corpus):
            raise FileError(state, f"was saved by training on another corpus: {remedy}")
        saved, ours = artifact.config.get("settings"), to_mapping(self.config)
        if not isinstance(saved, dict):
            raise FileError(state, "holds no settings: delete it to start afresh")
        for name, value in ours.items():
            if saved.get(name) != value:
                raise FileError(state, f"was saved with {name} = {saved.get(name)!r}, not {value!r}: {remedy}")
        try:
            self.epoch, self.chunk = int(artifact.config["epoch"]), int(artifact.config["chunk"])
            self.losses = [HeldOutLoss(int(tokens), float(loss)) for tokens, loss in artifact.config["losses"]]
        except (KeyError, TypeError, ValueError):
            raise FileError(state, "does not say where training stood: delete it to start afresh") from None
        if not (0 <= self.epoch <= self.config.epochs and 0 <= self.chunk < len(self.plan.firsts)):
            raise FileError(state, "says that training stood nowhere: delete it to start afresh")
        shape = (len(self.corpus.vocabulary), self.config.dimension)
        return Parameters(
            artifact.tensor("inputs", dtype="float32", shape=shape),
            artifact.tensor("outputs", dtype="float32", shape=shape),
        )


def _build_engine(
    corpus: EncodedCorpus,
    config: SkipGramConfig,
    bounds: NDArray[np.int64],
    threads: int,
    parameters: Parameters | None,
) -> Engine:
    if parameters is None:
        parameters = initial_parameters(len(corpus.vocabulary), config)
    # Each engine brings a compiler or torch along: only the one asked for is imported.
    if config.device == "cpu":
        from nlprep.embeddings.skipgram.compiled_engine import CompiledEngine

        return CompiledEngine(corpus, config, bounds, threads, parameters)
    from nlprep.embeddings.skipgram.torch_engine import TorchEngine

    return TorchEngine(corpus, config, bounds, parameters)


def _fingerprint(corpus: EncodedCorpus) -> str:
    """What makes two corpora the same for a resumed run: sizes, vocabulary with counts, the first million ids."""
    digest = hashlib.sha256()
    digest.update(f"{corpus.num_tokens} {corpus.num_sentences}".encode())
    digest.update("\n".join(corpus.vocabulary.words).encode())
    digest.update(np.ascontiguousarray(corpus.vocabulary.counts).tobytes())
    digest.update(np.ascontiguousarray(corpus.ids[:1_000_000]).tobytes())
    return digest.hexdigest()
