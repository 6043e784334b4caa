"""A picture of two languages in one plane."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.files import figure_format, write_figure
from nlprep.vectors.normalization import scaled_to_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nlprep.translation.index.bilingual import TranslationIndex
    from nlprep.translation.lexicon import Lexicon

# Okabe and Ito's blue and vermilion: apart for every kind of colour vision, and in grey.
SOURCE_COLOUR = "#0072B2"
TARGET_COLOUR = "#D55E00"
_INK = "#333333"
_LINE = "#9a9a9a"
_WIDTH, _HEIGHT, _DPI = 9.0, 6.6, 200
_LABEL_SIZE = 8.5
_FREQUENT = 5_000
_SHORTEST = 3
_FUNCTION_WORDS = 200
_THEME = 5
_SAME_THEME = 0.4


def principal_plane(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of rows in the plane that keeps most of their spread (principal components).

    Args:
        vectors: (n, d), n and d at least 2.

    Returns:
        Coordinates (n, 2), centred, and the shares of the variance (2,) that the two axes keep. The sign
        of an axis is chosen so that its largest coordinate is positive.

    Raises:
        NlprepError: Fewer than two rows or two columns.
    """
    if vectors.ndim != 2 or min(vectors.shape) < 2:
        raise NlprepError(f"vectors of shape {vectors.shape} span no plane: give at least two words")
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * values[:2]
    extreme = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    plane *= np.where(extreme < 0, -1.0, 1.0)
    total = float((values**2).sum())
    return plane, values[:2] ** 2 / total if total > 0 else np.zeros(2)


def draw_word_pairs(
    pairs: Sequence[tuple[str, str]],
    source_vectors: NDArray[np.floating[Any]],
    target_vectors: NDArray[np.floating[Any]],
    path: str | os.PathLike[str],
    *,
    languages: tuple[str, str] = ("source", "target"),
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw pairs of words in the plane of their shared space, each pair joined by a line.

    The plane is that of the first two principal components of the words drawn, both languages together, each
    vector at unit length. A word in several pairs is drawn once.

    Args:
        pairs: (source word, target word), n of them.
        source_vectors: (n, d), the source words' vectors in the shared space.
        target_vectors: (n, d), the target words'.
        path: The figure; its ending (``.png``, ``.svg``, ``.pdf``) gives the format. Replaced only when
            whole.
        languages: Names for the legend.
        title: A line above the figure.
        overwrite: As for `nlprep.figures.files.write_figure`.

    Raises:
        OptionError: No known ending.
        NlprepError: No pairs, or shapes that do not agree.
        FileError: The place cannot be written.
    """
    figure_format(path)
    if not pairs:
        raise NlprepError("there is no pair of words to draw: name words that the model knows")
    if source_vectors.shape != target_vectors.shape or len(source_vectors) != len(pairs):
        raise NlprepError(
            f"{len(pairs)} pairs with vectors of shapes {source_vectors.shape} and {target_vectors.shape}: "
            "give one row of each for every pair"
        )
    sources = list(dict.fromkeys(source for source, _ in pairs))
    targets = list(dict.fromkeys(target for _, target in pairs))
    source_rows = {source: row for row, (source, _) in reversed(list(enumerate(pairs)))}
    target_rows = {target: row for row, (_, target) in reversed(list(enumerate(pairs)))}
    stacked = np.concatenate(
        [
            source_vectors[[source_rows[word] for word in sources]],
            target_vectors[[target_rows[word] for word in targets]],
        ]
    )
    plane, shares = principal_plane(scaled_to_unit(stacked))
    links = [(sources.index(source), len(sources) + targets.index(target)) for source, target in pairs]
    figure = _draw(plane, shares, (sources, targets), links, languages, title)
    write_figure(figure, path, overwrite=overwrite)


def _draw(
    plane: NDArray[np.float64],
    shares: NDArray[np.float64],
    words: tuple[list[str], list[str]],
    links: list[tuple[int, int]],
    languages: tuple[str, str],
    title: str | None,
) -> Any:
    # The Figure class itself draws without a display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    split = len(words[0])
    axes.add_collection(LineCollection([plane[list(link)] for link in links], colors=_LINE, linewidths=0.8, zorder=1))
    for points, colour, marker, language in (
        (plane[:split], SOURCE_COLOUR, "o", languages[0]),
        (plane[split:], TARGET_COLOUR, "s", languages[1]),
    ):
        x, y = points.T
        axes.scatter(x, y, s=20, c=colour, marker=marker, linewidths=0, zorder=3, label=language)
    axes.margins(0.06)
    axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)", color=_INK, fontsize=9)
    axes.set_ylabel(f"second principal component ({shares[1]:.0%})", color=_INK, fontsize=9)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=_INK, pad=22)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=2,
        frameon=False,
        fontsize=9,
        handletextpad=0.2,
        borderpad=0,
    )
    canvas.draw()  # type: ignore[no-untyped-call]
    # From here on the layout must not move: labels are placed in pixels.
    figure.set_layout_engine("none")
    _place_labels(axes, canvas, plane, words, links)
    return figure


def _place_labels(
    axes: Any,
    canvas: Any,
    plane: NDArray[np.float64],
    words: tuple[list[str], list[str]],
    links: list[tuple[int, int]],
) -> None:
    """Write each word beside its point, where it covers least of what is there already.

    Greedy, most crowded points first: of some ninety places round the point, near ones preferred, the one
    with the least overlap with labels placed, points, lines and the border of the axes.
    """
    renderer = canvas.get_renderer()
    pixels = axes.transData.transform(plane)
    border = axes.get_window_extent(renderer)
    scale = canvas.figure.dpi / 72
    names = [*words[0], *words[1]]
    colours = [SOURCE_COLOUR] * len(words[0]) + [TARGET_COLOUR] * len(words[1])
    half = 3.2 * scale
    points = np.column_stack([pixels - half, pixels + half])
    lines = _line_boxes(pixels, links, 2.0 * scale)
    labels = np.empty((0, 4))
    distances = np.linalg.norm(pixels[:, None] - pixels[None], axis=2)
    crowding = np.sort(distances, axis=1)[:, :6].mean(axis=1)
    for number in np.argsort(crowding, kind="stable"):
        width, height = _text_size(axes, renderer, names[number])
        boxes, costs = [], []
        for box, reluctance in _places(pixels[number], width, height, scale):
            covered = 2 * _overlap(box, labels) + _overlap(box, points) + 0.8 * _overlap(box, lines)
            boxes.append(box)
            costs.append(covered / (width * height) + _outside(box, border) + reluctance)
        best = boxes[int(np.argmin(costs))]
        labels = np.vstack([labels, best])
        _write_label(axes, plane[number], pixels[number], best, names[number], colours[number], scale)


def _places(
    pixel: NDArray[np.float64], width: float, height: float, scale: float
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Boxes round a point, each with how little it is liked: near is better, and beside better than above."""
    for ring, distance in enumerate((5.0, 9.0, 14.0, 20.0, 28.0)):
        for turn in range(18):
            angle = 2 * math.pi * turn / 18
            x = pixel[0] + math.cos(angle) * (distance * scale + width / 2)
            y = pixel[1] + math.sin(angle) * (distance * scale + height / 2)
            box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            yield box, 0.12 * ring + 0.06 * abs(math.sin(angle))


def _line_boxes(pixels: NDArray[np.float64], links: list[tuple[int, int]], side: float) -> NDArray[np.float64]:
    """Lines as rows of small boxes, which is all that `_overlap` understands."""
    boxes = []
    for start, end in links:
        steps = max(2, int(np.linalg.norm(pixels[end] - pixels[start]) / side))
        middles = np.linspace(pixels[start], pixels[end], steps)
        boxes.append(np.column_stack([middles - side / 2, middles + side / 2]))
    return np.concatenate(boxes)


def _text_size(axes: Any, renderer: Any, text: str) -> tuple[float, float]:
    written = axes.text(0, 0, text, fontsize=_LABEL_SIZE)
    extent = written.get_window_extent(renderer)
    written.remove()
    return extent.width + 2, extent.height


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Area that a box (left, bottom, right, top) shares with others (n, 4)."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((np.clip(wide, 0, None) * np.clip(high, 0, None)).sum())


def _outside(box: NDArray[np.float64], border: Any) -> float:
    inside = border.x0 <= box[0] and border.y0 <= box[1] and box[2] <= border.x1 and box[3] <= border.y1
    return 0.0 if inside else 2.0


def _write_label(
    axes: Any,
    point: NDArray[np.float64],
    pixel: NDArray[np.float64],
    box: NDArray[np.float64],
    name: str,
    colour: str,
    scale: float,
) -> None:
    offset = ((box[:2] + box[2:]) / 2 - pixel) / scale
    gap = np.maximum(np.maximum(box[:2] - pixel, pixel - box[2:]), 0)
    # A thin line tells whose name it is once the name is not beside its point.
    leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.7, "shrinkA": 0, "shrinkB": 2}
    axes.annotate(
        name,
        xy=point,
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_LABEL_SIZE,
        color=colour,
        zorder=4,
        # Keeps lines off the letters; an outline round them would turn text into shapes in SVG and PDF.
        bbox={"boxstyle": "square,pad=0.03", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        arrowprops=leader if np.linalg.norm(gap) > 8 * scale else None,
    )


def pick_pairs(
    index: TranslationIndex,
    *,
    words: Sequence[str] | None = None,
    lexicon: Lexicon | None = None,
    num_pairs: int = 40,
) -> list[tuple[str, str]]:
    """Choose pairs of words to draw.

    Args:
        index: The translator.
        words: Source words to draw. If None, they are chosen: with a lexicon, evenly from its known pairs;
            without, themes are looked for among the 5,000 most frequent words that are each other's first
            translation (CSLS): the pair that scored best with the pairs nearest to it, then the next that is
            none of them.
        lexicon: Where translations come from; without one, from the translator itself.
        num_pairs: How many source words to choose if ``words`` is None.

    Raises:
        NlprepError: A word is unknown, or nothing is left to draw.
    """
    if words is not None and (unknown := index.unknown(words)):
        raise NlprepError(
            f"no {index.source_language} vector for {', '.join(map(repr, unknown[:5]))}: check the spelling, or "
            "leave the word out"
        )
    if lexicon is None:
        pairs = _themed_pairs(index, num_pairs) if words is None else _first_translations(index, words)
    else:
        known = [pair for pair in lexicon if pair[0] in index.source and pair[1] in index.target]
        if words is None:
            of_source: dict[str, tuple[str, str]] = {}
            for pair in known:
                of_source.setdefault(pair[0], pair)
            first = list(of_source.values())
            chosen = np.linspace(0, len(first) - 1, min(num_pairs, len(first))).round().astype(int)
            pairs = [first[number] for number in chosen]
        else:
            pairs = [pair for pair in known if pair[0] in set(words)]
    if len(pairs) < 2:
        raise NlprepError(f"{len(pairs)} pair(s) of known words to draw: give at least 2")
    return pairs


def _first_translations(index: TranslationIndex, words: Sequence[str]) -> list[tuple[str, str]]:
    return [(word, found[0].word) for word, found in zip(words, index.translate(words, 1), strict=True)]


def _themed_pairs(index: TranslationIndex, num_pairs: int) -> list[tuple[str, str]]:
    # In a large vocabulary the very first words are function words, which say little in a picture.
    first = _FUNCTION_WORDS if len(index.source) > _FREQUENT else 0
    rows = [row for row in range(first, min(_FREQUENT, len(index.source))) if len(index.source.words[row]) >= _SHORTEST]
    words = [index.source.words[row] for row in rows]
    answers = [found[0] for found in index.translate(words, 1)]
    back = index.reversed().translate([answer.word for answer in answers], 1)
    mutual = [
        (answer.score, row, answer.word)
        for word, row, answer, found in zip(words, rows, answers, back, strict=True)
        if found[0].word == word and len(answer.word) >= _SHORTEST
    ]
    mutual.sort(key=lambda item: -item[0])
    vectors = index.source.matrix[[row for _, row, _ in mutual]]
    left = np.ones(len(mutual), bool)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < num_pairs and left.any():
        cosines = np.where(left, vectors @ vectors[int(left.argmax())], -np.inf)
        theme = np.argsort(-cosines, kind="stable")[: min(_THEME, num_pairs - len(pairs), int(left.sum()))]
        pairs += [(index.source.words[mutual[number][1]], mutual[number][2]) for number in theme]
        left[theme] = False
        # The next theme is to be another one.
        near = left & (cosines > _SAME_THEME)
        if (left & ~near).any():
            left &= ~near
    return pairs


def draw_translations(
    index: TranslationIndex,
    pairs: Sequence[tuple[str, str]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> None:
    """Draw pairs of words of a translator; see `draw_word_pairs`.

    Raises:
        NlprepError: A word without a vector.
        OptionError: A name that ends in no known format.
        FileError: The place cannot be written.
    """
    sides = (index.source, index.target)
    rows = [side.indices([pair[number] for pair in pairs]) for number, side in enumerate(sides)]
    for number, side in enumerate(sides):
        if len(rows[number]) and rows[number].min() < 0:
            word = pairs[int(rows[number].argmin())][number]
            raise NlprepError(f"no {side.language} vector for {word!r}: leave the pair out")
    draw_word_pairs(
        pairs,
        index.source.matrix[rows[0]],
        index.target.matrix[rows[1]],
        path,
        languages=(index.source_language, index.target_language),
        title=title,
        overwrite=overwrite,
    )
