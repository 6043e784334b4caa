"""What every kind of training does with the run's directory that `prepare_run` holds for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAININGS = sorted(
    str(path.relative_to(ROOT))
    for room in ("nlprep", "vision", "multimodal")
    for path in (ROOT / room).rglob("*.py")
    if " prepare_run(" in path.read_text(encoding="utf-8")
    and "def prepare_run(" not in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_result_is_published_while_the_directory_is_held(name: str) -> None:
    """After the block another process may resume the run, and both would write its result."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    blocks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any("prepare_run(" in ast.unparse(item.context_expr) for item in node.items)
    ]
    inside = [call for block in blocks for call in publishing(block)]
    assert blocks
    assert len(inside) == len(blocks) == len(publishing(tree))
    # What has the model in another state in the block, such as frozen, has ended.
    assert all(call in [statement for block in blocks for statement in direct(block)] for call in inside)


def publishing(tree: ast.AST) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "publish"
    ]


def direct(block: ast.With) -> list[ast.AST]:
    """Calls in a block's own statements, not in those of blocks within."""
    return [call for statement in block.body if not isinstance(statement, ast.With) for call in publishing(statement)]
