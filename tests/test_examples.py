"""Every example runs as it stands, in an empty directory, and says what it promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = {
    "train_vectors.py": ["held-out loss", "cow: ", "italy is to italian as japan is to "],
    "translate_words.py": ["dictionary: ", "elephant -> ", "cheval -> "],
    "compare_methods.py": ["least squares", "whitened, refined", "words.png"],
    "pretrain_masked.py": ["validation loss ", "The cow [MASK]", "transformers opened a ModernBertForMaskedLM"],
    "pretrain_causal.py": ["bits per byte ", "The|", "In winter|"],
    "few_labels.py": ["vectors: (2, 64)", "pretrained: ", "bag of words: ", "few_labels.png"],
    "robust_autoencoders.py": ["stuck pixels", "squared", "geman-mcclure"],
    "map_poses.py": ["light left out: turn within ", "poses.png"],
    "embed_graph.py": ["nlprep: same side 9", "gensim: same side 9"],
    "table_density.py": ["other wines: ", "something thin: -", "drawn: alcohol 1"],
    "use_with_gensim.py": ["gensim says:", "WordVectors(500 words x 40)"],
}


def test_every_example_is_here():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, tmp_path, warm_python):
    script = ROOT / "examples" / name
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 65, "an example fits on one screen"
    done = warm_python.run(script, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in EXPECTED[name]:
        assert words in done.stdout
