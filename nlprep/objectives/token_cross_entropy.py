"""Cross-entropy over a vocabulary, of words or of colours: a fifth of a small language model's training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nlprep.objectives.labels import IGNORED

_BLOCK_NUMBERS = 1 << 19
"""Logits looked at together: two megabytes of float32, which stay in a processor's cache."""


def token_cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of the labels that count, in nats; 0 when none does.

    On a processor, loss and gradient are computed together, some rows at a time: each logit is read from memory
    once, where the library's function takes float32 copies of all of them through several passes. The arithmetic is
    float32 either way.

    Args:
        logits: (..., v) float32 or bfloat16.
        labels: (...) int64; `IGNORED` counts for nothing.
        label_smoothing: Share of the probability spread over the whole vocabulary.

    Returns:
        float32, shape ().
    """
    logits, labels = logits.flatten(0, -2), labels.flatten()
    if logits.device.type != "cpu" or torch.compiler.is_compiling():
        total = functional.cross_entropy(
            logits.float(), labels, ignore_index=IGNORED, reduction="sum", label_smoothing=label_smoothing
        )
        return total / (labels != IGNORED).sum().clamp(min=1)
    mean: Tensor = _BlockwiseCrossEntropy.apply(logits, labels, label_smoothing)  # type: ignore[no-untyped-call]
    return mean


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """d loss / d logit = softmax - wanted distribution, written while the logits are in the cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32)
        share = 1 / (labels != IGNORED).sum().clamp(min=1)
        rows = max(1, _BLOCK_NUMBERS // logits.shape[1])
        for start in range(0, len(logits), rows):
            block = logits[start : start + rows].float()
            wanted = labels[start : start + rows]
            counted = wanted != IGNORED
            places = wanted.clamp(min=0)[:, None]
            highest = block.amax(1, keepdim=True)
            reached = (1 - smoothing) * block.gather(1, places)
            if smoothing:
                reached += smoothing * block.mean(1, keepdim=True)
            # A float32 input is a view of the logits themselves: not to be written on.
            exponentials = (block - highest).exp_() if block.data_ptr() == logits[start].data_ptr() else (
                block.sub_(highest).exp_()
            )  # fmt: skip
            sums = exponentials.sum(1, keepdim=True)
            total += ((sums.log() + highest - reached)[:, 0] * counted).sum()
            if gradient is not None:
                shares = counted[:, None] * share
                exponentials.mul_(shares / sums)
                if smoothing:
                    exponentials.sub_(shares * (smoothing / logits.shape[1]))
                exponentials.scatter_add_(1, places, (smoothing - 1) * shares)
                gradient[start : start + rows] = exponentials
        ctx.save_for_backward(gradient)
        return total * share

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # One more pass over all logits, for nothing when a batch is not cut into parts.
        return gradient if outputs[0] == 1 else gradient * outputs[0].to(gradient.dtype), None, None
