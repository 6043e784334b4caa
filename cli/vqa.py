"""``rep-vqa``: questions about images, answered by a model of one's own, and what its answers are worth."""

from __future__ import annotations

import sys

from cli.program import OFFLINE, Program

COMMANDS = {
    "make-data": "draw images and questions that say nothing without them",
    "train": "learn to answer questions about images",
    "evaluate": "measure a model beside its controls",
    "ask": "answer a question about a picture",
}
"""Each command has a module of its name in `cli.vqa_commands`."""

DESCRIPTION = "Questions about images of your own, answered on your own machine, and what the answers are worth."
EPILOG = """\
questions that are drawn, a model, and what it is worth:
  rep-vqa make-data vqa-data
  rep-vqa train vqa-data --output run
  rep-vqa evaluate vqa-data --model run
  rep-vqa ask vqa-data/examples/00.png "is there a red circle ?" --model run

questions of your own, a line of JSON each, and their images:
  rep-vqa train train.jsonl --images photos.zip --output run

Stopped by Ctrl-C, kill or a power cut, the same train command goes on where it was. What is
written opens in Python: multimodal.answerers.answerer.Answerer.from_directory("run").

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""

PROGRAM = Program(
    "rep-vqa",
    description=DESCRIPTION,
    epilog=EPILOG,
    commands=COMMANDS,
    package="cli.vqa_commands",
    environment=OFFLINE,
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
