"""What every command says and how: results on stdout, remarks and bars on stderr, one line for an error.

At a terminal, tables are drawn; piped, they are tab-separated lines; with ``--json``, stdout holds one JSON
document and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from nlprep.core.errors import NlprepError
from nlprep.core.progress import SILENT, terminal_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nlprep.core.progress import Progress

USER_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141
_OUR_PACKAGES = frozenset({"nlprep", "vision", "multimodal", "cli"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SECONDS_OF_PRECEDENCE = 3.0


class Console:
    """Where a command's words go.

    Args:
        json_output: Whether stdout is for one JSON document.
        quiet: Whether to leave out remarks and progress.
        silent: Whether to leave out results too: of several processes, the main one speaks for all.
        settings_file: What ``--config`` names.
    """

    def __init__(
        self,
        *,
        json_output: bool = False,
        quiet: bool = False,
        silent: bool = False,
        settings_file: Path | None = None,
    ) -> None:
        self.json_output = json_output
        self.quiet = quiet or silent
        self.silent = silent
        self.settings_file = settings_file

    def inputs(self, *given: Path | Iterable[Path] | None) -> list[Path]:
        """The files that a command reads, its settings among them: no output may touch one.

        Args:
            given: A file, several, or none.
        """
        named = ([one] if isinstance(one, Path) else one or () for one in (*given, self.settings_file))
        return [path for paths in named for path in paths]

    @property
    def progress(self) -> Progress:
        """Bars on stderr, unless quiet or stderr is no terminal."""
        return SILENT if self.quiet else terminal_progress()

    def note(self, text: str) -> None:
        """Say something that is not the result, on stderr, unless quiet."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, value: object) -> None:
        """Write the result as JSON, which is what ``--json`` asked for."""
        if self.silent:
            return
        print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
        """Write a table on stdout.

        Args:
            columns: Their headings.
            rows: Cells, written by `cell`; a column whose first cell is a number is set flush right.
            title: A line above it, at a terminal only.
        """
        if self.silent:
            return
        if not sys.stdout.isatty():
            # As they come: the rows may be a stream.
            print("\t".join(columns))
            for row in rows:
                print("\t".join(map(cell, row)))
            return
        listed = [list(row) for row in rows]
        cells = [[cell(value) for value in row] for row in listed]
        # rich takes 50 ms to import: piped output does without.
        from rich import box
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        drawn = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for position, heading in enumerate(columns):
            numeric = bool(listed) and isinstance(listed[0][position], int | float)
            drawn.add_column(heading, justify="right" if numeric else "left", overflow="fold")
        for line in cells:
            # Text, because words are data: rich would take [brackets] for its markup.
            drawn.add_row(*map(Text, line))
        RichConsole().print(drawn)


def cell(value: object) -> str:
    """A value as a table shows it: floats with two to four digits after the point, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}" if sys.stdout.isatty() else str(value)
    return str(value)


def run(program: str, command: Callable[[], int]) -> int:
    """Run a command and turn how it ends into an exit status.

    An `NlprepError` is one line on stderr and status 2, Ctrl-C one line and 130; a reader that went away
    (``| head``) is no error worth a word. Anything else is a bug and keeps its traceback.

    Args:
        program: The name in front of errors.
        command: What to do.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=UserWarning)
            # PyTorch's, laid at the door of whoever uses a sparse tensor.
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            warnings.showwarning = lambda message, category, filename, *_: _warn(program, message, category, filename)
            status = command()
        sys.stdout.flush()
    except NlprepError as error:
        return _fail(program, str(error), USER_ERROR_STATUS)
    except KeyboardInterrupt as interrupt:
        return _interrupted(program, interrupt)
    except BrokenPipeError:
        # What is still buffered has nowhere to go; the interpreter would complain when it flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_STATUS
    except MemoryError as error:
        return _fail(program, f"out of memory ({error}): give less data or a smaller model", USER_ERROR_STATUS)
    except Exception as error:
        # Libraries that catch everything while they are imported make an error of their own of Ctrl-C.
        behind = _interrupt_behind(error)
        if behind is None:
            raise
        return _interrupted(program, behind)
    return status


@contextmanager
def said_as_command() -> Iterator[None]:
    """Speak of the command where the library speaks of the call, when a run is interrupted or its loss is no number."""
    try:
        yield
    except NlprepError as error:
        # What trains has loaded this, and torch, already.
        from nlprep.core.training.steps.updates import NonFiniteError

        if not isinstance(error, NonFiniteError):
            raise
        raise NlprepError(f"{error}; give --overwrite with what you change: the run is begun anew") from None
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt).replace("the same call", "the same command")) from None


def is_main_process() -> bool:
    """Whether this is the process that speaks, of those that ``torchrun`` or ``accelerate launch`` started."""
    return os.environ.get("RANK", "0") == "0"


def _warn(program: str, message: Warning | str, category: type[Warning], filename: str) -> None:
    if is_main_process() and not _is_foreign(category, filename):
        print(f"{program}: warning: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def _is_foreign(category: type[Warning], filename: str) -> bool:
    """Whether a warning is between libraries: nothing that whoever runs a command could mend."""
    if category.__module__.partition(".")[0] in _OUR_PACKAGES:
        return False
    packages = [inner for outer, inner in pairwise(Path(filename).parts) if outer in _INSTALLED]
    return bool(packages) and packages[-1] not in _OUR_PACKAGES


def _interrupted(program: str, interrupt: KeyboardInterrupt) -> int:
    # A second Ctrl-C while leaving must not bring a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    detail = f": {interrupt}" if str(interrupt) else ""
    return _fail(program, f"interrupted{detail}", INTERRUPTED_STATUS, kind="")


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C in whose handling an error was raised, if it was."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, KeyboardInterrupt):
        reason = reason.__cause__ or reason.__context__
    return reason


def _fail(program: str, text: str, status: int, *, kind: str = "error: ") -> int:
    line = " ".join(text.split())
    if not is_main_process():
        if status == INTERRUPTED_STATUS:
            return status
        # What stops every process is said by the main one, at whose end the others are ended too.
        time.sleep(_SECONDS_OF_PRECEDENCE)
        program = f"{program}[{os.environ['RANK']}]"
    try:
        sys.stdout.flush()
        print(f"{program}: {kind}{line}", file=sys.stderr, flush=True)
    except OSError:
        # Nobody listens; the status still tells.
        pass
    return status
