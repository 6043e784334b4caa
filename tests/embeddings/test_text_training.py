"""From text files to a file of vectors in one call; how it is interrupted is tested with the command."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from nlprep.core.errors import FileError, OptionError
from nlprep.core.ownership import claim_run
from nlprep.embeddings.configuration import TextConfig
from nlprep.embeddings.skipgram import SkipGramConfig
from nlprep.embeddings.text_training import train_vectors
from nlprep.embeddings.vector_files import read_vectors

SMALL = SkipGramConfig(dimension=4, epochs=1)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("A-b c A-b c d\n" * 40, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TextConfig(), {"a", "b", "c", "d"}),
        (TextConfig(lowercase=False), {"A", "b", "c", "d"}),
        (TextConfig(tokenizer="whitespace"), {"a-b", "c", "d"}),
        (TextConfig(tokenizer="whitespace", lowercase=False), {"A-b", "c", "d"}),
        (TextConfig(min_count=50), {"a", "b", "c"}),
        (TextConfig(tokenizer="whitespace", max_vocabulary=2), {"a-b", "c"}),
    ],
)
def test_text_becomes_the_words_asked_for(text, tmp_path, config, words):
    made = train_vectors([text], tmp_path / "out", SMALL, text_config=config, threads=1)
    assert set(read_vectors(tmp_path / "out").words) == words == set(made.result.vectors.words)
    assert made.format == "artifact"
    assert made.settings["text"] == [str(text)]
    assert made.settings["min_count"] == config.min_count
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "out"}


def test_the_name_gives_the_format(text, tmp_path):
    matrices = []
    for name, kind in (("a.vec", "word2vec"), ("a.bin", "word2vec-binary"), ("a", "artifact")):
        assert train_vectors([text], tmp_path / name, SMALL, threads=1).format == kind
        matrices.append(read_vectors(tmp_path / name).matrix)
    np.testing.assert_array_equal(matrices[0], matrices[1])
    np.testing.assert_array_equal(matrices[0], matrices[2])
    with pytest.raises(OptionError, match=r"leave out \.gz"):
        train_vectors([text], tmp_path / "a.vec.gz", SMALL)


def test_a_state_of_an_earlier_run(text, tmp_path):
    state = tmp_path / "out.state"
    claim_run(state, "skipgram-run", ("run.json", "corpus", "training"))
    stamp = text.stat()
    settings = {"text": [str(text)], "tokenizer": "words", "lowercase": True, "encoding_errors": "strict"}
    settings |= {"min_count": 5, "max_vocabulary": None}
    run = settings | {"stamps": {str(text): [stamp.st_size, stamp.st_mtime_ns]}}
    (state / "run.json").write_text(json.dumps(run))
    with pytest.raises(OptionError, match="holds an unfinished run"):
        train_vectors([text], tmp_path / "out", SMALL)
    with pytest.raises(FileError, match="min_count was 5, is 6"):
        train_vectors([text], tmp_path / "out", SMALL, text_config=TextConfig(min_count=6), unfinished="resume")
    said = []
    train_vectors([text], tmp_path / "out", SMALL, unfinished="resume", threads=1, say=said.append)
    assert len(said) == 1
    assert "different ones" in said[0]
    assert not state.exists()
    train_vectors([text], tmp_path / "out", SMALL, unfinished="resume", threads=1, say=said.append)
    assert "no unfinished run" in said[1]


@pytest.mark.parametrize("unfinished", ["refuse", "resume", "discard"])
def test_a_state_that_another_process_is_at_work_in_is_left_to_it(text, tmp_path, unfinished):
    state = tmp_path / "out.state"
    claim_run(state, "skipgram-run", ("run.json", "corpus", "training"))
    (state / "run.json").write_text("{}")
    hold = (
        "import sys\nfrom pathlib import Path\nfrom nlprep.core.temporaries import held_directory\n"
        "with held_directory(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FileError, match="another process is at work in it"):
            train_vectors([text], tmp_path / "out", SMALL, unfinished=unfinished)
        other.stdin.close()
    assert {path.name for path in state.iterdir()} == {"nlprep.json", "run.json"}
    # While it trains it holds the state itself.
    seen = []

    def try_to_hold(_: str) -> None:
        seen.append(subprocess.run(command, input="", capture_output=True, text=True, check=False).stderr)

    train_vectors([text], tmp_path / "out", SMALL, unfinished="discard", threads=1, say=try_to_hold)
    assert "another process is at work in it" in seen[0]
