"""Compact bilinear pooling: all products of both sides, summed into d places by a hash, without computing them.

The count sketch of x adds each number, with a sign, to a place that a hash chooses for its index (Charikar, Chen and
Farach-Colton 2002; Weinberger et al. 2009),

    y_k = sum_(i: h(i) = k) s(i) x_i.

The circular convolution of the sketches of t and v is the sketch of their outer product with the hash
h_t(i) + h_v(j) mod d and the sign s_t(i) s_v(j) (Pham and Pagh 2013, "Fast and Scalable Polynomial Kernels via Explicit
Feature Maps"), and is computed by Fourier transforms in d log d steps. Its inner product with that of another pair is,
in the mean over hashes, (t . t') (v . v'). Fukui et al. 2016 ("Multimodal Compact Bilinear Pooling for Visual Question
Answering and Visual Grounding") fuse questions and images by it, with signed square roots and rows of length 1, as
is done here unless the settings say no.

Promised, and tested: indices that share a place add up; the two sides have hashes of their own, without which the
inner product is not (t . t') (v . v') in the mean; hashes are a function of the seed and are saved with the weights;
any d will do, odd ones too, though one with large prime factors is slow; it agrees with the double loop over all
products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from multimodal.fusions.fusion import Fusion
from multimodal.fusions.normalization import normalized
from nlprep.core.randomness import combine, integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from multimodal.fusions.configuration import FusionConfig
    from nlprep.core.randomness import Seeds

_TEXT, _IMAGE = 1, 2
_PLACES, _SIGNS = 1, 2


class CompactBilinear(Fusion):
    """Compact bilinear pooling; nothing is learned, and its two hashes are part of its state."""

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, seed: int = 1) -> None:
        super().__init__(text_dimension, image_dimension, config, dimension=config.size("dimension"))
        self.text_sketch = CountSketch(text_dimension, self.dimension, seed=int(combine(seed, _TEXT)))
        self.image_sketch = CountSketch(image_dimension, self.dimension, seed=int(combine(seed, _IMAGE)))

    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """The sketch of all products, normalised if the settings say so."""
        pooled = convolve(self.text_sketch(text), self.image_sketch(image))
        return normalized(pooled) if self.config.normalized else pooled


class CountSketch(nn.Module):
    """The count sketch of rows.

    Args:
        size: n, numbers in a row.
        dimension: d, places of the sketch.
        seed: Of the hash and the signs.

    Attributes:
        places: (n,) int64 in [0, d).
        signs: (n,) of 1 and -1.
    """

    places: Tensor
    signs: Tensor

    def __init__(self, size: int, dimension: int, *, seed: int) -> None:
        super().__init__()
        self.dimension = dimension
        places, signs = draw_hashes(combine(seed), size, dimension)
        self.register_buffer("places", torch.from_numpy(places))
        self.register_buffer("signs", torch.from_numpy(signs))

    def forward(self, values: Tensor) -> Tensor:
        """Sketches (b, d) of rows (b, n)."""
        # Not an assignment by index, which keeps the last of those that share a place.
        return values.new_zeros(len(values), self.dimension).index_add(1, self.places, values * self.signs)


def draw_hashes(seeds: Seeds, size: int, dimension: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The hashes of sketches: for every index a place and a sign.

    Args:
        seeds: (...,) keys, one for each sketch.
        size: n, how many indices.
        dimension: d, how many places.

    Returns:
        Places (..., n) in [0, d), and signs (..., n) of 1 and -1.
    """
    # Of 64 random bits each, so that places differ in frequency by d in 2^64 at the most.
    places = integers(seeds, size, purpose=_PLACES) % np.uint64(dimension)
    signs = (integers(seeds, size, purpose=_SIGNS) >> np.uint64(63)).astype(np.float32)
    return places.astype(np.int64), 1 - 2 * signs


def convolve(first: Tensor, second: Tensor) -> Tensor:
    """The circular convolution of rows, z_k = sum_(i + j = k mod d) x_i y_j.

    Args:
        first: (b, d) float32 or float64.
        second: Likewise.

    Returns:
        (b, d). It may be differentiated once: a gradient of its gradient is refused.

    Example:
        >>> convolve(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[5.0, 6.0, 7.0]])).round()
        tensor([[7., 5., 6.]])
    """
    if not len(first):
        # MKL transforms no rows only if there are some.
        return first * second
    convolved: Tensor = _Convolution.apply(first, second)  # type: ignore[no-untyped-call]
    return convolved


class _Convolution(torch.autograd.Function):
    """The convolution, with a gradient of three real transforms; torch's own takes complex ones, twice the time."""

    @staticmethod
    def forward(context: Any, first: Tensor, second: Tensor) -> Tensor:
        spectra = torch.fft.rfft(first), torch.fft.rfft(second)
        context.save_for_backward(*spectra)
        # Without its length an odd one would come back a number short.
        convolved: Tensor = torch.fft.irfft(spectra[0] * spectra[1], first.shape[1])
        return convolved

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        first, second = context.saved_tensors
        length, spectrum = gradient.shape[1], torch.fft.rfft(gradient)
        # Of a convolution with y the gradient is a correlation with y.
        return (
            torch.fft.irfft(spectrum * second.conj(), length) if context.needs_input_grad[0] else None,
            torch.fft.irfft(spectrum * first.conj(), length) if context.needs_input_grad[1] else None,
        )
