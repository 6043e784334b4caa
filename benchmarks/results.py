"""The results tables of the README, made of what the benchmarks printed.

Every file of ``docs/results`` is the output of the benchmark of its name, as printed; its JSON lines become rows, and
the table of `benchmarks.translation` a table::

    python -m benchmarks.skipgram > docs/results/skipgram.txt
    python -m benchmarks.results                                    rewrites the tables in README.md
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
OUTPUTS = ROOT / "docs" / "results"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
BEGIN_TRANSLATION, END_TRANSLATION = "<!-- translation -->\n", "<!-- end of translation -->\n"
_COLUMNS = re.compile(r"\s{2,}")


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


def format_translation() -> str:
    """The table that `benchmarks.translation` printed, in Markdown."""
    lines = (OUTPUTS / "translation.txt").read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.lstrip().startswith("learned from"))
    header = _COLUMNS.split(lines[begin].strip())
    table = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for line in lines[begin + 2 :]:
        if not line.strip():
            break
        table.append(_COLUMNS.split(line.strip()))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def with_table(readme: str) -> str:
    """The README with its tables made anew."""
    tables = ((BEGIN, END, format_table(read_claims())), (BEGIN_TRANSLATION, END_TRANSLATION, format_translation()))
    for begin, end, table in tables:
        before, rest = readme.split(begin)
        readme = before + begin + table + end + rest.split(end)[1]
    return readme


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
