"""``rep-pretrain``: language models from text files of one's own, and what they are good for."""

from __future__ import annotations

import sys

from cli.program import OFFLINE, Program

COMMANDS = {
    "tokenizer": "learn a tokenizer from text",
    "mlm": "pretrain a masked language model (BERT's kind)",
    "gpt": "pretrain a causal language model (GPT's kind)",
    "fill": "fill in masked words",
    "generate": "continue a text",
    "encode": "turn texts into vectors",
    "evaluate": "measure perplexity, bits per byte and few-shot answers",
    "probe": "measure encoders by how few labels they need",
    "finetune": "train a pretrained model for a task",
}
"""Each command has a module of its name in `cli.pretrain_commands`."""

DESCRIPTION = "Language models from text files of your own, on your own machine, and what they are good for."
EPILOG = """\
an encoder, and what it has learned:
  rep-pretrain mlm english.txt --output bert
  rep-pretrain fill bert "The cat sat on the [MASK]."
  rep-pretrain probe bert --train train.tsv --test test.tsv

a generator:
  rep-pretrain gpt english.txt --output gpt
  rep-pretrain generate gpt "Once upon a time"

Stopped by Ctrl-C, kill or a power cut, the same command goes on where it was. What is
written opens in transformers: AutoModel.from_pretrained("bert/model").

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""

PROGRAM = Program(
    "rep-pretrain",
    description=DESCRIPTION,
    epilog=EPILOG,
    commands=COMMANDS,
    package="cli.pretrain_commands",
    environment=OFFLINE | {"TOKENIZERS_PARALLELISM": "true"},
)


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; those of the process if None.

    Returns:
        The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
    """
    return PROGRAM.main(argv)


if __name__ == "__main__":
    sys.exit(main())
