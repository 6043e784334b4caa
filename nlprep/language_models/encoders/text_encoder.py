"""Text to vectors, with any transformers model or SentenceTransformer on disk."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import seeded_torch
from nlprep.evaluation.encoder import check_texts, evaluation_mode
from nlprep.language_models.encoders.configuration import EncoderConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress
    from nlprep.language_models.encoders.pooling import PooledSentenceTransformer, PooledTransformer

# Texts are tokenised and sorted by length so many at a time, so that ids need no memory to speak of.
_CHUNK = 1 << 15


class TruncationWarning(UserWarning):
    """Texts were longer than the model takes, and were cut."""


class TextEncoder:
    """A model that makes a vector of a text: an `nlprep.evaluation.encoder.Encoder`.

    Args:
        model: A transformers encoder or decoder; a head that it has is left aside.
        tokenizer: Its tokenizer.
        config: Pooling, layer, length and precision.

    Attributes:
        module: The differentiable part: called on what `tokenize` returns, it gives vectors (b, d). Train it as a
            part of a larger model as you would any module.
        tokenizer: Makes its input.
        config: As given, with the pooling and length in use.

    Raises:
        OptionError: A layer that the model does not have, or a length that it cannot take.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: EncoderConfig | None = None
    ) -> None:
        from nlprep.language_models.encoders.pooling import PooledTransformer
        from nlprep.language_models.models.files import context_length

        config = config or EncoderConfig()
        body: Any = model.base_model
        pooling = config.pooling or ("weighted-mean" if _sees_only_the_past(model) else "mean")
        layers = int(model.config.num_hidden_layers)
        if not -layers - 1 <= config.layer <= layers:
            raise OptionError(f"layer = {config.layer}: the model has layers {-layers - 1} to {layers}")
        layer = -1 if config.layer == layers else config.layer
        self.tokenizer = _with_padding(tokenizer)
        self.config = replace(
            config, pooling=pooling, layer=layer, max_length=_longest(config, self.tokenizer, context_length(model))
        )
        self.module: PooledTransformer | PooledSentenceTransformer = PooledTransformer(
            body, pooling=pooling, layer=layer, normalize=config.normalize
        ).eval()

    @classmethod
    def from_sentence_transformer(
        cls, model: SentenceTransformer, config: EncoderConfig | None = None, *, where: str | os.PathLike[str] = "model"
    ) -> TextEncoder:
        """Wrap a SentenceTransformer, whose own modules do the pooling.

        Args:
            model: The SentenceTransformer; its default prompt, if it has one, stands before every text.
            config: Normalisation, length and precision.
            where: What errors call it.

        Raises:
            OptionError: ``config`` asks for a pooling or a layer.
            FileError: Its first module is not a transformers model that reads text.
        """
        from transformers import PreTrainedTokenizerFast

        from nlprep.language_models.encoders.pooling import PooledSentenceTransformer
        from nlprep.language_models.models.files import context_length

        config = config or EncoderConfig()
        if config.pooling is not None or config.layer != -1:
            raise OptionError(
                f"{where} is a SentenceTransformer, with a pooling of its own: leave out pooling and layer"
            )
        first = model[0]
        tokenizer = getattr(first, "tokenizer", None)
        transformer = getattr(first, "auto_model", None)
        if not isinstance(tokenizer, PreTrainedTokenizerFast) or transformer is None:
            raise FileError(
                where, f"begins with a {type(first).__name__}: only those that begin with a Transformer read"
            )
        encoder = cls.__new__(cls)
        encoder.tokenizer = tokenizer
        encoder.config = replace(config, max_length=_longest(config, tokenizer, context_length(transformer)))
        encoder.module = PooledSentenceTransformer(model, normalize=config.normalize).eval()
        return encoder

    @classmethod
    def from_directory(
        cls, path: str | os.PathLike[str], config: EncoderConfig | None = None, *, device: str | None = None
    ) -> TextEncoder:
        """Load an encoder.

        Nothing is fetched, no code that came with the model is run, nothing is unpickled.

        Args:
            path: The directory of a run, of a transformers model (masked, causal, sequence-to-sequence or bare), or of
                a SentenceTransformer.
            config: Pooling, layer, length and precision.
            device: ``cpu``, ``cuda``...; default: a GPU where there is one.

        Raises:
            FileError: Missing, damaged, without safetensors, or with a tokenizer that does not fit.
            OptionError: Settings that do not suit the model, or a device that is not there.
        """
        from nlprep.language_models.models.files import load_language_model, quiet_libraries

        chosen = find_device(device)
        for directory in (Path(path), Path(path) / "model"):
            if (directory / "modules.json").is_file():
                from nlprep.language_models.encoders.sentence_transformer_files import load_sentence_transformer

                model = load_sentence_transformer(directory)
                return cls.from_sentence_transformer(model, config, where=directory).to(chosen)
        loaded: Any
        with quiet_libraries():
            # The library remarks on the head that is left aside.
            loaded, tokenizer = load_language_model(path, kind="encoder")
        if loaded.config.is_encoder_decoder:
            loaded = loaded.get_encoder()
        return cls(loaded, tokenizer, config).to(chosen)

    @property
    def dimension(self) -> int:
        """The size of the vectors."""
        return self.module.dimension

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> TextEncoder:
        """Move the model; returns itself."""
        self.module.to(device)
        return self

    @overload
    def encode(
        self,
        texts: Sequence[str],
        batch_size: int = ...,
        *,
        as_tensor: Literal[False] = ...,
        progress: Progress = ...,
    ) -> NDArray[np.float32]: ...

    @overload
    def encode(
        self, texts: Sequence[str], batch_size: int = ..., *, as_tensor: Literal[True], progress: Progress = ...
    ) -> Tensor: ...

    def encode(
        self, texts: Sequence[str], batch_size: int = 32, *, as_tensor: bool = False, progress: Progress = SILENT
    ) -> NDArray[np.float32] | Tensor:
        """Make vectors.

        Texts of like length are computed together, the longest first, so that memory that does not suffice shows at
        once. A text without any token has a vector of zeros.

        Args:
            texts: n of them.
            batch_size: How many at once.
            as_tensor: Return a tensor on the CPU instead of an array.
            progress: Gets texts.

        Returns:
            (n, `dimension`) float32, in the order of the texts.

        Warns:
            TruncationWarning: Texts were cut; says how many.

        Raises:
            NlprepError: One text instead of a list, or something else than a text.
            OptionError: A batch size below 1, or bf16 on a GPU without it.
        """
        import torch

        check_texts(texts, batch_size)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        cut = 0
        with progress.task("encoding", len(texts)) as task, self._inference():
            for start in range(0, len(texts), _CHUNK):
                ids, shortened = self._token_ids(texts[start : start + _CHUNK])
                cut += shortened
                lengths = np.array([len(row) for row in ids])
                order = np.argsort(-lengths, kind="stable")
                for first in range(0, len(order), batch_size):
                    rows = order[first : first + batch_size]
                    full = rows[lengths[rows] > 0]
                    if len(full):
                        tokens = {name: value.to(self.device) for name, value in self._pad(ids, full).items()}
                        vectors[start + full] = self.module(**tokens).float().cpu().numpy()
                    task.advance(len(rows))
        if cut:
            warnings.warn(
                f"{cut:,} of {len(texts):,} texts are longer than {self.config.max_length:,} tokens: only their "
                "beginnings count",
                TruncationWarning,
                stacklevel=2,
            )
        return torch.from_numpy(vectors) if as_tensor else vectors

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What `module` is called on: ``input_ids`` and ``attention_mask`` (b, L) int64, texts cut if need be.

        A text without any token takes one of padding, which does not count.
        """
        check_texts(texts)
        ids, _ = self._token_ids(texts)
        return self._pad(ids, np.arange(len(ids)))

    def pad(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """As `tokenize`, of token ids that `token_ids` made."""
        return self._pad(ids, np.arange(len(ids)))

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's tokens, special ones included, cut if need be."""
        check_texts(texts)
        return self._token_ids(texts)[0]

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that ``SentenceTransformer(directory)`` and `from_directory` open, giving the same vectors.

        Args:
            directory: The place; another SentenceTransformer of ours there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
            OptionError: The model is half of a sequence-to-sequence model, which has no such form.
        """
        from nlprep.language_models.encoders.sentence_transformer_files import write_sentence_transformer

        tokenizer = deepcopy(self.tokenizer)
        tokenizer.model_max_length = self.config.max_length or tokenizer.model_max_length
        device = self.device
        write_sentence_transformer(self.module, tokenizer, directory, overwrite=overwrite)
        self.to(device)

    def randomized(self, seed: int = 1) -> TextEncoder:
        """The same architecture with random weights: what pretraining is compared with.

        Args:
            seed: Of the weights, which are the same whatever the device.
        """
        from nlprep.language_models.encoders.pooling import PooledTransformer

        other = TextEncoder.__new__(TextEncoder)
        other.tokenizer, other.config = self.tokenizer, self.config
        own = other.module = deepcopy(self.module).cpu()
        inner: Any = own.model if isinstance(own, PooledTransformer) else own.model[0].auto_model
        with seeded_torch(seed):
            fresh = type(inner)(deepcopy(inner.config)).state_dict()
            # A masked model's body lacks the pooler that one built by itself has.
            inner.load_state_dict({name: fresh[name] for name in inner.state_dict()})
            part: Any
            for part in own.modules():
                if not _within(part, inner) and hasattr(part, "reset_parameters"):
                    part.reset_parameters()
        return other.to(self.device)

    def _token_ids(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        from nlprep.language_models.encoders.pooling import PooledSentenceTransformer

        if isinstance(self.module, PooledSentenceTransformer):
            prompt = self.module.model.prompts.get(self.module.model.default_prompt_name or "") or ""
            if prompt:
                texts = [prompt + text for text in texts]
        if not len(texts):
            return [], 0
        encoded = self.tokenizer(
            list(texts),
            truncation=self.config.max_length is not None,
            max_length=self.config.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        cut = sum(bool(encoding.overflowing) for encoding in encoded.encodings or ())
        return encoded["input_ids"], cut

    def _pad(self, ids: Sequence[Sequence[int]], rows: NDArray[np.int64]) -> dict[str, Tensor]:
        import torch

        longest = max(1, max((len(ids[row]) for row in rows), default=1))
        tokens = torch.full((len(rows), longest), int(self.tokenizer.pad_token_id))
        mask = torch.zeros_like(tokens)
        for place, row in enumerate(rows):
            tokens[place, : len(ids[row])] = torch.tensor(ids[row], dtype=torch.int64)
            mask[place, : len(ids[row])] = 1
        return {"input_ids": tokens, "attention_mask": mask}

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Evaluation mode, no gradients, and the precision asked for."""
        import torch

        from nlprep.core.training.steps.precision import has_bf16

        wanted = self.config.precision
        if wanted == "bf16" and self.device.type == "cuda" and not has_bf16(self.device):
            raise OptionError("precision = 'bf16': this GPU does not compute it; use fp32")
        low = wanted == "bf16" or (wanted == "auto" and has_bf16(self.device))
        with evaluation_mode(self.module), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            yield


def _sees_only_the_past(model: PreTrainedModel) -> bool:
    """Whether a model is a decoder: its type has a causal form and no masked one, or it is set up as a decoder."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if model.config.is_encoder_decoder:
        return False
    kind = type(model.config)
    causal = kind in AutoModelForCausalLM._model_mapping  # noqa: SLF001
    masked = kind in AutoModelForMaskedLM._model_mapping  # noqa: SLF001
    return bool(getattr(model.config, "is_decoder", False)) or (causal and not masked)


def _with_padding(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer that has a padding token: decoders' often lack one, and any will do under a mask."""
    if tokenizer.pad_token_id is not None:
        return tokenizer
    tokenizer = deepcopy(tokenizer)
    if tokenizer.eos_token is None:
        raise OptionError("the tokenizer has neither a padding token nor one for the end of a text: give it one")
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _longest(config: EncoderConfig, tokenizer: PreTrainedTokenizerFast, context: int | None) -> int | None:
    added = tokenizer.num_special_tokens_to_add()
    if config.max_length is not None:
        if context is not None and config.max_length > context:
            raise OptionError(f"max_length = {config.max_length:,}: the model takes at most {context:,} tokens")
        if config.max_length <= added:
            raise OptionError(
                f"max_length = {config.max_length}: the tokenizer's own {added} tokens leave no room for text"
            )
        return config.max_length
    # What libraries write for "no limit" is a number near 1e30.
    limits = [limit for limit in (context, tokenizer.model_max_length) if limit is not None and limit < 1_000_000_000]
    return int(min(limits)) if limits else None


def _within(part: torch.nn.Module, whole: torch.nn.Module) -> bool:
    return any(part is member for member in whole.modules())
