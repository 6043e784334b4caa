"""How every benchmark measures and reports: medians, a table for people, one JSON line per claim."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def make_parser(description: str | None, *, quick: str) -> argparse.ArgumentParser:
    """A parser of what most benchmarks are asked.

    Args:
        description: The module's docstring.
        quick: What ``--quick`` leaves of the work.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--seed", type=int, default=1, help="of everything (default: 1)")
    return parser


def require_files(*paths: Path) -> None:
    """Leave with a word if a file that a benchmark needs is not there."""
    for path in paths:
        if not path.is_file():
            raise SystemExit(f"{path} is not there: this benchmark needs it")


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def high_water() -> int:
    """Bytes of memory that this process had at the most; Linux's own count.

    Not `getrusage`, where a new program begins with what the one that started it had.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """Call in a new process, which knows nothing of this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def time_call(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of wall clock that one call takes, and what it returns."""
    gc.collect()
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def time_in_turn(contenders: Mapping[str, Callable[[], Any]], *, repeats: int) -> dict[str, list[float]]:
    """Seconds of every repeat of every contender.

    Contenders take turns, so that a machine that slows down for a while slows all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, function in contenders.items():
            elapsed, _result = time_call(function)
            seconds[name].append(elapsed)
    return seconds


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, the first column to the left and the others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    print(title)
    for number, row in enumerate(cells):
        parts = [row[0].ljust(widths[0])]
        parts += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(parts).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


def median(values: Sequence[float]) -> float:
    """The median of the repeats."""
    return statistics.median(values)


def print_claim(
    claim: str, *, peer: str, ratio: float, quality: Mapping[str, Any], summary: str = "", **more: Any
) -> None:
    """Print the one JSON line of a claim; call it last.

    Args:
        claim: What is compared and its unit, such as ``skipgram words/s``.
        peer: Who we are compared with, and its version.
        ratio: How many times better we are than the peer.
        quality: Numbers that show that the answer is as good.
        summary: The quality in a few words, for the table of the README.
        more: Anything else worth keeping: seconds, sizes, settings.
    """
    line = {
        "claim": claim,
        "peer": peer,
        "ratio": round(ratio, 2),
        "quality": dict(quality),
        "summary": summary,
        **more,
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def describe_machine() -> str:
    """One line on where the figures were taken."""
    from nlprep.core.threads import available_threads

    return f"{platform.machine()}, {available_threads()} processors, Python {platform.python_version()}"
