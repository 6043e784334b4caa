"""Instruments cost nothing until one is used."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import nlprep.evaluation
import nlprep.figures

HEAVY = ("torch", "transformers", "sklearn", "scipy", "matplotlib", "numba", "faiss", "PIL", "pandas")


def test_every_module_is_light_to_import():
    modules = [
        f"{room.__name__}.{found.name}"
        for room in (nlprep.evaluation, nlprep.figures)
        for found in pkgutil.iter_modules(room.__path__)
    ]
    assert "nlprep.evaluation.retrieval" in modules
    assert "nlprep.figures.files" in modules
    code = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
