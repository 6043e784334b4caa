"""What it takes to keep very many small pictures: memory, and processor seconds beside decoding alone.

Pictures of 32 x 32 in colour, JPEGs and PNGs in turn and no two the same, are drawn into a folder of a thousand classes
and into a zip archive, and kept by `vision.images.reading.read_images`, a tenth of them and all, so that it is seen
what grows::

    python -m benchmarks.many_images             200,000 pictures, some minutes of a processor, two GB of disk
    python -m benchmarks.many_images --quick     4,000

Each reading has a process of its own. Its peak is Linux's high-water mark of resident memory, beside what it had once
the package was imported; where children decode, that of the largest stands beside it, what it shares with its parent
included. Decoding alone is Pillow's in as many processes, has the list of files at hand, in its memory from the
beginning, and keeps nothing (`benchmarks.read_images`). What is kept is opened again by another process: its pixels are
mapped, and take memory when they are looked at, which is given back when others want it. Bytes a picture are what peaks
grew by from a tenth of the pictures to all. Seconds are of processors, of one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.read_images import decode_all
from benchmarks.report import apart, describe_machine, high_water, print_table, processor_seconds
from nlprep.core.threads import resolve_threads
from vision.images.reading import list_images, read_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from vision.images.sources.source import Pictures

SIDE, CLASSES = 32, 1000
FULL, QUICK, SMALLER = 200_000, 4_000, 10
MANY = 3_000_000


@dataclass(frozen=True)
class Reading:
    """What one process did.

    Attributes:
        imported: Resident memory before it began, in bytes; likewise what follows.
        peak: The most that it had.
        child: The most that one of its children had.
        seconds: Of processors.
    """

    imported: int
    peak: int
    child: int
    seconds: float


def draw_pictures(folder: Path, count: int) -> None:
    """Clouds of colour in folders of classes, JPEGs and PNGs in turn."""
    generator = np.random.default_rng(1)
    for number in range(CLASSES):
        (folder / f"{number:03d}").mkdir(parents=True)
    for number in range(count):
        picture = Image.fromarray(generator.integers(0, 256, (4, 4, 3), np.uint8)).resize((SIDE, SIDE))
        place = folder / f"{number % CLASSES:03d}"
        if number % 2:
            picture.save(place / f"{number:07d}.jpg", quality=90)
        else:
            picture.save(place / f"{number:07d}.png", compress_level=1)


def pack(folder: Path, archive: Path) -> None:
    """A zip archive of a folder."""
    with zipfile.ZipFile(archive, "w") as made:
        for path in sorted(folder.rglob("*.*")):
            made.write(path, path.relative_to(folder))


def keep(path: Path, kept: Path, threads: int) -> Reading:
    """Read everything and keep it."""
    return _measured(lambda: read_images(path, cache=kept, threads=threads))


def open_again(path: Path, kept: Path, threads: int) -> Reading:
    """Open what is kept."""
    return _measured(lambda: len(read_images(path, cache=kept, threads=threads)))


def decode_alone(path: Path, _: Path, threads: int) -> Reading:
    """Read and decode everything, and keep nothing."""
    source: Any = list_images(path)
    pictures: Pictures = source
    return _measured(lambda: decode_all(pictures, None, threads))


def _measured(function: Callable[[], Any]) -> Reading:
    imported, began = high_water(), processor_seconds()
    function()
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Reading(imported, high_water(), child, processor_seconds() - began)


def main() -> None:
    """Draw, read, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} pictures")
    parser.add_argument("--count", type=int, default=None, help=f"pictures (default: {FULL:,})")
    parser.add_argument("--threads", type=int, default=None, help="processes that decode (default: all processors)")
    arguments = parser.parse_args()
    count = arguments.count or (QUICK if arguments.quick else FULL)
    threads = resolve_threads(arguments.threads)
    print(describe_machine(), f"{threads} threads", sep="; ")
    rows: list[list[object]] = []
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        inside = Path(scratch)
        peaks: dict[tuple[str, str], dict[int, int]] = {}
        for number in (count // SMALLER, count):
            folder, archive = inside / f"{number}", inside / f"{number}.zip"
            apart(draw_pictures, folder, number)
            apart(pack, folder, archive)
            for kind, path in (("folder", folder), ("zip", archive)):
                kept = inside / f"kept-{number}-{kind}"
                found = {
                    "Pillow, keeping nothing": apart(decode_alone, path, kept, threads),
                    "kept": apart(keep, path, kept, threads),
                    "opened again": apart(open_again, path, kept, threads),
                }
                for what, one in found.items():
                    peaks.setdefault((kind, what), {})[number] = one.peak
                    rows.append([
                        f"{number:,} in a {kind}", what, f"{one.seconds:.1f}", f"{number / one.seconds:,.0f}",
                        _mb(one.imported), _mb(one.peak), _mb(one.child) if one.child else "",
                    ])  # fmt: skip
                share = found["Pillow, keeping nothing"].seconds / found["kept"].seconds
                results.append({
                    "pictures": number,
                    "source": kind,
                    "share_of_decoding_alone": round(share, 2),
                    "peak_mb": round(found["kept"].peak / 1e6),
                })  # fmt: skip
    print_table(
        f"Keeping pictures of {SIDE} x {SIDE}; memory in MB",
        ["pictures", "what", "processor s", "pictures/s", "imported", "peak", "of a child"],
        rows,
    )
    grown = {
        (kind, what): (by[count] - by[count // SMALLER]) / (count - count // SMALLER)
        for (kind, what), by in peaks.items()
        if what != "Pillow, keeping nothing"
    }
    print_table(
        f"Bytes a picture, and what {MANY:,} would take",
        ["source", "what", "bytes a picture", f"MB for {MANY:,}"],
        [[kind, what, f"{grew:,.0f}", _mb(grew * MANY)] for (kind, what), grew in grown.items()],
    )
    shares = ", ".join(
        f"{result['share_of_decoding_alone']:.2f} in a {result['source']}"
        for result in results
        if result["pictures"] == count
    )
    print(f"Pictures a processor second, as a share of decoding alone: {shares}\n")
    told = [{"source": kind, "what": what, "bytes_a_picture": round(grew)} for (kind, what), grew in grown.items()]
    measured = f"memory and processor seconds of keeping {count:,} small pictures"
    print(json.dumps({"measured": measured, "results": results, "grows": told, "quick": count != FULL}))


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f}"


if __name__ == "__main__":
    main()
