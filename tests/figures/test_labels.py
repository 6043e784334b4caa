"""Names that stand apart, near what they name."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlprep.figures import labels
from nlprep.figures.planes import Group, draw_plane


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
@pytest.mark.slow
def test_ends_are_moved_apart_and_keep_their_order(heights):
    placed = labels._spread(heights, 10)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    for low, high in pairwise(order):
        assert placed[high] - placed[low] >= 10 - 1e-6
    assert sum(placed) == pytest.approx(sum(heights), abs=1e-6)
    if all(heights[high] - heights[low] >= 10 for low, high in pairwise(order)):
        assert placed == pytest.approx(heights)


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    write = labels._write_label
    monkeypatch.setattr(labels, "_write_label", lambda *a: (found.append(a[3]), write(*a))[1])
    return found


@pytest.mark.slow
def test_names_stay_apart_and_inside(tmp_path, boxes):
    generator = np.random.default_rng(0)
    points = generator.normal(size=(20, 2))
    groups = [
        Group("one", points, tuple(f"source{i}" for i in range(20))),
        Group("other", points + 0.1 * generator.normal(size=(20, 2)), tuple(f"target{i}" for i in range(20))),
    ]
    draw_plane(groups, tmp_path / "f.png", links=[(i, 20 + i) for i in range(20)])
    assert len(boxes) == 40
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in boxes)
    covered = sum(labels._overlap(box, np.array(boxes[:i] + boxes[i + 1 :])) for i, box in enumerate(boxes))
    assert covered / area < 0.05
    width, height = 9.0 * 200, 6.6 * 200
    assert all(min(box) >= 0 and box[2] <= width and box[3] <= height for box in boxes)


@pytest.mark.slow
def test_a_name_does_not_cover_a_point_without_one(tmp_path, boxes):
    # The best place of a lone name is to the right of its point, where another point is now.
    named = Group("", np.array([[0.0, 0.0]]), ("name",))
    frame = Group("", np.array([[-1.0, -1.0], [1.0, 1.0]]))
    draw_plane([named, frame], tmp_path / "a.png")
    draw_plane([named, frame, Group("", np.array([[0.05, 0.0], [0.02, 0.0]]))], tmp_path / "b.png")
    alone, beside = boxes
    assert alone[0] > beside[0]


@pytest.mark.slow
def test_names_leave_points_to_be_seen_in_a_crowd(tmp_path, boxes, monkeypatch):
    dots = []
    write = labels._write_label
    monkeypatch.setattr(labels, "_write_label", lambda *a: (dots.append((a[2], a[6])), write(*a))[1])
    points = np.random.default_rng(3).normal(size=(100, 2))
    draw_plane([Group("", points, tuple(f"name {i}" for i in range(100)))], tmp_path / "f.png")
    middles = np.array([pixel for pixel, _ in dots])
    half = 1.6 * dots[0][1]
    hidden = sum(((box[:2] < middles + half) & (middles - half < box[2:])).all(axis=1).sum() for box in boxes)
    assert hidden <= 5


def test_a_line_to_a_name_stays_left_of_all_names():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(6, 3))
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.subplots()
    ends = [(1.0, 0.5 + number / 1000, "a name that is long " * 2, "black") for number in range(5)]
    axes.plot([0, 1], [0, 1])
    labels.label_ends(figure, axes, ends)
    figure.canvas.draw()
    first = min(Text.get_window_extent(text, renderer).x0 for text in axes.texts)
    assert len(axes.texts) == len(ends)
    for text in axes.texts:
        line = text.arrow_patch.get_window_extent(renderer)
        assert line.x1 <= first + 1
