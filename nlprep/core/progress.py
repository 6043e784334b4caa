"""Progress that library code reports and whoever runs it may show.

Functions that can take more than two seconds accept ``progress``; the default shows nothing. At a terminal
pass `terminal_progress`, which draws bars on stderr, and nothing at all when stderr is not a terminal.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from rich.console import Console


class Task(Protocol):
    """One bar: a piece of work whose amount may be known."""

    def advance(self, amount: float = 1) -> None:
        """Report ``amount`` more units done."""

    def describe(self, message: str) -> None:
        """Replace the short text at the end of the bar (a loss, a rate)."""


class Progress(Protocol):
    """Somewhere to report work to."""

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Task]:
        """Open a bar for the time of the block; ``total`` is in the units of `Task.advance`."""


class _SilentTask:
    def advance(self, amount: float = 1) -> None:
        pass

    def describe(self, message: str) -> None:
        pass


class _Silent:
    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:  # noqa: ARG002
        yield _SilentTask()


SILENT: Progress = _Silent()
"""Reports to nobody."""


class _RichTask:
    def __init__(self, bars: object, identity: object) -> None:
        self._bars = bars
        self._identity = identity

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._identity, amount)  # type: ignore[attr-defined]

    def describe(self, message: str) -> None:
        self._bars.update(self._identity, message=message)  # type: ignore[attr-defined]


class _Terminal:
    def __init__(self, console: Console | None) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        # rich takes 50 ms to import; a command that reports nothing should not pay for it.
        from rich import progress as bars
        from rich.console import Console

        columns: list[bars.ProgressColumn] = [
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=28),
            bars.TaskProgressColumn(),
            bars.TimeElapsedColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[message]}"),
        ]
        console = self._console or Console(stderr=True)
        with bars.Progress(*columns, console=console, transient=True) as drawn:
            yield _RichTask(drawn, drawn.add_task(description, total=total, message=""))


def terminal_progress(console: Console | None = None) -> Progress:
    """Bars on stderr when it is a terminal, silence when it is not.

    Args:
        console: A rich console to draw on instead.
    """
    if console is None and not sys.stderr.isatty():
        return SILENT
    return _Terminal(console)
