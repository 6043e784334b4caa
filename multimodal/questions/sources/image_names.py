"""Which of some images a question means, by name or number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlprep.core.errors import NlprepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MANY = -1
_LAST_DIGITS = re.compile(r"(\d+)\D*$")


class UnknownImageError(NlprepError):
    """A question's image that is not there, or one of several."""


class ImageNames:
    """Finds images by what questions call them.

    An image is meant by its whole name, its path in the folder; by the end of it, with or without the folders before;
    by its name without the ending; or, where the question has a number, by the last number in its name, zeros before it
    or not: 9 is ``COCO_train2014_000000000009.jpg``. The first of these that finds any decides.

    Args:
        names: What the images are called, with ``/``.
        where: Where they are, for errors.
    """

    def __init__(self, names: Sequence[str], where: str) -> None:
        self.names, self.where = names, where
        self._by: list[dict[str, int]] = []

    def place(self, name: str) -> int:
        """The place of an image.

        Raises:
            UnknownImageError: There is none, or several that could be meant.
        """
        wanted = name.removeprefix("./")
        keys = [wanted]
        while "/" in wanted:
            wanted = wanted.partition("/")[2]
            keys.append(wanted)
        for level, spell in enumerate(_SPELLINGS):
            if level == len(self._by):
                self._by.append(_places(map(spell, self.names)))
            for key in keys if level < _NUMBERS else [str(int(key)) for key in keys if key.isdecimal()]:
                found = self._by[level].get(key)
                if found == _MANY:
                    several = [one for one in self.names if spell(one) == key][:2]
                    raise UnknownImageError(
                        f"image {name!r} may be any of {', '.join(several)} among {self.where}: write more of its name"
                    )
                if found is not None:
                    return found
        some = ", ".join(self.names[place] for place in range(min(3, len(self.names))))
        raise UnknownImageError(
            f"image {name!r} is not among {self.where}, {len(self.names):,} such as {some}: correct the name, or add "
            "the image"
        )


def _places(spelled: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, name in enumerate(spelled):
        if name:
            found[name] = _MANY if name in found else place
    return found


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    file = _file(name)
    return file.rpartition(".")[0] or file


def _number(name: str) -> str:
    found = _LAST_DIGITS.search(_stem(name))
    return str(int(found[1])) if found else ""


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, _file, _stem, _number)
_NUMBERS = len(_SPELLINGS) - 1
