"""How well a language model predicts a text.

Perplexity is per token, so that it compares models of one tokenizer alone; bits per byte compare any. Both are of
the text as given, which is why a text is not lower-cased or split here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.language_models.models.files import context_length
from nlprep.language_models.pretraining.masked import MaskedLanguageModelling
from nlprep.language_models.text.documents import check_documents
from nlprep.objectives.labels import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress

_LONGEST = 1024
"""The longest window: of a longer one, the logits over a large vocabulary would take gigabytes."""


@dataclass(frozen=True)
class Perplexity:
    """What a text costs.

    Attributes:
        nats: Sum of the negative log-likelihoods.
        tokens: Predictions made, the end of each document among them.
        documents: Documents.
        bytes: UTF-8 bytes of the text, one more for each document's end.
        perplexity: exp(nats / tokens).
        bits_per_byte: nats / ln 2 / bytes.
    """

    nats: float
    tokens: int
    documents: int
    bytes: int

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens)."""
        return math.exp(min(700.0, self.nats / self.tokens))

    @property
    def bits_per_byte(self) -> float:
        """Nats / ln 2 / bytes."""
        return self.nats / math.log(2) / self.bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self) | {"perplexity": self.perplexity, "bits_per_byte": self.bits_per_byte}


def measure_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    documents: Iterable[str],
    *,
    stride: int | None = None,
    batch_size: int = 16,
    progress: Progress = SILENT,
) -> Perplexity:
    """The perplexity of a causal model on documents, each of which begins with no context.

    A document is its tokens and an end; the first token is predicted from the separator alone. One longer than the
    model's context, or than 1,024 tokens, is read in windows: each predicts what the one before has not, so that
    every token is predicted once, from at least ``context - stride`` tokens before it where there are that many.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer, with an eos token.
        documents: Texts.
        stride: Tokens that each window after the first predicts; default half the context. Fewer give a better
            (lower) figure and take longer.
        batch_size: Windows at once.
        progress: Gets documents.

    Raises:
        OptionError: A stride outside 1 to the context, or a tokenizer without an end.
        NlprepError: No documents, or one by itself.
    """
    check_documents(documents)
    context = min(context_length(model) or _LONGEST, _LONGEST)
    stride = max(1, context // 2) if stride is None else stride
    if not 1 <= stride <= context:
        raise OptionError(f"stride = {stride}: must be between 1 and the context, {context}")
    if tokenizer.eos_token_id is None:
        raise OptionError("the tokenizer has no eos token, with which documents begin and end: add one")
    counts = [0, 0]

    def windows() -> Iterator[tuple[list[int], list[int]]]:
        with progress.task("measuring") as task:
            for document in documents:
                counts[0] += 1
                counts[1] += len(document.encode("utf-8", "replace")) + 1
                ids = _ids(tokenizer, document)
                yield from _windows([tokenizer.eos_token_id, *ids, tokenizer.eos_token_id], context, stride)
                task.advance()

    nats, tokens = 0.0, 0
    for batch in _batches(windows(), batch_size):
        inputs, labels, mask = _pad(batch, int(tokenizer.eos_token_id), model.device)
        with torch.inference_mode():
            logits = model(input_ids=inputs, attention_mask=mask, use_cache=False).logits
            nats += _total(logits, labels)
        tokens += int((labels != IGNORED).sum())
    if not tokens:
        raise NlprepError("there are no documents to measure on: give some text")
    return Perplexity(nats, tokens, *counts)


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """The tokens of a text; special tokens spelled out in it are text."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return ids


def _windows(ids: list[int], context: int, stride: int) -> Iterator[tuple[list[int], list[int]]]:
    """Inputs and labels of windows; a label is counted once and is `IGNORED` elsewhere."""
    predicted = 0
    total = len(ids) - 1
    while predicted < total:
        end = min(total, context if predicted == 0 else predicted + stride)
        start = max(0, end - context)
        labels = [IGNORED] * (predicted - start) + ids[predicted + 1 : end + 1]
        yield ids[start:end], labels
        predicted = end


def _batches(windows: Iterator[tuple[list[int], list[int]]], size: int) -> Iterator[list[tuple[list[int], list[int]]]]:
    # Some batches' worth at a time, by length, so that little of a batch is padding.
    pool: list[tuple[list[int], list[int]]] = []
    for window in windows:
        pool.append(window)
        if len(pool) == 32 * size:
            yield from _by_length(pool, size)
            pool = []
    yield from _by_length(pool, size)


def _by_length(pool: list[tuple[list[int], list[int]]], size: int) -> Iterator[list[tuple[list[int], list[int]]]]:
    pool = sorted(pool, key=lambda window: len(window[0]))
    for start in range(0, len(pool), size):
        yield pool[start : start + size]


def _pad(
    windows: Sequence[tuple[list[int], list[int]]], padding: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(inputs) for inputs, _ in windows)
    ids = np.full((len(windows), longest), padding, np.int64)
    labels = np.full(ids.shape, IGNORED, np.int64)
    mask = np.zeros(ids.shape, np.int64)
    for row, (window_inputs, window_labels) in enumerate(windows):
        ids[row, : len(window_inputs)] = window_inputs
        labels[row, : len(window_labels)] = window_labels
        mask[row, : len(window_inputs)] = 1
    return tuple(torch.from_numpy(array).to(device) for array in (ids, labels, mask))  # type: ignore[return-value]


def _total(logits: Tensor, labels: Tensor) -> float:
    return float(
        functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    )


@dataclass(frozen=True)
class PseudoPerplexity:
    """How well a masked model predicts each token of a text from all the others.

    Attributes:
        nats: Sum of the negative log-likelihoods.
        tokens: Tokens.
        documents: Documents.
        accuracy: Share of tokens whose likeliest prediction is the right one.
    """

    nats: float
    tokens: int
    documents: int
    accuracy: float

    @property
    def pseudo_perplexity(self) -> float:
        """exp(nats / tokens)."""
        return math.exp(min(700.0, self.nats / self.tokens))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self) | {"pseudo_perplexity": self.pseudo_perplexity}


def measure_pseudo_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    documents: Iterable[str],
    *,
    batch_size: int = 64,
    progress: Progress = SILENT,
) -> PseudoPerplexity:
    """Pseudo-perplexity (Salazar et al. 2020, "Masked language model scoring", equation 2).

    Each token is masked alone and predicted from the rest of its document: as many passes as there are tokens, so
    give some hundred sentences, not a corpus. A document longer than the context is read in pieces.

    Args:
        model: A masked language model in evaluation mode.
        tokenizer: Its tokenizer.
        documents: Texts.
        batch_size: Masked copies at once.
        progress: Gets documents.

    Raises:
        OptionError: A tokenizer without a mask.
        NlprepError: No tokens, or one text by itself.
    """
    check_documents(documents)
    if tokenizer.mask_token_id is None:
        raise OptionError("the tokenizer has no mask token, in whose place words are predicted: name a masked model")
    objective = MaskedLanguageModelling(model).eval()
    # What a tokenizer lacks is left out.
    opening, closing = (
        next(([token] for token in tokens if token is not None), [])
        for tokens in (
            (tokenizer.cls_token_id, tokenizer.bos_token_id),
            (tokenizer.sep_token_id, tokenizer.eos_token_id),
        )
    )
    room = (context_length(model) or _LONGEST) - len(opening) - len(closing)
    nats, tokens, correct, count = 0.0, 0, 0, 0
    with progress.task("measuring") as task:
        for document in documents:
            ids = _ids(tokenizer, document)
            for start in range(0, len(ids), room):
                read = ids[start : start + room]
                piece = torch.tensor([*opening, *read, *closing], device=model.device)
                places = len(opening) + torch.arange(len(read), device=model.device)
                for some in torch.split(places, batch_size):
                    copies = piece.repeat(len(some), 1)
                    copies[torch.arange(len(some)), some] = int(tokenizer.mask_token_id)
                    with torch.inference_mode():
                        logits = objective.logits(copies, some[:, None])[:, 0]
                    nats += _total(logits[:, None], piece[some][:, None])
                    correct += int((logits.argmax(-1) == piece[some]).sum())
                    tokens += len(some)
            count += 1
            task.advance()
    if not tokens:
        raise NlprepError("there are no tokens to measure on: give some text")
    return PseudoPerplexity(nats, tokens, count, correct / tokens)
