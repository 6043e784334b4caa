"""How things are counted in what is said to people."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it is of.

    Args:
        number: How many.
        one: What one is called.
        many: What more, or none, are called; default: the same with an s.

    >>> counted(1, "step"), counted(2000, "step"), counted(0, "class", "classes")
    ('1 step', '2,000 steps', '0 classes')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
