"""``rep-pretrain gpt``: a causal language model from text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, resolve_configuration
from cli.pretrain_commands.pretraining import add_pretraining, chosen_tokenizer, report, said_as_command
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.pretraining.training import CAUSAL_RUN, CausalPretrainingConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain gpt english.txt --output gpt
  rep-pretrain gpt shakespeare.txt --output gpt --algorithm character --document file --layout stream \\
      --size tiny --dropout 0.1 --epochs 10
  rep-pretrain gpt texts/ --output llama --family llama --tokenizer tokenizer --steps 20000
  torchrun --nproc-per-node 8 -m cli.pretrain gpt texts/ --output gpt --batch-size 256

RUN holds tokenizer, tokens, checkpoints, metrics.jsonl and, at the end, model, which opens
in transformers. However it was stopped, the same command goes on where it was.
"""
_ALGORITHM = "byte-bpe"


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_pretraining(parser, CausalPretrainingConfig, algorithm=_ALGORITHM)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Pretrain."""
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.pretraining.training import pretrain_causal

    config = resolve_configuration(CausalPretrainingConfig, arguments)
    training = resolve_configuration(TrainingConfig, arguments)
    tokenizer = chosen_tokenizer(arguments, console, algorithm=_ALGORITHM, kind=CAUSAL_RUN)
    with torch_threads(arguments.threads), said_as_command():
        made = pretrain_causal(
            arguments.text,
            arguments.output,
            config=config,
            training=training,
            tokenizer=tokenizer,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            encoding_errors=arguments.encoding_errors,
            progress=console.progress,
        )
    return report(arguments, console, made)
