"""What docs/training.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from nlprep.core.training import PlainCoupledStep, read_metrics

PAGE = Path(__file__).resolve().parents[3] / "docs" / "training.md"


@pytest.mark.slow
def test_the_programs_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    programs = [block for block in blocks if re.search(r"^from nlprep", block, re.MULTILINE)]
    assert len(programs) == 5
    # One after the other, as a reader would; the encoder is the reader's own.
    names = {"encoder": torch.nn.Linear(3, 4)}
    for program in programs:
        # Shorter than for a reader, who sees it learn.
        exec(compile(program.replace("epochs=20", "epochs=2"), str(PAGE), "exec"), names)
    steps, loss = capsys.readouterr().out.splitlines()[0].split()
    assert int(steps) == 40
    assert 0 < float(loss) < 1
    assert isinstance(names["step"], PlainCoupledStep)
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 40
    assert (tmp_path / "curve" / "model" / "model.safetensors").is_file()
