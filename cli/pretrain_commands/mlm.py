"""``rep-pretrain mlm``: a masked language model from text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, add_configuration, resolve_configuration
from cli.pretrain_commands.pretraining import add_pretraining, chosen_tokenizer, report, said_as_command
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.pretraining.masking import MaskingConfig
from nlprep.language_models.pretraining.training import MASKED_RUN, MaskedPretrainingConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain mlm english.txt --output bert
  rep-pretrain mlm english.txt.xz --output bert --size base --epochs 3 --workers 2
  rep-pretrain mlm texts/ --output classic --family bert --tokenizer tokenizer --steps 20000
  torchrun --nproc-per-node 8 -m cli.pretrain mlm texts/ --output bert --batch-size 256

RUN holds tokenizer, tokens, checkpoints, metrics.jsonl and, at the end, model, which opens
in transformers. However it was stopped, the same command goes on where it was.
"""
_ALGORITHM = "byte-bpe"


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_pretraining(parser, MaskedPretrainingConfig, algorithm=_ALGORITHM)
    add_configuration(parser, MaskingConfig, title="masking")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Pretrain."""
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.pretraining.training import pretrain_masked

    config = resolve_configuration(MaskedPretrainingConfig, arguments)
    training = resolve_configuration(TrainingConfig, arguments)
    masking = resolve_configuration(MaskingConfig, arguments)
    tokenizer = chosen_tokenizer(arguments, console, algorithm=_ALGORITHM, kind=MASKED_RUN)
    with torch_threads(arguments.threads), said_as_command():
        made = pretrain_masked(
            arguments.text,
            arguments.output,
            config=config,
            training=training,
            masking=masking,
            tokenizer=tokenizer,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            encoding_errors=arguments.encoding_errors,
            progress=console.progress,
        )
    return report(arguments, console, made)
