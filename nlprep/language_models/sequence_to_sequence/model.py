"""Encoders and decoders joined into one translation model, and such models on disk.

The model is transformers' ``EncoderDecoderModel``: the decoder's layers attend to the encoder's last states through
cross-attention, which neither had before. Its output matrices begin as zeros, so that a decoder pretrained as a
language model is that language model until training has found a use for the source.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import PlainStep
from nlprep.language_models.text.tokenizers import fill_tokenizer, load_tokenizer
from nlprep.objectives.labels import IGNORED
from nlprep.objectives.token_cross_entropy import token_cross_entropy

if TYPE_CHECKING:
    import os

    from transformers import EncoderDecoderModel, PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.training.configuration import TrainingConfig

_SIDES = ("source_tokenizer", "target_tokenizer")


def join(encoder: PreTrainedModel, decoder: PreTrainedModel, *, seed: int = 1) -> EncoderDecoderModel:
    """Join copies of an encoder and a decoder.

    Args:
        encoder: A masked language model, of which the body is taken, or a body alone.
        decoder: A causal language model; one that has cross-attention already keeps it.
        seed: Of the cross-attention's weights.

    Raises:
        OptionError: The decoder's kind has no cross-attention.
    """
    from transformers import EncoderDecoderModel

    body = deepcopy(encoder.base_model)
    decoder = deepcopy(decoder) if _crosses(decoder) else _with_cross_attention(decoder, seed)
    joined = EncoderDecoderModel(encoder=body, decoder=decoder)  # type: ignore[arg-type]
    config: Any = joined.config
    config.decoder_start_token_id = decoder.config.eos_token_id
    config.eos_token_id = decoder.config.eos_token_id
    config.pad_token_id = decoder.config.pad_token_id
    config.vocab_size = decoder.config.vocab_size
    generation: Any = joined.generation_config
    generation.decoder_start_token_id = generation.bos_token_id = config.decoder_start_token_id
    generation.eos_token_id, generation.pad_token_id = config.eos_token_id, config.pad_token_id
    return joined


def _crosses(decoder: PreTrainedModel) -> bool:
    return any("crossattention" in name for name, _ in decoder.named_parameters())


def _with_cross_attention(decoder: PreTrainedModel, seed: int) -> PreTrainedModel:
    config: Any = deepcopy(decoder.config)
    config.add_cross_attention = config.is_decoder = True
    with seeded_torch(seed):
        crossing: PreTrainedModel = type(decoder)(config)
    if not _crosses(crossing):
        raise OptionError(f"a {config.model_type} decoder has no cross-attention: pretrain one of family gpt2")
    result = crossing.load_state_dict(decoder.state_dict(), strict=False)
    assert all("cross" in name for name in result.missing_keys) and not result.unexpected_keys  # noqa: S101, PT018
    with torch.no_grad():
        for name, parameter in crossing.named_parameters():
            if "crossattention.c_proj" in name or "crossattention.output.dense" in name:
                parameter.zero_()
    return crossing


def freeze_all_but_cross_attention(model: EncoderDecoderModel) -> None:
    """Leave only the cross-attention, and the norm before it, to be trained."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("cross" in name)


class Translation(nn.Module):
    """A translation model and its loss.

    Args:
        model: See `join`.
        label_smoothing: Share of the probability spread over the whole vocabulary (Szegedy et al. 2016).
    """

    def __init__(self, model: EncoderDecoderModel, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """The loss of a batch that `nlprep.language_models.sequence_to_sequence.parallel_text.make_batch` made.

        Returns:
            ``loss``, the mean cross-entropy in nats over the labels that count, smoothed in training only.
        """
        logits = self.model(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False
        ).logits
        smoothing = self.label_smoothing if self.training else 0.0
        return {"loss": token_cross_entropy(logits, labels, label_smoothing=smoothing)}


class TranslationStep(PlainStep):
    """Trains a translation model; what was pretrained may learn more slowly than the cross-attention.

    Args:
        objective: Model and loss.
        pretrained_rate: Learning rate of all but the cross-attention, as a share of the rest's.
    """

    def __init__(self, objective: Translation, *, pretrained_rate: float = 1.0) -> None:
        super().__init__(
            objective,
            weight=lambda batch: float((batch["labels"] != IGNORED).sum()),
            num_units=lambda batch: int((batch["labels"] != IGNORED).sum() + batch["attention_mask"].sum()),
            unit="tokens",
        )
        self.pretrained_rate = pretrained_rate

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:
        """AdamW with a learning rate for each of the two parts."""
        optimizer = super().make_optimizer(player, config)
        if self.pretrained_rate == 1.0:
            return optimizer
        crossing = {id(p) for name, p in self.module.named_parameters() if "cross" in name}
        groups = []
        for group in optimizer.param_groups:
            for chosen, rate in ((True, 1.0), (False, self.pretrained_rate)):
                parameters = [p for p in group["params"] if (id(p) in crossing) is chosen]
                if parameters:
                    groups.append(
                        {
                            "params": parameters,
                            "lr": config.learning_rate * rate,
                            "weight_decay": group["weight_decay"],
                        }
                    )
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


def save_translation_model(
    model: EncoderDecoderModel,
    source: PreTrainedTokenizerFast,
    target: PreTrainedTokenizerFast,
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write a translation model with both tokenizers, whole or not at all.

    The directory is one that ``EncoderDecoderModel.from_pretrained`` opens; the tokenizers are in folders in it.

    Args:
        model: The model.
        source: The source's tokenizer.
        target: The target's.
        directory: The place; another translation model of ours there is replaced when this one is whole.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
    """
    from nlprep.language_models.models.files import TRANSLATION_MODEL, without_progress_bars

    with atomic_directory(directory, kind=TRANSLATION_MODEL, overwrite=overwrite) as assembly:
        with without_progress_bars():
            model.save_pretrained(assembly)
        for side, tokenizer in zip(_SIDES, (source, target), strict=True):
            (assembly / side).mkdir()
            fill_tokenizer(tokenizer, assembly / side)


def load_translation_model(
    path: str | os.PathLike[str],
) -> tuple[EncoderDecoderModel, PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """Load what `save_translation_model` wrote: model, source tokenizer, target tokenizer.

    Raises:
        FileError: Missing, damaged, or no translation model.
    """
    from transformers import EncoderDecoderModel

    from nlprep.language_models.models.files import find_model, without_progress_bars

    directory = find_model(path)
    if not all((directory / side).is_dir() for side in _SIDES):
        raise FileError(directory, "is no translation model: name a directory that holds one with both tokenizers")
    source, target = (load_tokenizer(directory / side) for side in _SIDES)
    with os_errors_named(Path(directory)), without_progress_bars():
        try:
            model = EncoderDecoderModel.from_pretrained(
                directory, local_files_only=True, use_safetensors=True, dtype="float32"
            )
        except Exception as error:
            # Whatever the library makes of a damaged file.
            reason = " ".join(str(error).split())[:200]
            raise FileError(directory, f"the model cannot be loaded ({reason}): train it again") from error
    return model, source, target
