"""What commands read where they are given no text to work on."""

from collections.abc import Iterator


def read_standard_input() -> Iterator[str]:
    """The lines of standard input that are not blank, as they come.

    Raises:
        FileError: A line is not UTF-8.
    """
    from nlprep.core.files import STANDARD_INPUT, read_lines

    return (line for _, line in read_lines(STANDARD_INPUT) if line.strip())
