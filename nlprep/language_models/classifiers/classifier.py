"""A transformers model that gives a label to a text, or to a pair of texts."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import seeded_torch
from nlprep.evaluation.encoder import check_texts, evaluation_mode
from nlprep.language_models.encoders.text_encoder import TruncationWarning
from nlprep.language_models.models.files import (
    CLASSIFIER,
    check_vocabulary,
    context_length,
    find_model,
    quiet_libraries,
    save_language_model,
    with_token_types,
)
from nlprep.language_models.text.tokenizers import load_tokenizer

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress
    from nlprep.core.randomness import Seeds

_LONGEST_WITHOUT_LIMIT = 512


class TextClassifier:
    """A sequence-classification model of transformers with its tokenizer.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer, which also says how long a text may be.
        labels: The names of the classes, in the order of the model's outputs.
        new_parameters: Names of parameters that did not come from the disk: the head, before it is trained.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        *,
        new_parameters: frozenset[str] = frozenset(),
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.labels = tuple(labels)
        self.new_parameters = new_parameters

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str], labels: Sequence[str], *, max_length: int | None = None, seed: int = 1
    ) -> TextClassifier:
        """Put a new head on a pretrained model.

        Args:
            path: A model's directory, or a run's.
            labels: The names of the classes.
            max_length: Cut texts after so many tokens; None: what the model takes.
            seed: Of the head's weights.

        Raises:
            FileError: No such model, or one that cannot be made a classifier.
            OptionError: More tokens than the model takes.
        """
        names = dict(enumerate(labels))
        settings = {"num_labels": len(names), "id2label": names, "label2id": {name: i for i, name in names.items()}}
        with seeded_torch(seed):
            model, tokenizer, new = _load(path, settings | {"ignore_mismatched_sizes": True})
        tokenizer = with_token_types(_separating(tokenizer), model)
        model.config.pad_token_id = tokenizer.pad_token_id
        tokenizer.model_max_length = _longest(model, tokenizer, max_length)
        return cls(model, tokenizer, labels, new_parameters=new)

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str], *, device: str | None = None) -> TextClassifier:
        """Load a classifier that was trained here or anywhere else.

        Args:
            path: A model's directory, or a run's.
            device: ``cpu``, ``cuda``...; default: a GPU where there is one.

        Raises:
            FileError: No such model, or one without a classifier's head.
            OptionError: No such device.
        """
        directory = find_model(path)
        config = json.loads((directory / "config.json").read_bytes())
        kinds = config.get("architectures") or ["model of no known kind"]
        if not kinds[0].endswith("ForSequenceClassification"):
            raise FileError(directory, f"holds a {kinds[0]}, which is no classifier: fine-tune it first")
        model, tokenizer, _ = _load(directory, {})
        tokenizer.model_max_length = _longest(model, tokenizer, None)
        names: Any = model.config.id2label
        labels = [str(names[place]) for place in sorted(names)]
        model.to(find_device(device))  # type: ignore[arg-type]
        return cls(model, tokenizer, labels)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that transformers' AutoModelForSequenceClassification and AutoTokenizer open.

        Args:
            directory: The place; another classifier of ours there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        save_language_model(self.model, self.tokenizer, directory, kind=CLASSIFIER, overwrite=overwrite)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> tuple[list[dict[str, Any]], int]:
        """The model's inputs for each text or pair, and how many had to be cut.

        Raises:
            NlprepError: One text by itself, something that is no text, or not as many second texts as first ones.
        """
        for given in (texts,) if pairs is None else (texts, pairs):
            check_texts(given, taker="a classifier")
        if pairs is not None and len(pairs) != len(texts):
            raise NlprepError(f"{len(texts):,} texts and {len(pairs):,} second ones: give one for each")
        if not len(texts):
            return [], 0
        encoded = self.tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_attention_mask=False,
        )
        cut = sum(bool(encoding.overflowing) for encoding in encoded.encodings or ())
        return [{name: encoded[name][row] for name in encoded} for row in range(len(texts))], cut

    def pad(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch of what `tokenize` made: (b, L) int64 tensors, as long as the longest, and ``attention_mask``."""
        longest = max((len(row["input_ids"]) for row in rows), default=0) or 1
        batch = {}
        for name in rows[0]:
            filler = int(self.tokenizer.pad_token_id) if name == "input_ids" else 0
            values = np.full((len(rows), longest), filler, np.int64)
            for place, row in enumerate(rows):
                values[place, : len(row[name])] = row[name]
            batch[name] = torch.from_numpy(values)
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
        return batch

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int = 32,
        progress: Progress = SILENT,
    ) -> NDArray[np.float32]:
        """Scores of the classes.

        Args:
            texts: n texts.
            pairs: The second text of each, if the classifier is one of pairs.
            batch_size: How many at once.
            progress: Gets texts.

        Returns:
            (n, C) float32.

        Raises:
            NlprepError: As `tokenize` does.
            OptionError: A batch size below 1.

        Warns:
            TruncationWarning: Texts were cut; says how many.
        """
        check_texts(texts, batch_size, taker="a classifier")
        rows, cut = self.tokenize(texts, pairs)
        warn_of_cuts(cut, len(texts), int(self.tokenizer.model_max_length))
        scores = np.zeros((len(rows), len(self.labels)), np.float32)
        order = np.argsort([-len(row["input_ids"]) for row in rows], kind="stable")
        with progress.task("classifying", len(rows)) as task, evaluation_mode(self.model):
            for start in range(0, len(rows), batch_size):
                chosen = order[start : start + batch_size]
                batch = self.pad([rows[row] for row in chosen])
                batch = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
                scores[chosen] = self.model(**batch).logits.float().cpu().numpy()
                task.advance(len(chosen))
        return scores

    def probabilities(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        """(n, C) float32, each row adding up to 1."""
        return torch.from_numpy(self.logits(texts, pairs)).softmax(1).numpy()

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[str]:
        """The most probable label of each text or pair."""
        return [self.labels[place] for place in self.logits(texts, pairs).argmax(1)]


class LabelledExamples:
    """Texts with labels as a model's inputs: the `nlprep.core.training.data.examples.Examples` of a classifier.

    Args:
        classifier: Whose tokenizer is used.
        texts: n texts.
        pairs: The second text of each, where there are two.
        labels: (n,) int64.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: NDArray[np.int64],
    ) -> None:
        self._classifier = classifier
        self._rows, cut = classifier.tokenize(texts, pairs)
        self._labels = labels
        warn_of_cuts(cut, len(texts), int(classifier.tokenizer.model_max_length))

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:  # noqa: ARG002
        """Fetch examples: the model's inputs (b, L), as long as the longest of them, and ``labels`` (b,)."""
        batch = self._classifier.pad([self._rows[index] for index in indices])
        return batch | {"labels": torch.from_numpy(self._labels[indices])}


class Classification(nn.Module):
    """A classifier and its loss.

    Args:
        classifier: The classifier.
        head_only: Leave what was pretrained as it is, and without dropout, and train the rest.
    """

    def __init__(self, classifier: TextClassifier, *, head_only: bool = False) -> None:
        super().__init__()
        self.model = classifier.model
        self.head_only = head_only
        if head_only:
            body = {id(parameter) for parameter in self.model.base_model.parameters()}
            for name, parameter in self.model.named_parameters():
                # A pooler counts as the model's body, but if it is new, it must learn.
                parameter.requires_grad_(name in classifier.new_parameters or id(parameter) not in body)

    def train(self, mode: bool = True) -> Classification:
        """Training or evaluation mode; a frozen body stays in the latter."""
        super().train(mode)
        if self.head_only:
            self.model.base_model.eval()
        return self

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            labels: (b,) int64.
            inputs: The model's, (b, L).

        Returns:
            ``loss``, the mean cross-entropy in nats, and ``accuracy``.
        """
        logits = self.model(**inputs).logits.float()
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return {"loss": functional.cross_entropy(logits, labels), "accuracy": accuracy}


def warn_of_cuts(cut: int, total: int, longest: int) -> None:
    """Warn that texts were cut, if any were."""
    if cut:
        warnings.warn(
            f"{cut:,} of {total:,} examples are longer than {longest:,} tokens: only their beginnings count",
            TruncationWarning,
            stacklevel=3,
        )


def _load(
    path: str | os.PathLike[str], settings: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, frozenset[str]]:
    from transformers import AutoModelForSequenceClassification

    directory = find_model(path)
    if not any(directory.glob("*.safetensors")):
        raise FileError(directory, "holds no .safetensors weights: save the model again in that format")
    tokenizer = load_tokenizer(directory)
    try:
        with quiet_libraries():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                directory,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype="float32",
                output_loading_info=True,
                **settings,
            )
    except Exception as error:
        # Whatever the library makes of a damaged file, or of a model that has no such form.
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"cannot be loaded as a classifier ({reason}): name another model") from error
    check_vocabulary(model, tokenizer, directory)
    mismatched = {entry if isinstance(entry, str) else entry[0] for entry in report["mismatched_keys"]}
    return model, tokenizer, frozenset({*report["missing_keys"], *mismatched})


def _separating(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer that marks where a text ends; a decoder's adds nothing, which would run a pair together."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    if len(tokenizer("")["input_ids"]):
        return deepcopy(tokenizer)
    end = tokenizer.eos_token
    if end is None:
        raise OptionError("the tokenizer has no token that ends a text (eos): add one")
    backend = deepcopy(tokenizer.backend_tokenizer)
    backend.post_processor = TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    # The plain class, because a model's own may put its own processor back when it is loaded.
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{"pad_token": end, **tokenizer.special_tokens_map},
    )


def _longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, wanted: int | None) -> int:
    context = context_length(model)
    if wanted is None:
        # What libraries write for "no limit" is a number near 1e30.
        limits = [limit for limit in (context, tokenizer.model_max_length) if limit is not None and limit < 10**9]
        return min(limits, default=_LONGEST_WITHOUT_LIMIT)
    if context is not None and wanted > context:
        raise OptionError(f"max_length = {wanted:,}: the model takes at most {context:,} tokens")
    added = tokenizer.num_special_tokens_to_add(pair=True)
    if wanted <= added:
        raise OptionError(f"max_length = {wanted}: the tokenizer's own {added} tokens leave no room for text")
    return wanted
