"""``rep-translate``: from two text files and a dictionary to a word translator."""

from __future__ import annotations

import sys

from cli.program import Program

COMMANDS = {
    "train": "learn word vectors from text",
    "align": "bring languages together, with dictionaries or without",
    "translate": "translate words",
    "evaluate": "measure translations against a dictionary",
    "neighbors": "list the words nearest to a word",
    "analogy": "answer 'a is to b as c is to ...?'",
    "convert": "change the format of word vectors",
    "plot": "draw words of both languages in one plane",
    "demo": "run everything on generated text",
}
"""Each command has a module of its name in `cli.translate_commands`."""

DESCRIPTION = "From two text files and a dictionary to a word translator."
EPILOG = """\
the main job, in four commands:
  rep-translate train english.txt --output en
  rep-translate train french.txt --output fr
  rep-translate align en fr --dictionary en-fr.txt --output en-fr
  rep-translate translate en-fr cat dog

without data of your own:
  rep-translate demo

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""

PROGRAM = Program(
    "rep-translate",
    description=DESCRIPTION,
    epilog=EPILOG,
    commands=COMMANDS,
    package="cli.translate_commands",
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
