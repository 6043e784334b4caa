"""``rep-vision``: representations of images of one's own, and what they are good for."""

from __future__ import annotations

import sys

from cli.program import OFFLINE, Program

COMMANDS = {
    "train": "learn to represent images, without labels",
    "encode": "turn images into vectors",
    "reconstruct": "show what a model makes of images",
    "sample": "draw new images",
    "traverse": "move through codes, one number at a time or between images",
    "probe": "measure encoders by how few labels they need",
    "compare": "train several models with the same budget, and measure them side by side",
    "search": "find images like another, and near-duplicates",
    "anomalies": "find odd images, and where they are odd",
    "robustness": "attack a classifier, alone and behind a denoising autoencoder",
    "export": "an encoder or a detector as an ONNX file, for other programs",
    "report": "a page with a map, neighbours, near-duplicates and the oddest images",
    "demo": "try everything on images that are drawn for it",
}
"""Each command has a module of its name in `cli.vision_commands`."""

DESCRIPTION = "Representations of images of your own, on your own machine, and what they are good for."
EPILOG = """\
a folder of pictures, and a page about it:
  rep-vision train photos/
  rep-vision report

a model by name, and what it is good for:
  rep-vision train vae photos/ --output vae
  rep-vision sample vae
  rep-vision search vae --image photos/one.jpg
  rep-vision anomalies vae --data more-photos/

Stopped by Ctrl-C, kill or a power cut, the same train command goes on where it was. What is
written opens in Python: vision.ImageEncoder.from_directory("photos-vae").

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""

PROGRAM = Program(
    "rep-vision",
    description=DESCRIPTION,
    epilog=EPILOG,
    commands=COMMANDS,
    package="cli.vision_commands",
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
