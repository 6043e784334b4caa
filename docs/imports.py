"""The picture of who imports whom, ``docs/imports.png``, from the code's own imports.

    python docs/imports.py                                     this checkout
    python docs/imports.py --root OTHER --output OTHER.png     another, such as an older one

A room stands above all that it imports; in brackets, its modules. Lines to core, on which every room stands, and from
the commands, which use every room, are left out. A line is as thick as the number of modules that import.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["cli", "multimodal", "vision", "nlprep"]
SHARED = {"nlprep.evaluation", "nlprep.figures", "nlprep.objectives", "nlprep.vectors"}
GROUND = "nlprep.core"
_COLOURS = {"shared": "#cfe3f4", "text": "#fbe3c8", "other": "#e6e6e6"}


def room_of(module: str) -> str:
    """The room that a module is in: the part of nlprep, or the package."""
    top, _, rest = module.partition(".")
    return f"nlprep.{rest.partition('.')[0]}" if top == "nlprep" and rest else top


def count_imports(root: Path) -> tuple[dict[str, int], Counter[tuple[str, str]]]:
    """Count modules and imports.

    Returns:
        The number of modules of each room, and how many modules of one room import another.
    """
    import grimp

    sys.path.insert(0, str(root))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    modules = [module for module in graph.modules if module != "nlprep"]
    imports: Counter[tuple[str, str]] = Counter()
    for module in modules:
        rooms = {room_of(imported) for imported in graph.find_modules_directly_imported_by(module)}
        imports.update((room_of(module), room) for room in rooms - {room_of(module), "nlprep"})
    return dict(Counter(room_of(module) for module in modules)), imports


def place_rooms(rooms: dict[str, int], imports: Counter[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Where each room stands: above all that it imports, the text rooms above those that are shared.

    Returns:
        The middle of each room, across and up; a floor is 1 high.
    """
    floors = dict.fromkeys(rooms, 1)
    lowest = 1 + max((floors[room] for room in rooms if room in SHARED), default=0) if SHARED & rooms.keys() else 1
    for _ in rooms:
        for room in rooms:
            below = [floors[imported] for importer, imported in imports if importer == room and imported != GROUND]
            floors[room] = max([1 if room in SHARED else lowest, *(floor + 1 for floor in below)])
        lowest = 1 + max((floors[room] for room in SHARED & rooms.keys()), default=0)
    top = max(floor for room, floor in floors.items() if room.startswith("nlprep."))
    floors |= {"vision": top, "multimodal": top + 1, "cli": top + 2}
    places = {}
    for floor in range(1, top + 3):
        here = sorted((room for room, level in floors.items() if level == floor), key=_column)
        for number, room in enumerate(here):
            places[room] = ((number + 0.5) / len(here) * 12, float(floor))
    return places


def _column(room: str) -> int:
    """Which rooms stand left and which right, so that lines cross little."""
    across = ["demonstration", "vocabulary", "translation", "embeddings", "corpus", "vectors", "evaluation", "figures"]
    across += ["objectives", "language_models", "vision"]
    name = room.removeprefix("nlprep.")
    return across.index(name) if name in across else len(across)


def find_bend(begin: NDArray[np.float64], end: NDArray[np.float64], boxes: list[NDArray[np.float64]]) -> float:
    """How much a line is bent (matplotlib's ``arc3``) to pass by rooms that it has nothing to do with: the least."""
    import numpy as np

    along = np.linspace(0, 1, 200)[:, None]
    across = np.array([end[1] - begin[1], begin[0] - end[0]])
    crossed = {}
    for size in np.arange(0.06, 0.9, 0.04).round(2):
        for bend in (size, -size):
            middle = (begin + end) / 2 + bend * across
            line = (1 - along) ** 2 * begin + 2 * along * (1 - along) * middle + along**2 * end
            inside = [((box[0] - 6 < line) & (line < box[1] + 6)).all(axis=1).any() for box in boxes]
            crossed[float(bend)] = sum(inside)
    return min(crossed, key=lambda bend: (crossed[bend], abs(bend)))


def draw(root: Path, output: Path) -> None:
    """Draw the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    rooms, imports = count_imports(root)
    places = place_rooms({room: count for room, count in rooms.items() if room != GROUND}, imports)
    top = max(y for _, y in places.values())
    figure, axes = plt.subplots(figsize=(10, 0.95 * top + 1))
    width, height = 2.2, 0.5
    axes.set_xlim(0, 12)
    axes.set_ylim(-0.1, top + 0.4)
    boxes = {
        room: axes.transData.transform([(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)])
        for room, (x, y) in places.items()
    }
    for (importer, imported), count in sorted(imports.items()):
        if GROUND in (importer, imported) or importer == "cli":
            continue
        (x, y), (end_x, end_y) = places[importer], places[imported]
        begin, end = (x, y - height / 2), (end_x, end_y + height / 2)
        others = [box for room, box in boxes.items() if room not in (importer, imported)]
        from_here, to_there = axes.transData.transform([begin, end])
        bend = find_bend(from_here, to_there, others)
        axes.annotate(
            "",
            end,
            begin,
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#7a7a7a",
                "linewidth": 0.5 + 0.12 * min(count, 20),
                "connectionstyle": f"arc3,rad={bend}",
            },
        )
    for room, (x, y) in places.items():
        kind = "shared" if room in SHARED else "text" if room.startswith("nlprep.") else "other"
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0.02,rounding_size=0.08",
                facecolor=_COLOURS[kind],
                edgecolor="#444444",
                linewidth=0.8,
                zorder=3,
            )
        )
        label = room.removeprefix("nlprep.").replace("_", " ")
        axes.text(x, y, f"{label}  ({rooms[room]})", ha="center", va="center", fontsize=9, zorder=4)
    axes.add_patch(
        FancyBboxPatch((0.1, 0), 11.8, 0.4, boxstyle="square,pad=0", facecolor="#e3eedd", edgecolor="#444444")
    )
    axes.text(6, 0.2, f"core  ({rooms[GROUND]})", ha="center", va="center", fontsize=9)
    axes.axis("off")
    figure.savefig(output, dpi=130, bbox_inches="tight", metadata={"Software": None})


def main() -> None:
    """Draw the picture of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout (default: this one)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "imports.png", help="the picture")
    options = parser.parse_args()
    draw(options.root.resolve(), options.output)


if __name__ == "__main__":
    main()
