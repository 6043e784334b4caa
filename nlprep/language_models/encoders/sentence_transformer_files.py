"""Encoders on disk as sentence-transformers writes them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.randomness import seeded_torch
from nlprep.language_models.encoders.pooling import PooledSentenceTransformer, PooledTransformer
from nlprep.language_models.models.files import (
    SENTENCE_TRANSFORMER,
    quiet_libraries,
    save_language_model,
)
from nlprep.language_models.text.tokenizers import fill_tokenizer

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedTokenizerFast

_MODULES = "modules.json"
_POOLINGS = {"mean": "mean", "weighted-mean": "weightedmean", "first": "cls", "last": "lasttoken", "max": "max"}


def load_sentence_transformer(directory: Path) -> SentenceTransformer:
    """Open a SentenceTransformer, on the CPU, if nothing in it would have to be run or unpickled.

    Raises:
        FileError: Damaged, with code of its own, or with pickled weights.
    """
    path = directory / _MODULES
    try:
        with os_errors_named(path):
            entries = json.loads(path.read_bytes())
        kinds = [str(entry["type"]) for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(path, f"cannot be read ({error!r}): save the model again") from None
    for kind in kinds:
        if not kind.startswith("sentence_transformers."):
            raise FileError(
                path, f"names a module of its own ({kind!r}), whose code is not run: only the library's are"
            )
    for pickled in sorted(directory.rglob("*.bin")):
        if not any(pickled.parent.glob("*.safetensors")):
            raise FileError(pickled, "holds pickled weights, which are not read: save the model again as safetensors")
    from sentence_transformers import SentenceTransformer

    try:
        with quiet_libraries(), seeded_torch(0):
            return SentenceTransformer(
                str(directory), device="cpu", local_files_only=True, trust_remote_code=False
            ).float()
    except Exception as error:
        # Whatever the library makes of a damaged file.
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the SentenceTransformer cannot be loaded ({reason}): save it again") from error


def write_sentence_transformer(
    module: PooledTransformer | PooledSentenceTransformer,
    tokenizer: PreTrainedTokenizerFast,
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write a directory that ``SentenceTransformer(directory)`` opens, giving the module's vectors.

    Args:
        module: Model and pooling.
        tokenizer: Its tokenizer, which says how long a text may be.
        directory: The place; another SentenceTransformer of ours there is replaced when this one is whole.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
        OptionError: The model is half of a sequence-to-sequence model, which has no such form.
    """
    if isinstance(module, PooledTransformer) and module.model.config.is_encoder_decoder:
        raise OptionError("half of a sequence-to-sequence model cannot be written as a SentenceTransformer")
    with atomic_directory(directory, kind=SENTENCE_TRANSFORMER, overwrite=overwrite) as assembly:
        if isinstance(module, PooledTransformer):
            scratch = assembly / "scratch"
            save_language_model(module.model, tokenizer, scratch)
            model = _compose(module, scratch)
            shutil.rmtree(scratch)
        else:
            model = _with_unit_length(module)
        with quiet_libraries():
            model.save(str(assembly), create_model_card=False)
        fill_tokenizer(tokenizer, assembly)


def _compose(module: PooledTransformer, saved: Path) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as parts

    with quiet_libraries(), seeded_torch(0):
        transformer = parts.Transformer(str(saved), model_kwargs={"local_files_only": True})
    modules: list[Any] = [transformer]
    if module.layer != -1:
        layers = int(transformer.auto_model.config.num_hidden_layers)
        transformer.auto_model.config.output_hidden_states = True
        layer = parts.WeightedLayerPooling(
            module.dimension, num_hidden_layers=layers, layer_start=module.layer % (layers + 1)
        )
        # One layer weighs 1, those after it nothing.
        layer.layer_weights.data[1:] = 0
        modules.append(layer)
    modules.append(parts.Pooling(module.dimension, _POOLINGS[module.pooling]))
    if module.normalize:
        modules.append(parts.Normalize())
    return SentenceTransformer(modules=modules, device="cpu")


def _with_unit_length(module: PooledSentenceTransformer) -> SentenceTransformer:
    """The module's SentenceTransformer, with one module more if it is to normalise and does not."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as parts

    model = module.model
    if not module.normalize or isinstance(model[-1], parts.Normalize):
        return model
    longer = SentenceTransformer(modules=[*model, parts.Normalize()], device="cpu")
    longer.prompts, longer.default_prompt_name = model.prompts, model.default_prompt_name
    return longer
