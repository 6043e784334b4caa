"""The results table of the README, made of what the benchmarks printed.

Every file of ``docs/results`` is the output of the benchmark of its name, as printed; its JSON lines become rows::

    python -m benchmarks.skipgram > docs/results/skipgram.txt
    python -m benchmarks.results                                    rewrites the table in README.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
OUTPUTS = ROOT / "docs" / "results"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


def read_claims() -> list[tuple[str, dict[str, Any]]]:
    """Every claim with the name of its benchmark, in the order of the files' names and lines."""
    claims: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(OUTPUTS.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        claims += [(path.stem, json.loads(line)) for line in lines if line.startswith('{"claim"')]
    return claims


def format_table(claims: list[tuple[str, dict[str, Any]]]) -> str:
    """A Markdown table of claims."""
    lines = ["| what | against | times better | figures | script |", "|---|---|---|---|---|"]
    for benchmark, claim in claims:
        script = f"[{benchmark}](benchmarks/{benchmark}.py)"
        cells = [claim["claim"], claim["peer"], f"**{claim['ratio']:.2f}**", claim.get("summary", ""), script]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + format_table(read_claims()) + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
