"""``rep-pretrain gpt``: a causal language model from text."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import EncodingErrors, Given, Output, Switch, Threads
from cli.pretrain_commands.inputs import Text
from cli.pretrain_commands.pretraining import MODEL, NEW_TOKENIZER, TRAINING, Resume, pretrain
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig
from nlprep.language_models.text.configuration import TokenizerConfig

EPILOG = """\
examples:
  rep-pretrain gpt english.txt --output gpt
  rep-pretrain gpt shakespeare.txt --output gpt --algorithm character \\
      --document file --layout stream --size tiny --dropout 0.1 --epochs 10
  rep-pretrain gpt texts/ --output llama --family llama --tokenizer tokenizer
  torchrun --nproc-per-node 8 -m cli.pretrain gpt texts/ --output gpt

RUN holds tokenizer, tokens, checkpoints, metrics.jsonl and, at the end, model, which opens
in transformers. However it was stopped, the same command goes on where it was.
"""


def gpt(
    *text: Text,
    output: Output,
    overwrite: Switch = False,
    tokenizer: Path | None = None,
    resume: Resume = "auto",
    model: Annotated[CausalPretrainingConfig, MODEL],
    training: Annotated[TrainingConfig, TRAINING],
    encoding_errors: Annotated[EncodingErrors, Parameter(group="text")] = "strict",
    new_tokenizer: Annotated[Given[TokenizerConfig], NEW_TOKENIZER],
    threads: Threads = None,
    console: Console,
) -> int:
    """Pretrain a causal language model (GPT's kind).

    Args:
        text: Text files or folders of them; plain, .gz, .xz, .zst; - is standard input.
        output: Directory for everything: RUN.
        overwrite: Replace what nlprep wrote there: a run of other settings or files, or one that is finished, begins
            anew; the same one, stopped, goes on; never anything else.
        tokenizer: A tokenizer, or a model's; without, one is trained.
        resume: With auto, go on where RUN was stopped, or start; never refuses a RUN that was begun, must one that
            was not.
        model: The model and its text.
        training: How it is trained.
        encoding_errors: What to do with bytes that are not UTF-8; strict is an error.
        new_tokenizer: The tokenizer to train.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.language_models.pretraining.training import RUNS, pretrain_causal

    return pretrain(
        pretrain_causal,
        RUNS["causal"],
        text,
        output,
        overwrite=overwrite,
        tokenizer=tokenizer,
        new_tokenizer=new_tokenizer,
        threads=threads,
        console=console,
        config=model,
        training=training,
        resume=resume,
        encoding_errors=encoding_errors,
    )
