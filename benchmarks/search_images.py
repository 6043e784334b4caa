"""Search among the codes of 100,000 images: exactly, exactly by faiss, and by inverted lists.

Codes of 64 numbers are drawn about 1,000 centres, and each of 100 queries, a code with a little noise, is asked by
itself for its ten nearest. Opening is of what was saved; the share that is found is of the exact ten::

    python -m benchmarks.search_images

Milliseconds are of the processor, one thread, the median over queries, since other work on the machine lengthens wall
clock alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, print_table
from vision.uses.image_search import PROBES, ImageIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


IMAGES, DIMENSION, CENTRES, QUERIES, FOUND = 100_000, 64, 1000, 100, 10


def main() -> None:
    """Draw, search, and print the table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    import faiss

    faiss.omp_set_num_threads(1)
    print(describe_machine(), f"faiss {faiss.__version__}", sep="; ")
    draws = np.random.default_rng(1)
    centres = draws.standard_normal((CENTRES, DIMENSION))
    codes = centres[draws.integers(0, CENTRES, IMAGES)] + 0.5 * draws.standard_normal((IMAGES, DIMENSION))
    queries = (codes[:QUERIES] + 0.2 * draws.standard_normal((QUERIES, DIMENSION))).astype(np.float32)
    names = [f"photos/{place}.jpg" for place in range(IMAGES)]
    rows, told = [], {}
    exact: list[set[int]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, approximate in (("exact", False), (f"inverted lists, {PROBES} looked at", True)):
            place = Path(folder) / title.split(",")[0]
            made = clock(partial(ImageIndex, codes, names, approximate=approximate, threads=1))
            made.value.save(place)
            opened = clock(partial(open_and_ask, place, queries[:1]))
            index: ImageIndex = opened.value
            asked = [clock(partial(index.search, one[None], FOUND, threads=1)) for one in queries]
            found = [{match.place for match in one.value[0]} for one in asked]
            exact = exact or found
            shared = float(np.mean([len(one & other) / FOUND for one, other in zip(found, exact, strict=True)]))
            each = 1000 * float(np.median([one.seconds for one in asked]))
            rows.append((title, f"{made.seconds:.2f}", f"{opened.seconds:.2f}", f"{each:.2f}", f"{shared:.1%}"))
            told[title] = {"open_s": round(opened.seconds, 3), "query_ms": round(each, 3), "found": round(shared, 4)}
        flat = faiss.IndexFlatIP(DIMENSION)
        flat.add(index.codes)
        unit = queries - index.mean
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        each = 1000 * float(np.median([clock(partial(flat.search, one[None], FOUND)).seconds for one in unit]))
        rows.append(("faiss's exact index", "", "", f"{each:.2f}", ""))
        told["faiss's exact index"] = {"query_ms": round(each, 3)}
    print_table(
        f"{IMAGES:,} codes of {DIMENSION} numbers, the {FOUND} nearest",
        ("search", "made in s", "opened and first asked in s", "ms a query", "of the exact found"),
        rows,
    )
    print(json.dumps({"measured": "search among the codes of 100,000 images", "results": told}))


def open_and_ask(place: Path, queries: NDArray[np.float32]) -> ImageIndex:
    """Open an index and ask it for the first time, when lists are built."""
    index = ImageIndex.from_directory(place)
    index.search(queries, FOUND, threads=1)
    return index


class Clocked:
    """A value and the seconds of the processor that it took."""

    def __init__(self, value: Any, seconds: float) -> None:
        self.value, self.seconds = value, seconds


def clock(call: Callable[[], Any]) -> Clocked:
    """Call and take the time."""
    began = time.process_time()
    value = call()
    return Clocked(value, time.process_time() - began)


if __name__ == "__main__":
    main()
