"""Skip-gram with negative sampling on a torch device: many centre words at a time.

The random choices are those of `nlprep.embeddings.skipgram.skipgram_kernel`, bit for bit: each is a function of (seed,
epoch, position), computed here for a whole stretch of text at once, so that both engines meet the same windows
and the same negatives. What differs is when updates take effect. The compiled engine updates after every two
contexts; here the gradients of a batch of centre words are taken at the same parameters, in closed form, and
added up.

Batches and frequent words. A word met n times in a batch gets n gradients that know nothing of each other, and
their sum overshoots once n times the rate times the curvature nears 2: with thousands of centre words in a
batch, training would diverge on the most frequent words. So a row's summed step is shortened, where it is longer,
to the minimum of a parabola that lies above the row's loss (see `score_residuals`; its curvature is bounded in
every direction by a trace). Such a step cannot raise the loss, a step that stops short of that minimum is
word2vec's own, untouched, and no constant needs tuning. Sums on a GPU are in no fixed order: runs there differ
in the last digits.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nlprep.core.devices import find_device
from nlprep.core.errors import OptionError
from nlprep.embeddings.skipgram.model import Parameters
from nlprep.embeddings.skipgram.sampling import (
    HELD_OUT_EPOCH,
    AliasTable,
    as_thresholds,
    epoch_key,
    keep_probabilities,
    noise_weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from nlprep.corpus import EncodedCorpus
    from nlprep.embeddings.configuration import SkipGramConfig
    from nlprep.embeddings.skipgram.model import Chunk

_FEWEST_CENTRES, _MOST_CENTRES = 256, 4096
"""Centre words in a batch. Fewer would leave a device idle, more would not fill it better."""
_STRETCH_TOKENS = 1 << 20
_SCORED_AT_ONCE = 4096
"""Tokens of which windows are made at once: 100 to 200 MB of indices."""
_LOW = 0xFFFFFFFF


def _signed(value: int) -> int:
    """A 64-bit pattern as the int64 that torch, which has no uint64 arithmetic, holds it in."""
    return value - (1 << 64) if value >> 63 else value


_KEEP_SALT = _signed(0x9E3779B97F4A7C15)
_DRAW_SALT = _signed(0xD1B54A32D192ED03)
_STEP = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """A logical shift: torch's own keeps the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    """The output function of splitmix64 on int64 bit patterns; products wrap around, as they must."""
    z = (z ^ _shift_right(z, 30)) * _MIX_1
    z = (z ^ _shift_right(z, 27)) * _MIX_2
    return z ^ _shift_right(z, 31)


@dataclass(frozen=True)
class Windows:
    """Centre words in text order, n of them, with what they are trained on.

    Padding refers to some existing word, and is masked.

    Attributes:
        positions: (n,) int64, places in the corpus.
        contexts: (n, 2 window) int64, words around, in text order.
        context_mask: (n, 2 window) bool, False for padding.
        outputs: (n, 1 + negatives) int64, the centre word, then its negatives.
        output_mask: (n, 1 + negatives) bool, False for a negative that is the centre word itself.
    """

    positions: Tensor
    contexts: Tensor
    context_mask: Tensor
    outputs: Tensor
    output_mask: Tensor


class Sampler:
    """Makes `Windows` on a device.

    Args:
        corpus: The encoded corpus.
        config: Training settings.
        bounds: Ascending token positions that no window reaches across: sentence and held-out ends.
        device: Where the windows live.
    """

    def __init__(
        self, corpus: EncodedCorpus, config: SkipGramConfig, bounds: NDArray[np.int64], device: torch.device
    ) -> None:
        counts = corpus.vocabulary.counts
        keep = as_thresholds(keep_probabilities(counts, config.subsample))
        table = AliasTable.build(noise_weights(counts, config.negative_exponent))
        self._config = config
        self._ids = corpus.ids
        self._bounds = bounds
        self._device = device
        self._keep = torch.from_numpy(keep.astype(np.int64)).to(device)
        self._thresholds = torch.from_numpy(table.thresholds.astype(np.int64)).to(device)
        self._aliases = torch.from_numpy(table.aliases.astype(np.int64)).to(device)

    def windows(self, first: int, last: int, epoch: int) -> Windows:
        """Windows of the tokens ``first:last`` that survive sub-sampling in an epoch, in text order.

        Their context words may lie outside the range, in the same sentence.
        """
        key = _signed(int(epoch_key(self._config.seed, epoch)))
        bounds = self._bounds
        start = int(bounds[np.searchsorted(bounds, first, side="right") - 1])
        end = int(bounds[np.searchsorted(bounds, last, side="left")])
        words, positions = self._survivors(first, last, start, end, key)
        inner = bounds[np.searchsorted(bounds, start) : np.searchsorted(bounds, end, side="right")]
        sentences = torch.searchsorted(torch.from_numpy(np.array(inner)).to(self._device), positions, right=True)

        state = _mix(key ^ (positions * _DRAW_SALT)) + _STEP
        widths = 1 + ((_shift_right(_mix(state), 32) * self._config.window) >> 32)
        inside = torch.nonzero((positions >= first) & (positions < last)).squeeze(1)
        window, negatives = self._config.window, self._config.negatives
        reach = torch.arange(-window, window + 1, device=self._device)
        reach = reach[reach != 0]
        around = inside[:, None] + reach
        near = around.clamp(0, max(0, len(words) - 1))
        mask = (around == near) & (sentences[near] == sentences[inside, None])
        mask &= reach.abs() <= widths[inside, None]
        centres = words[inside, None]
        # Padding is spread over many rows: were it one row, all threads of a GPU would queue there to add.
        contexts = torch.where(mask, words[near], centres)

        steps = torch.arange(1, negatives + 1, device=self._device) * _STEP
        drawn = self._draw(state[inside, None] + steps)
        outputs = torch.cat([centres, drawn], dim=1)
        output_mask = outputs != centres
        output_mask[:, 0] = True
        return Windows(positions[inside], contexts, mask, outputs, output_mask)

    def _survivors(self, first: int, last: int, start: int, end: int, key: int) -> tuple[Tensor, Tensor]:
        """Words and positions that survive in ``first:last`` and, within ``start:end``, enough around it."""
        window = self._config.window
        margin = 16 * window
        while True:
            low, high = max(start, first - margin), min(end, last + margin)
            ids = torch.from_numpy(np.array(self._ids[low:high])).to(self._device).long()
            positions = torch.arange(low, high, device=self._device)
            survives = _shift_right(_mix(key ^ (positions * _KEEP_SALT)), 32) <= self._keep[ids]
            before, after = survives[: first - low].sum(), survives[last - low :].sum()
            enough_before = low == start or int(before) >= window
            enough_after = high == end or int(after) >= window
            if enough_before and enough_after:
                return ids[survives], positions[survives]
            margin *= 4

    def _draw(self, state: Tensor) -> Tensor:
        draw = _mix(state)
        column = (_shift_right(draw, 32) * len(self._aliases)) >> 32
        return torch.where((draw & _LOW) > self._thresholds[column], self._aliases[column], column)

    def examples(self, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The held-out examples of a range: contexts (e,) and outputs (e, 1 + negatives), -1 where void."""
        windows = self.windows(first, last, HELD_OUT_EPOCH)
        outputs = torch.where(windows.output_mask, windows.outputs, -1)
        centre, _ = torch.nonzero(windows.context_mask, as_tuple=True)
        contexts = windows.contexts[windows.context_mask]
        return contexts.int().cpu().numpy(), outputs[centre].int().cpu().numpy()


def score_residuals(inputs: Tensor, outputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """What a weighted loss wants of each score, in closed form.

    With s = x . w of a context vector x and an output vector w, the loss is -log sigmoid(s) for the centre
    word and -log sigmoid(-s) for a negative. Its derivative by s is sigmoid(s) - label. A parabola that touches
    the loss at s and lies above it everywhere has the second derivative (sigmoid(s) - 1/2) / s, at most 1/4
    (Jaakkola and Jordan 2000); the loss's own vanishes where scores are large, and would bound no step there.

    Args:
        inputs: (b, c, d) context vectors.
        outputs: (b, r, d) output vectors, the centre word's first, then negatives.
        weights: (b, c, r) factors of each pair's loss: 0 where masked.

    Returns:
        Derivatives, and the parabolas' second derivatives, each (b, c, r) and multiplied by ``weights``.
    """
    scores = torch.bmm(inputs, outputs.transpose(1, 2))
    probabilities = torch.sigmoid(scores)
    second = torch.where(scores.abs() < 1e-2, 0.25, (probabilities - 0.5) / scores) * weights
    probabilities[:, :, 0] -= 1
    return probabilities * weights, second


def loss_and_gradients(inputs: Tensor, outputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted loss, summed, and its gradients; arguments as for `score_residuals`.

    Returns:
        The loss (), and its gradients by ``inputs`` (b, c, d) and ``outputs`` (b, r, d).
    """
    scores = torch.bmm(inputs, outputs.transpose(1, 2))
    scores[:, :, 0] *= -1
    loss = (torch.nn.functional.softplus(scores) * weights).sum()
    first, _ = score_residuals(inputs, outputs, weights)
    return loss, torch.bmm(first, outputs), torch.bmm(first.transpose(1, 2), inputs)


def step_factors(rows: Tensor, curvature: Tensor, num_rows: int) -> Tensor:
    """How much of its step each row may take, so that rows repeated in a batch do not overshoot.

    Args:
        rows: (b, r) row of each occurrence.
        curvature: (b, r), learning rate times a bound of the curvature of the occurrence's loss in its row.
        num_rows: Rows there are.

    Returns:
        (b, r) in (0, 1], the same for all occurrences of a row: 1 / c where their curvatures add up to c > 1.
    """
    total = torch.zeros(num_rows, dtype=curvature.dtype, device=curvature.device)
    total.index_add_(0, rows.reshape(-1), curvature.reshape(-1))
    return (1 / total.clamp(min=1))[rows]


class TorchEngine:
    """The `nlprep.embeddings.skipgram.model.Engine` of torch devices.

    Args:
        corpus: The encoded corpus.
        config: Training settings; ``config.device`` is where to train.
        bounds: Ascending token positions that no window reaches across.
        parameters: Where to start.
        num_centres: Centre words in a batch; by default as many as the vocabulary allows, up to 4096.

    Raises:
        OptionError: There is no such device, or its memory is too small.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        config: SkipGramConfig,
        bounds: NDArray[np.int64],
        parameters: Parameters,
        *,
        num_centres: int | None = None,
    ) -> None:
        device = find_device(config.device)
        self._sampler = Sampler(corpus, config, bounds, device)
        self._num_centres = num_centres or default_num_centres(corpus.vocabulary.counts, config.subsample)
        self._device = device
        with _memory_errors_named(config):
            self._inputs = torch.tensor(parameters.inputs, device=device)
            self._outputs = torch.tensor(parameters.outputs, device=device)
        self._config = config

    @torch.no_grad()
    def train(self, chunks: list[Chunk], epoch: int) -> None:
        """Train on chunks of the corpus in order."""
        stretch: list[Chunk] = []
        with _memory_errors_named(self._config):
            for chunk in chunks:
                adjoins = stretch and stretch[-1].last == chunk.first
                if stretch and not (adjoins and chunk.last - stretch[0].first <= _STRETCH_TOKENS):
                    self._train_stretch(stretch, epoch)
                    stretch = []
                stretch.append(chunk)
            if stretch:
                self._train_stretch(stretch, epoch)

    def _train_stretch(self, chunks: list[Chunk], epoch: int) -> None:
        first = chunks[0].first
        windows = self._sampler.windows(first, chunks[-1].last, epoch)
        rates = torch.from_numpy(_rates(chunks)).to(self._device)[windows.positions - first]
        for start in range(0, len(windows.positions), self._num_centres):
            part = slice(start, start + self._num_centres)
            self._update(
                windows.contexts[part],
                windows.context_mask[part],
                windows.outputs[part],
                windows.output_mask[part],
                rates[part],
            )

    def _update(
        self, contexts: Tensor, context_mask: Tensor, outputs: Tensor, output_mask: Tensor, rates: Tensor
    ) -> None:
        """One step on a batch; shapes as in `Windows`, rates (b,)."""
        x = self._inputs[contexts]
        w = self._outputs[outputs]
        weights = rates[:, None, None] * (context_mask[:, :, None] & output_mask[:, None, :])
        first, second = score_residuals(x, w, weights)
        # A row's curvature sums second derivatives times x x^T (or w w^T), the trace of which is |x|^2.
        of_inputs = torch.bmm(second, w.square().sum(2, keepdim=True)).squeeze(2)
        of_outputs = torch.bmm(second.transpose(1, 2), x.square().sum(2, keepdim=True)).squeeze(2)
        num_rows = len(self._inputs)
        input_factors = step_factors(contexts, of_inputs, num_rows)
        output_factors = step_factors(outputs, of_outputs, num_rows)
        input_steps = torch.bmm(first * input_factors[:, :, None], w)
        output_steps = torch.bmm((first * output_factors[:, None, :]).transpose(1, 2), x)
        self._inputs.index_add_(0, contexts.reshape(-1), input_steps.reshape(-1, x.shape[2]), alpha=-1)
        self._outputs.index_add_(0, outputs.reshape(-1), output_steps.reshape(-1, x.shape[2]), alpha=-1)

    def parameters(self) -> Parameters:
        """Copies of both matrices in host memory."""
        return Parameters(self._inputs.cpu().numpy().copy(), self._outputs.cpu().numpy().copy())

    def examples(self, first: int, last: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The examples that training on ``first:last`` would see in an epoch of its own."""
        return self._sampler.examples(first, last)

    def scores(self, contexts: NDArray[np.int32], outputs: NDArray[np.int32]) -> NDArray[np.float32]:
        """Inner products of contexts (e,) with their outputs (e, k); 0 for outputs of -1."""
        found = np.empty(outputs.shape, np.float32)
        for start in range(0, len(contexts), _SCORED_AT_ONCE):
            rows = slice(start, start + _SCORED_AT_ONCE)
            chosen = torch.from_numpy(outputs[rows]).to(self._inputs.device, torch.int64)
            inputs = self._inputs[torch.from_numpy(contexts[rows]).to(self._inputs.device, torch.int64)]
            scores = torch.einsum("ed,ekd->ek", inputs, self._outputs[chosen.clamp_min(0)])
            found[rows] = scores.masked_fill(chosen < 0, 0.0).cpu().numpy()
        return found


@contextmanager
def _memory_errors_named(config: SkipGramConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise OptionError(
            f"device = {config.device!r}: its memory is full at dimension {config.dimension}: lower the "
            "dimension, the window or the vocabulary, or choose cpu"
        ) from None


def default_num_centres(counts: NDArray[np.int64], subsample: float) -> int:
    """Centre words in a batch: fewer for small vocabularies, of which a large batch would hold every word often.

    A quarter of the effective number of words, which is the inverse of the chance that two occurrences are of the
    same word, between 256 and 4096.

    Args:
        counts: (n,) occurrences of each word.
        subsample: Threshold of sub-sampling, which evens the words out.
    """
    kept = counts * keep_probabilities(counts, subsample)
    effective = kept.sum() ** 2 / np.square(kept).sum()
    return int(np.clip(effective / 4, _FEWEST_CENTRES, _MOST_CENTRES))


def _rates(chunks: list[Chunk]) -> NDArray[np.float32]:
    """The learning rate at each token of adjoining chunks."""
    parts = [
        np.linspace(chunk.rate_first, chunk.rate_last, chunk.last - chunk.first, endpoint=False, dtype=np.float32)
        for chunk in chunks
    ]
    return np.concatenate(parts)
