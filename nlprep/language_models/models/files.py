"""Language models on disk: as transformers writes them, loaded from nowhere but the disk."""

from __future__ import annotations

import json
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.artifacts import read_config
from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.randomness import seeded_torch
from nlprep.language_models.text.tokenizers import causal_form, fill_tokenizer, load_tokenizer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LANGUAGE_MODEL, CLASSIFIER = "language-model", "text-classifier"
SENTENCE_TRANSFORMER, TRANSLATION_MODEL = "sentence-transformer", "translation-model"
"""What directories of models are marked as."""
MODEL_KINDS = ("masked", "causal", "encoder")


def save_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    directory: str | os.PathLike[str],
    *,
    kind: str = LANGUAGE_MODEL,
    overwrite: bool = False,
) -> None:
    """Write a model and its tokenizer as one directory that transformers opens, whole or not at all.

    The tokenizer of a causal model is written in its causal form.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        directory: The place; another model of ours of this kind is replaced when this one is whole.
        kind: What the directory is marked as.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
    """
    with atomic_directory(directory, kind=kind, overwrite=overwrite) as assembly:
        with without_progress_bars():
            model.save_pretrained(assembly)
        if _is_causal(model):
            tokenizer = causal_form(tokenizer)
        fill_tokenizer(with_token_types(tokenizer, model), assembly)


def with_token_types(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> PreTrainedTokenizerFast:
    """A tokenizer that gives token types, which tell the texts of a pair apart, if the model has them."""
    if getattr(model.config, "type_vocab_size", 1) < 2 or model.config.model_type == "roberta":
        return tokenizer
    tokenizer = deepcopy(tokenizer)
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Without transformers' progress bars, which come and go in an instant for models of this size."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without transformers' bars and remarks, such as on a head that is left aside or new."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with without_progress_bars():
            yield
    finally:
        logging.set_verbosity(level)


def _is_causal(model: PreTrainedModel) -> bool:
    from transformers import AutoModelForCausalLM

    causal: Any = AutoModelForCausalLM._model_mapping.get(type(model.config), None)  # noqa: SLF001
    classes = causal if isinstance(causal, tuple) else (causal,)
    return type(model) in classes


def find_model(path: str | os.PathLike[str]) -> Path:
    """The directory of a model: the one named, or ``model`` in the directory of a run.

    Raises:
        FileError: There is no model.
    """
    directory = Path(path)
    with os_errors_named(directory):
        names = {child.name for child in directory.iterdir()}
    if "config.json" in names and _model_type(directory) is not None:
        return directory
    inner = directory / "model"
    if (inner / "config.json").is_file():
        return inner
    if "checkpoints" in names:
        raise FileError(directory, "the run has not published a model yet: let it finish with the same command")
    raise FileError(directory, "holds no model: name a directory with a config.json that transformers wrote")


def _model_type(directory: Path) -> str | None:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid JSON ({error}): save the model again") from None
    found = config.get("model_type") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None


def kind_of_model(path: str | os.PathLike[str]) -> str:
    """Whether a model's directory holds a ``masked``, ``causal`` or ``translation`` model, by what it says of itself.

    Raises:
        FileError: There is no model.
    """
    names = read_config(find_model(path)).get("architectures") or []
    if any(name == "EncoderDecoderModel" for name in names):
        return "translation"
    return "masked" if any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in names) else "causal"


def load_language_model(path: str | os.PathLike[str], kind: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a model and its tokenizer, in float32 and in evaluation mode.

    Nothing is fetched, no code that came with the model is run, nothing is unpickled.

    Args:
        path: A model's directory, or a run's.
        kind: ``masked`` or ``causal`` for a model with that head, ``encoder`` for one without.

    Raises:
        FileError: Missing, damaged, without safetensors, of another kind, or with a tokenizer that does not fit.
        OptionError: Unknown kind.
    """
    import transformers

    if kind not in MODEL_KINDS:
        raise OptionError(f"kind = {kind!r}: choose from {', '.join(MODEL_KINDS)}")
    directory = find_model(path)
    if not any(directory.glob("*.safetensors")):
        raise FileError(directory, "holds no .safetensors weights: save the model again in that format")
    tokenizer = load_tokenizer(directory)
    if kind != "encoder":
        _check_head(directory, kind)
    auto = {
        "masked": transformers.AutoModelForMaskedLM,
        "causal": transformers.AutoModelForCausalLM,
        "encoder": transformers.AutoModel,
    }[kind]
    try:
        # Libraries draw weights for what they build, before those on disk take their place; what the disk lacks, such
        # as a pooler that no vector comes from, keeps them.
        with without_progress_bars(), seeded_torch(0):
            model: PreTrainedModel = auto.from_pretrained(
                directory, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
            )
    except Exception as error:
        # Whatever the library makes of a damaged file: a KeyError, a SafetensorError, a RuntimeError on shapes.
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the model cannot be loaded ({reason}): save or train it again") from error
    check_vocabulary(model, tokenizer, directory)
    # from_pretrained leaves it in evaluation mode.
    return model, tokenizer


def _check_head(directory: Path, kind: str) -> None:
    """Fail if the weights are those of a model with another head; the library would make up the missing ones."""
    config = json.loads((directory / "config.json").read_bytes())
    names = config.get("architectures") or []
    suffixes = {"masked": ("ForMaskedLM", "ForPreTraining"), "causal": ("ForCausalLM", "LMHeadModel")}[kind]
    if names and not any(name.endswith(suffixes) for name in names):
        raise FileError(directory, f"holds a {names[0]}, not a {kind} language model: name a directory of that kind")


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, where: str | os.PathLike[str]) -> None:
    """Fail if a tokenizer has tokens that the model has no vector for.

    Raises:
        FileError: It has.
    """
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    if len(tokenizer) > rows:
        raise FileError(
            where, f"the tokenizer has {len(tokenizer):,} tokens and the model {rows:,}: they do not belong together"
        )


def context_length(model: PreTrainedModel) -> int | None:
    """The most tokens that a model can take, or None where it has no limit."""
    config: Any = model.config
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None:
        return None
    table: Any = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if getattr(table, "padding_idx", None) is not None:
        # RoBERTa's positions begin behind the padding's id.
        limit -= table.padding_idx + 1
    return int(limit)
