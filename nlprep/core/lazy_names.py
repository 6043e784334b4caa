"""Names that a package hands on from its modules, each loaded when it is first used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def hand_on(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Importing the package then costs nothing, and what it hands on is listed and completed as if it were there.

    Args:
        package: Its ``__name__``.
        homes: The module of each name.
    """
    present = vars(sys.modules[package])

    def get(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        present[name] = value
        return value

    return get, lambda: sorted({*present, *homes})
