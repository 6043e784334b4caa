"""Sentence encoders by contrast: two texts that belong together, against all others of the batch.

With pairs (a question and its answer, a sentence and its translation) the encoder learns what the pairs have in
common. Without any, a sentence is paired with itself, seen through other dropout (Gao et al. 2021, "SimCSE").
The loss is `nlprep.objectives.info_nce`, which sentence-transformers call MultipleNegativesRankingLoss.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import display_name
from nlprep.core.progress import SILENT
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.language_models.encoders.configuration import CONTRASTIVE_TRAINING, ContrastiveConfig
from nlprep.language_models.models.files import SENTENCE_TRANSFORMER
from nlprep.vectors.nearest import top_k
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Unpack

    import numpy as np
    from torch import Tensor

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.recipe import RunArguments
    from nlprep.language_models.encoders.configuration import EncoderConfig
    from nlprep.language_models.encoders.text_encoder import TextEncoder

RUN = "sentence-encoder-training"
"""What the directories of runs are marked as."""


class DropoutWarning(UserWarning):
    """The two views of a sentence would be one, because the model has no dropout."""


@dataclass(frozen=True)
class SentencePairs:
    """Texts that belong together.

    Attributes:
        first: n texts.
        second: The text that belongs to each; None: each belongs to itself.
        name: Where they come from, for errors.
    """

    first: Sequence[str]
    second: Sequence[str] | None = None
    name: str = "pairs"

    def __post_init__(self) -> None:
        if self.second is not None and len(self.second) != len(self.first):
            raise NlprepError(
                f"{self.name}: {len(self.first):,} first and {len(self.second):,} second texts: pair them"
            )

    def __len__(self) -> int:
        return len(self.first)

    def without_repeats(self) -> SentencePairs:
        """Each pair once: what is both right answer and wrong one teaches nothing."""
        if self.second is None:
            return SentencePairs(list(dict.fromkeys(self.first)), None, self.name)
        kept = list(dict.fromkeys(zip(self.first, self.second, strict=True)))
        return SentencePairs([one for one, _ in kept], [other for _, other in kept], self.name)


def read_sentence_pairs(
    path: str | os.PathLike[str],
    *,
    first: str | None = None,
    second: str | None = None,
    encoding_errors: EncodingErrors = "strict",
) -> SentencePairs:
    """Read pairs of texts from CSV, TSV or JSON lines (see `nlprep.language_models.text.labelled_texts`).

    Args:
        path: The file; ``-`` is standard input.
        first: The column of the first text; default: the first column.
        second: The column of the second; default: the second column.
        encoding_errors: What to do with bytes that are not UTF-8.

    Raises:
        FileError: Unreadable or empty, or a row without a pair; with the line.
    """
    from nlprep.language_models.text.labelled_texts import read_rows

    name = display_name(path)
    ones: list[str] = []
    others: list[str] = []
    columns: list[str] = []
    for line, row in read_rows(path, encoding_errors=encoding_errors):
        if not columns:
            present = list(row)
            if len(present) < 2:
                raise FileError(name, f"has one column ({', '.join(present)}): give two texts in each row", line=line)
            columns = [first or present[0], second or present[1]]
        for column, texts in zip(columns, (ones, others), strict=True):
            value = row.get(column)
            if not isinstance(value, str) or not value.strip():
                seen = f"has {', '.join(map(repr, list(row)[:8]))}" if column not in row else f"found {value!r}"
                raise FileError(name, f"expected a text in {column!r}, {seen}: correct the line", line=line)
            texts.append(value)
    if not ones:
        raise FileError(name, "holds no pairs: give a file with two texts in each row")
    return SentencePairs(ones, others, name)


@dataclass(frozen=True, kw_only=True)
class SentenceTraining(FinishedRun):
    """A finished run; ``retrieval_accuracy`` is recorded with each evaluation.

    Attributes:
        encoder: The encoder, which ``model`` is too, as a SentenceTransformer.
    """

    encoder: TextEncoder


def train_sentence_encoder(
    model: str | os.PathLike[str] | TextEncoder,
    pairs: SentencePairs,
    directory: str | os.PathLike[str],
    *,
    config: ContrastiveConfig | None = None,
    training: TrainingConfig | None = None,
    encoder_config: EncoderConfig | None = None,
    validation: SentencePairs | None = None,
    **run: Unpack[RunArguments],
) -> SentenceTraining:
    """Make a sentence encoder of a language model; the same call again goes on where it was stopped.

    The negatives of a text are the second texts of all other pairs of the batch, those of other parts and processes
    included (`nlprep.core.training.steps.coupled`): a micro-batch saves memory, costs time and changes nothing else.

    Args:
        model: The directory of a masked or causal language model, of a SentenceTransformer, or an encoder in memory,
            which is then changed (and cannot be told from another when the run goes on).
        pairs: What belongs together.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        config: The loss.
        training: The loop's settings; default: `CONTRASTIVE_TRAINING`.
        encoder_config: Pooling, length and so on, if ``model`` is a directory.
        validation: Pairs, of two texts each, on which loss and retrieval are measured.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its encoder is also in ``directory/model``, which ``SentenceTransformer`` opens.

    Warns:
        DropoutWarning: Sentences are paired with themselves, and the model has no dropout to tell them apart.

    Raises:
        NlprepError: Fewer than two different pairs, or as `prepare_run` and `fit` do.
        OptionError: A batch of one pair.
        FileError: No such model.
    """
    from nlprep.core.training.processes import make_accelerator
    from nlprep.core.training.steps.dropout import raise_dropout
    from nlprep.language_models.encoders.paired_texts import contrast_step
    from nlprep.language_models.encoders.text_encoder import TextEncoder

    config = config or ContrastiveConfig()
    training = training or CONTRASTIVE_TRAINING
    read: list[str | os.PathLike[str]] = [
        data.name for data in (pairs, validation) if data is not None and Path(data.name).is_file()
    ]
    if not isinstance(model, TextEncoder):
        read.append(model)
    distinct = pairs.without_repeats()
    if len(distinct) < 2:
        raise NlprepError(
            f"{pairs.name}: {len(distinct)} different pair(s): a contrast needs at least two, and many help"
        )
    if training.batch_size < 2:
        raise OptionError(f"batch_size = {training.batch_size}: a contrast needs at least 2")
    if validation is not None and validation.second is None:
        raise NlprepError(f"{validation.name}: texts paired with themselves measure nothing: give pairs, or none")
    encoder = model if isinstance(model, TextEncoder) else TextEncoder.from_directory(model, encoder_config)
    if distinct.second is None and not raise_dropout(encoder.module, config.dropout):
        warnings.warn(
            "the model has no dropout: the two views of a sentence are one, and little is learnt; give pairs",
            DropoutWarning,
            stacklevel=2,
        )
    accelerator = run.get("accelerator") or make_accelerator(training, Path(directory))
    training = _fit_batch(training, len(distinct), accelerator.num_processes)
    step = contrast_step(encoder, temperature=config.temperature, symmetric=config.symmetric)
    examples = PairExamples(encoder, distinct)
    held = None if validation is None else PairExamples(encoder, validation.without_repeats())
    with prepare_run(
        directory, kind=RUN, result=SENTENCE_TRANSFORMER, training=training,
        settings={"contrast": config, "encoder": encoder.config},
        bases={} if isinstance(model, TextEncoder) else {"model": _find_encoder(Path(model))},
        data={"pairs": distinct.second is not None},
        inputs=read, **run | {"accelerator": accelerator},
    ) as prepared:  # fmt: skip
        history = prepared.fit(step, examples, validation=held, evaluate=_make_evaluation(encoder, validation))
        prepared.publish(encoder.save)
    summary = prepared.summarise(history) | {"dimension": encoder.dimension}
    return SentenceTraining(directory=prepared.directory, history=history, summary=summary, encoder=encoder)


def _find_encoder(path: Path) -> Path:
    """Where `TextEncoder.from_directory` finds the encoder of a directory that is one or a run's."""
    alone = any((path / name).is_file() for name in ("modules.json", "config.json"))
    return path if alone else path / "model"


def _fit_batch(training: TrainingConfig, num_pairs: int, processes: int) -> TrainingConfig:
    """No larger a batch than there are pairs: one that came twice into it would be its own negative."""
    if training.batch_size <= num_pairs:
        return training
    return replace(training, batch_size=max(num_pairs - num_pairs % processes, processes))


def _make_evaluation(encoder: TextEncoder, validation: SentencePairs | None) -> Any:
    if validation is None:
        return None
    distinct = validation.without_repeats()
    return lambda _evaluation: {"retrieval_accuracy": retrieval_accuracy(encoder, distinct)}


def retrieval_accuracy(
    encoder: TextEncoder, pairs: SentencePairs, *, batch_size: int = 64, progress: Progress = SILENT
) -> float:
    """The share of first texts whose most similar second text, by the cosine, is their own.

    A second text that equals the right one is as right.

    Args:
        encoder: The encoder.
        pairs: n pairs, all of whose second texts are searched.
        batch_size: Texts that are encoded at once.
        progress: Gets texts encoded.

    Raises:
        NlprepError: There are no pairs, or texts paired with themselves.
    """
    if pairs.second is None or not len(pairs):
        raise NlprepError(f"{pairs.name}: there are no pairs to find again: give some")
    first, second = (
        scaled_to_unit(encoder.encode(texts, batch_size, progress=progress)) for texts in (pairs.first, pairs.second)
    )
    _, found = top_k(first, second, 1)
    right: int = sum(pairs.second[place] == own for place, own in zip(found[:, 0].tolist(), pairs.second, strict=True))
    return right / len(pairs)


class PairExamples:
    """Pairs as token ids: the `nlprep.core.training.data.examples.Examples` of contrastive training.

    Args:
        encoder: Whose tokenizer is used.
        pairs: The pairs; texts paired with themselves are given once, and paired by `PairedTexts`.
    """

    def __init__(self, encoder: TextEncoder, pairs: SentencePairs) -> None:
        self._encoder = encoder
        self._first = encoder.token_ids(pairs.first)
        self._second = None if pairs.second is None else encoder.token_ids(pairs.second)

    def __len__(self) -> int:
        return len(self._first)

    def batch(self, indices: np.ndarray[Any, np.dtype[np.int64]], seeds: Any) -> dict[str, Tensor]:  # noqa: ARG002
        """Fetch examples: ``first_*`` and ``second_*`` (b, L), each side as long as its longest."""
        batch = {f"first_{name}": value for name, value in self._side(self._first, indices).items()}
        if self._second is not None:
            batch |= {f"second_{name}": value for name, value in self._side(self._second, indices).items()}
        return batch

    def _side(self, ids: list[list[int]], indices: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Tensor]:
        return self._encoder.pad([ids[index] for index in indices])
