"""Reading folders of JPEGs, and decoding them with Pillow and nothing else, in turn on the same files.

    python -m benchmarks.read_images [folder or zip] [--quick] [--repeats 3] [--threads N]

Without a folder, 20,000 small pictures (32 x 32) and 200 large ones (1600 x 1200) are drawn (--quick: 2,500 and 20).
Decoding alone reads each file and makes an array of it (of a large one, by Pillow's draft mode, an image of 64 x 64
pixels), in as many processes, and keeps nothing. Processor seconds are of all processes, the fewest of the repeats: to
be compared where the machine has other work to do. What is kept is then opened a second time.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.report import describe_machine, median, print_claim, print_table, processor_seconds, time_call
from nlprep.core.threads import resolve_threads
from vision.images.reading import list_images, read_images
from vision.images.sources.source import Pictures

_PART = 256


def draw_jpegs(folder: Path, count: int, height: int, width: int) -> Path:
    """Clouds of colour, of which no two are the same."""
    generator = np.random.default_rng(height)
    folder.mkdir()
    for number in range(count):
        clouds = Image.fromarray(generator.integers(0, 256, (max(4, height // 16), max(4, width // 16), 3), np.uint8))
        clouds.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def decode_alone(source: Pictures, part: range, side: int | None) -> int:
    """Read and decode a few files, and add up what came out."""
    total = 0
    for place in part:
        picture = Image.open(io.BytesIO(source.read(place)))
        if side is not None:
            # At a fraction of its size, as ours does.
            picture.draft("RGB", (2 * side, 2 * side))
        total += np.asarray(picture if side is None else picture.resize((side, side))).size
    return total


_source: list[Pictures] = []


def _decode_part(task: tuple[range, int | None]) -> int:
    return decode_alone(_source[0], *task)


def decode_all(source: Pictures, side: int | None, threads: int) -> int:
    """All files, by as many processes."""
    size = min(_PART, max(1, len(source) // (4 * threads)))
    parts = [(range(start, min(start + size, len(source))), side) for start in range(0, len(source), size)]
    _source[:] = [source]
    if threads == 1:
        return sum(map(_decode_part, parts))
    with ProcessPoolExecutor(threads, multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(_decode_part, parts))


def measure(path: Path, name: str, *, threads: int, repeats: int, kept: Path) -> dict[str, tuple[float, float]]:
    """Seconds of wall clock (the median) and of processors (the fewest), by contender; and a table of them."""
    source = list_images(path)
    if not isinstance(source, Pictures):
        raise SystemExit(f"{path}: name a folder or an archive of pictures")

    def read(number: int) -> None:
        shutil.rmtree(kept, ignore_errors=True)
        read_images(path, cache=kept, threads=number)

    read(threads)
    shape = read_images(path, cache=kept).shape
    with Image.open(io.BytesIO(source.read(0))) as first:
        side = None if first.size == shape[:0:-1] else shape[1]
    contenders = {
        "Pillow, 1 process": lambda: decode_all(source, side, 1),
        "ours, 1 thread": lambda: read(1),
        f"Pillow, {threads} processes": lambda: decode_all(source, side, threads),
        f"ours, {threads} threads": lambda: read(threads),
        "ours, kept": lambda: read_images(path, cache=kept),
    }
    wall: dict[str, list[float]] = {contender: [] for contender in contenders}
    processor: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(repeats):
        for contender, function in contenders.items():
            before = processor_seconds()
            wall[contender].append(time_call(function)[0])
            processor[contender].append(processor_seconds() - before)
    found = {contender: (median(wall[contender]), min(processor[contender])) for contender in contenders}
    print_table(
        f"Reading {len(source):,} {name} as {shape} ({describe_machine()}, load {os.getloadavg()[0]:.0f})",
        ["reader", "seconds", "processor seconds", "images/s"],
        [[who, f"{took:.2f}", f"{cpu:.2f}", f"{len(source) / took:,.0f}"] for who, (took, cpu) in found.items()],
    )
    return found


def main() -> None:
    """Measure, print the tables and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of pictures, or a zip; drawn if absent")
    parser.add_argument("--quick", action="store_true", help="fewer pictures")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()

    threads = resolve_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        inside = Path(scratch)
        places = {"pictures": options.folder}
        if options.folder is None:
            few = options.quick
            places = {
                "small JPEGs": draw_jpegs(inside / "small", 2_500 if few else 20_000, 32, 32),
                "large JPEGs": draw_jpegs(inside / "large", 20 if few else 200, 1200, 1600),
            }
        for name, path in places.items():
            found = measure(path, name, threads=threads, repeats=options.repeats, kept=inside / "kept")
            alone, ours = found[f"Pillow, {threads} processes"], found[f"ours, {threads} threads"]
            print_claim(
                f"read a folder of {name}, share of the speed of decoding alone",
                peer=f"Pillow {version('pillow')}",
                ratio=alone[0] / ours[0],
                quality={"ratio of processor seconds": round(alone[1] / ours[1], 2)},
                summary=f"decoded, kept and digested; kept, it opens in {1000 * found['ours, kept'][0]:.0f} ms",
                threads=threads,
            )


if __name__ == "__main__":
    main()
