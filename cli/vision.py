"""``rep-vision``: representations of images, learned from a folder of one's own, and what they are worth."""

from __future__ import annotations

import os
import sys

from cli.program import Program

COMMANDS = {
    "train": "learn a model of images, without labels",
    "encode": "turn images into vectors",
    "reconstruct": "draw images beside what the model makes of them",
    "sample": "draw new images",
    "traverse": "draw what each number of a code changes",
    "probe": "measure what codes are worth, by how few labels they need",
    "report": "show what a model learned on one page",
}
"""Each command has a module of its name in `cli.vision_commands`."""

DESCRIPTION = "Learn representations of images from a folder of your own, see what was learned, and use it."
EPILOG = """\
a folder of pictures, and a page that shows what was learned:
  rep-vision train photos/
  rep-vision report

with classes in folders of their own, or a file such as MNIST's:
  rep-vision train vae mnist.npz --output mnist --steps 3000
  rep-vision probe mnist --train mnist.npz --test mnist-test.npz
  rep-vision sample mnist --output samples.png

Stopped by Ctrl-C, kill or a power cut, the same command goes on where it was.

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""

PROGRAM = Program(
    "rep-vision",
    description=DESCRIPTION,
    epilog=EPILOG,
    commands=COMMANDS,
    package="cli.vision_commands",
)
# Read by the libraries when they are first imported: nothing asks a network.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; those of the process if None.

    Returns:
        The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    return PROGRAM.main(argv)


if __name__ == "__main__":
    sys.exit(main())
