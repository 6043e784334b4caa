"""What stands in the cells of tables, on pages and in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.evaluation.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_number(cell: object) -> bool:
    """Whether a cell is a number, or an `Interval`, of Python or of NumPy; a truth value is none."""
    return isinstance(cell, Interval) or (hasattr(cell, "__float__") and not isinstance(cell, bool | str))


def is_numeric(cells: Sequence[object]) -> bool:
    """Whether cells are a column of numbers, some of which may be missing."""
    return any(is_number(cell) for cell in cells) and all(cell is None or is_number(cell) for cell in cells)


def format_cell(cell: object) -> str:
    """What a cell says: None is a dash, an `Interval` has its ends, whole numbers have separators."""
    if cell is None:
        return "–"
    if isinstance(cell, Interval):
        return f"{significant(cell.value)} ({significant(cell.low)} – {significant(cell.high)})"
    if isinstance(cell, bool) or not is_number(cell):
        return str(cell)
    # NumPy's numbers too, without importing it to ask.
    return f"{int(cell):,}" if hasattr(cell, "__index__") else significant(float(cell))  # type: ignore[arg-type]


def significant(value: float) -> str:
    """Four digits that count, and no exponent where there is room: 0.8430, 12,345."""
    if abs(value) >= 999.95:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:#.4g}"
