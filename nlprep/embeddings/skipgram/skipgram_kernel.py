"""The compiled inner loops of skip-gram with negative sampling.

Every random choice is a function of (seed, epoch, position in the corpus), never of what was drawn before: whether
a word survives sub-sampling, how wide its window is, which negatives it meets. So any range of tokens can be
trained by any thread in any order, sees its neighbours across the edges of the range (no sentence is ever cut),
and a resumed run repeats nothing and skips nothing.

Where the speed comes from. word2vec draws fresh negatives for every (centre, context) pair and so does vector
work: two loads for each multiply-add. Here the negatives are drawn once for a centre word and shared by its
contexts (Ji et al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory"), which turns a window into a
small matrix product. `_update_pair` does it two contexts by six outputs at a time, all twelve sums in registers.
Deviations from word2vec, measured not to cost quality (`benchmarks/skipgram.py`): shared negatives; two contexts
see the same outputs before either changes them; with more than five negatives the outputs are taken six at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.compilation import compiled
from nlprep.embeddings.skipgram.simd_kernel import (
    LANES,
    load,
    multiply,
    multiply_add,
    sigmoid,
    splat_0,
    splat_1,
    splat_2,
    splat_3,
    splat_4,
    splat_5,
    store,
    subtract,
    sums,
    zero,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTPUTS_AT_ONCE = 6
_KEEP_SALT = np.uint64(0x9E3779B97F4A7C15)
_DRAW_SALT = np.uint64(0xD1B54A32D192ED03)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31, _U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@compiled
def _mix(z: np.uint64) -> np.uint64:
    """The output function of splitmix64 (Steele, Lea & Flood 2014)."""
    z = (z ^ (z >> _U30)) * _MIX_1
    z = (z ^ (z >> _U27)) * _MIX_2
    return z ^ (z >> _U31)


@compiled
def _survives(key: np.uint64, position: int, threshold: np.uint32) -> bool:
    """Whether the word at ``position`` is kept by sub-sampling; ``threshold`` is its probability times 2^32."""
    return (_mix(key ^ (np.uint64(position) * _KEEP_SALT)) >> _U32) <= np.uint64(threshold)


@compiled
def keep_range(
    ids: NDArray[np.int32],
    start: int,
    end: int,
    first: int,
    last: int,
    window: int,
    key: np.uint64,
    keep: NDArray[np.uint32],
    words: NDArray[np.int32],
    positions: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Sub-sample tokens ``first:last`` of the sentence ``start:end``, with ``window`` survivors on either side.

    Writes the survivors' word ids and positions; returns how many there are, and the range of them that lies in
    ``first:last``. ``words`` and ``positions`` need room for ``last - first + 2 * window``.
    """
    before = 0
    position = first - 1
    while position >= start and before < window:
        if _survives(key, position, keep[ids[position]]):
            positions[before] = position
            before += 1
        position -= 1
    for i in range(before // 2):
        positions[i], positions[before - 1 - i] = positions[before - 1 - i], positions[i]
    for i in range(before):
        words[i] = ids[positions[i]]
    count = before
    for position in range(first, last):
        word = ids[position]
        if _survives(key, position, keep[word]):
            words[count] = word
            positions[count] = position
            count += 1
    inside = count
    position = last
    while position < end and count < inside + window:
        word = ids[position]
        if _survives(key, position, keep[word]):
            words[count] = word
            positions[count] = position
            count += 1
        position += 1
    return count, before, inside


@compiled
def _draw_window(key: np.uint64, position: int, window: int) -> tuple[np.uint64, int]:
    """The random state of a centre word and its window width, uniform in 1..window."""
    state = _mix(key ^ (np.uint64(position) * _DRAW_SALT)) + _STEP
    draw = _mix(state) >> _U32
    return state, 1 + np.int64((draw * np.uint64(window)) >> _U32)


@compiled
def _draw_negative(
    state: np.uint64, alias_threshold: NDArray[np.uint32], alias_word: NDArray[np.int32]
) -> tuple[np.uint64, int]:
    """One word from the negative distribution by Walker's alias method (Vose 1991)."""
    state += _STEP
    draw = _mix(state)
    column = np.int64(((draw >> _U32) * np.uint64(len(alias_word))) >> _U32)
    if (draw & _LOW) > np.uint64(alias_threshold[column]):
        return state, np.int64(alias_word[column])
    return state, column


@compiled
def _update_pair(
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    context_a: int,
    context_b: int,
    rows: NDArray[np.int64],
    first: int,
    stride: int,
    labels: NDArray[np.float32],
    rates_a: NDArray[np.float32],
    rates_b: NDArray[np.float32],
) -> None:
    """One step of gradient descent on two contexts against six outputs.

    With s = x . w, the loss of an output with label y is -log sigmoid(s) if y else -log sigmoid(-s), its derivative
    sigmoid(s) - y. Both sides use the values from before the step. Row arguments are element offsets.
    """
    w0, w1, w2 = rows[first], rows[first + 1], rows[first + 2]
    w3, w4, w5 = rows[first + 3], rows[first + 4], rows[first + 5]
    a0 = zero()
    a1 = zero()
    a2 = zero()
    a3 = zero()
    a4 = zero()
    a5 = zero()
    b0 = zero()
    b1 = zero()
    b2 = zero()
    b3 = zero()
    b4 = zero()
    b5 = zero()
    for j in range(0, stride, LANES):
        x = load(inputs, context_a + j)
        y = load(inputs, context_b + j)
        w = load(outputs, w0 + j)
        a0, b0 = multiply_add(x, w, a0), multiply_add(y, w, b0)
        w = load(outputs, w1 + j)
        a1, b1 = multiply_add(x, w, a1), multiply_add(y, w, b1)
        w = load(outputs, w2 + j)
        a2, b2 = multiply_add(x, w, a2), multiply_add(y, w, b2)
        w = load(outputs, w3 + j)
        a3, b3 = multiply_add(x, w, a3), multiply_add(y, w, b3)
        w = load(outputs, w4 + j)
        a4, b4 = multiply_add(x, w, a4), multiply_add(y, w, b4)
        w = load(outputs, w5 + j)
        a5, b5 = multiply_add(x, w, a5), multiply_add(y, w, b5)
    label = load(labels, first)
    step_a = multiply(subtract(label, sigmoid(sums(a0, a1, a2, a3, a4, a5))), load(rates_a, first))
    step_b = multiply(subtract(label, sigmoid(sums(b0, b1, b2, b3, b4, b5))), load(rates_b, first))
    a0, a1, a2 = splat_0(step_a), splat_1(step_a), splat_2(step_a)
    a3, a4, a5 = splat_3(step_a), splat_4(step_a), splat_5(step_a)
    b0, b1, b2 = splat_0(step_b), splat_1(step_b), splat_2(step_b)
    b3, b4, b5 = splat_3(step_b), splat_4(step_b), splat_5(step_b)
    for j in range(0, stride, LANES):
        x = load(inputs, context_a + j)
        y = load(inputs, context_b + j)
        w = load(outputs, w0 + j)
        new_x, new_y = multiply_add(a0, w, x), multiply_add(b0, w, y)
        store(outputs, w0 + j, multiply_add(b0, y, multiply_add(a0, x, w)))
        w = load(outputs, w1 + j)
        new_x, new_y = multiply_add(a1, w, new_x), multiply_add(b1, w, new_y)
        store(outputs, w1 + j, multiply_add(b1, y, multiply_add(a1, x, w)))
        w = load(outputs, w2 + j)
        new_x, new_y = multiply_add(a2, w, new_x), multiply_add(b2, w, new_y)
        store(outputs, w2 + j, multiply_add(b2, y, multiply_add(a2, x, w)))
        w = load(outputs, w3 + j)
        new_x, new_y = multiply_add(a3, w, new_x), multiply_add(b3, w, new_y)
        store(outputs, w3 + j, multiply_add(b3, y, multiply_add(a3, x, w)))
        w = load(outputs, w4 + j)
        new_x, new_y = multiply_add(a4, w, new_x), multiply_add(b4, w, new_y)
        store(outputs, w4 + j, multiply_add(b4, y, multiply_add(a4, x, w)))
        w = load(outputs, w5 + j)
        new_x, new_y = multiply_add(a5, w, new_x), multiply_add(b5, w, new_y)
        store(outputs, w5 + j, multiply_add(b5, y, multiply_add(a5, x, w)))
        store(inputs, context_a + j, new_x)
        store(inputs, context_b + j, new_y)


@compiled
def train_range(
    ids: NDArray[np.int32],
    bounds: NDArray[np.int64],
    sentence: int,
    first: int,
    last: int,
    window: int,
    negatives: int,
    key: np.uint64,
    rate_first: float,
    rate_last: float,
    keep: NDArray[np.uint32],
    alias_threshold: NDArray[np.uint32],
    alias_word: NDArray[np.int32],
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    stride: int,
    blank: int,
) -> None:
    """Train on every centre word among tokens ``first:last``, in order.

    Args:
        ids: Word ids of the corpus.
        bounds: Where sentences begin and end, ascending; sentence s is ``bounds[s]:bounds[s + 1]``.
        sentence: The sentence that holds token ``first``.
        first: First token.
        last: One past the last token.
        window: Greatest distance of a context word.
        negatives: Negative samples per centre word.
        key: Mixes seed and epoch into every draw.
        rate_first: Learning rate at ``first``; it falls linearly.
        rate_last: Learning rate at ``last``.
        keep: Per word, the probability that it survives sub-sampling, times 2^32.
        alias_threshold: Alias table of the negative distribution, thresholds times 2^32.
        alias_word: Alias table, the other word of each column.
        inputs: Input vectors, rows of ``stride`` floats, flat.
        outputs: Output vectors, likewise.
        stride: Floats in a row, a multiple of `LANES`.
        blank: Where a row of zeros begins in both, that stands in where a block of contexts or outputs is not full;
            it is written to, though it stays zero, so threads that shared one would wait for each other.
    """
    num_rows = -(-(negatives + 1) // OUTPUTS_AT_ONCE) * OUTPUTS_AT_ONCE
    rows = np.full(num_rows, blank, np.int64)
    labels = np.zeros(num_rows + LANES, np.float32)
    labels[0] = 1.0
    rates = np.zeros(num_rows + LANES, np.float32)
    no_rates = np.zeros(num_rows + LANES, np.float32)
    words = np.empty(last - first + 2 * window, np.int32)
    positions = np.empty(last - first + 2 * window, np.int64)
    slope = (rate_last - rate_first) / max(1, last - first)
    while sentence + 1 < len(bounds) and bounds[sentence] < last:
        start, end = bounds[sentence], bounds[sentence + 1]
        sentence += 1
        count, inside_first, inside_last = keep_range(
            ids, start, end, max(start, first), min(end, last), window, key, keep, words, positions
        )
        for i in range(inside_first, inside_last):
            centre = np.int64(words[i])
            rate = np.float32(rate_first + slope * (positions[i] - first))
            state, width = _draw_window(key, positions[i], window)
            rows[0] = centre * stride
            rates[0] = rate
            for k in range(1, negatives + 1):
                state, negative = _draw_negative(state, alias_threshold, alias_word)
                rows[k] = negative * stride
                # A negative that is the centre word itself would pull against the positive: it counts for nothing.
                rates[k] = rate if negative != centre else np.float32(0.0)
            stop = min(count, i + width + 1)
            j = max(0, i - width)
            while True:
                j += j == i
                if j >= stop:
                    break
                context_a = np.int64(words[j]) * stride
                j += 1
                j += j == i
                # The same word twice would have the second update overwrite the first: then they go one by one.
                paired = j < stop and np.int64(words[j]) * stride != context_a
                context_b = np.int64(words[j]) * stride if paired else blank
                j += paired
                rates_b = rates if paired else no_rates
                for tile in range(0, num_rows, OUTPUTS_AT_ONCE):
                    _update_pair(inputs, outputs, context_a, context_b, rows, tile, stride, labels, rates, rates_b)


@compiled
def list_examples(
    ids: NDArray[np.int32],
    start: int,
    end: int,
    window: int,
    negatives: int,
    key: np.uint64,
    keep: NDArray[np.uint32],
    alias_threshold: NDArray[np.uint32],
    alias_word: NDArray[np.int32],
    contexts: NDArray[np.int32],
    outputs: NDArray[np.int32],
) -> int:
    """Write out what `train_range` would train on in the sentence ``start:end``; return how many examples.

    Example e is the context word ``contexts[e]`` and ``outputs[e]``: the centre word, then the negatives, -1 where a
    negative does not count. ``contexts`` needs room for ``2 * window * (end - start)``.
    """
    words = np.empty(end - start + 2 * window, np.int32)
    positions = np.empty(end - start + 2 * window, np.int64)
    count, _, _ = keep_range(ids, start, end, start, end, window, key, keep, words, positions)
    num_examples = 0
    drawn = np.empty(negatives + 1, np.int32)
    for i in range(count):
        state, width = _draw_window(key, positions[i], window)
        drawn[0] = words[i]
        for k in range(1, negatives + 1):
            state, negative = _draw_negative(state, alias_threshold, alias_word)
            drawn[k] = negative if negative != words[i] else -1
        for j in range(max(0, i - width), min(count, i + width + 1)):
            if j != i:
                contexts[num_examples] = words[j]
                # One by one: the compiler takes longer over a whole row, for the message of an error that cannot be.
                for k in range(negatives + 1):
                    outputs[num_examples, k] = drawn[k]
                num_examples += 1
    return num_examples


@compiled
def score_examples(
    contexts: NDArray[np.int32],
    outputs: NDArray[np.int32],
    input_vectors: NDArray[np.float32],
    output_vectors: NDArray[np.float32],
    stride: int,
    scores: NDArray[np.float32],
) -> None:
    """Write the inner product of every context (e,) with each of its outputs (e, k), 0 for an output of -1."""
    total = np.empty(LANES, np.float32)
    for e in range(len(contexts)):
        context = np.int64(contexts[e]) * stride
        for k in range(outputs.shape[1]):
            scores[e, k] = 0.0
            if outputs[e, k] >= 0:
                output = np.int64(outputs[e, k]) * stride
                lanes = zero()
                for j in range(0, stride, LANES):
                    lanes = multiply_add(load(input_vectors, context + j), load(output_vectors, output + j), lanes)
                store(total, 0, sums(lanes, zero(), zero(), zero(), zero(), zero()))
                scores[e, k] = total[0]
