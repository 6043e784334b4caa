"""Search by image, against slow loops and what was planted."""

import numpy as np
import pytest

from nlprep.core.errors import OptionError
from vision.uses.image_search import ImageIndex


def test_search_and_near_duplicates_are_those_of_slow_loops(tmp_path):
    draws = np.random.default_rng(1)
    codes = draws.normal(size=(200, 6)).astype(np.float32)
    codes[50:90] = codes[50] * draws.uniform(1, 2, (40, 1))  # more copies than are asked for at first
    index = ImageIndex(codes, [f"picture {n}\n" for n in range(200)])
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    cosines = unit @ unit.T
    wanted = {(i, j) for i in range(200) for j in range(i + 1, 200) if cosines[i, j] >= 0.95}
    assert {pair[:2] for pair in index.near_duplicates(0.95)} == wanted
    neighbors = index.neighbors(4)[1]
    assert not (neighbors == np.arange(200)[:, None]).any()
    index.save(tmp_path / "index")
    opened = ImageIndex.from_directory(tmp_path / "index")
    found = opened.search(codes[3:4], 3)[0]
    assert [match.place for match in found] == np.argsort(-cosines[3])[:3].tolist()
    assert found[0].name == "picture 3\n"
    with pytest.raises(OptionError, match="own model"):
        opened.search(codes[:, :3])
