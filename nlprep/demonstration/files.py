"""The demonstration on disk: two texts and a dictionary cut in two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.files import atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, check_replaceable, claim_run, record_file
from nlprep.core.progress import SILENT
from nlprep.demonstration.concepts import read_concepts
from nlprep.demonstration.text import generate_sentences

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from nlprep.core.progress import Progress
    from nlprep.demonstration.text import Language

KIND = "demonstration"
NUM_SENTENCES = 35_000
NUM_SEED_CONCEPTS = 100
_SPLIT_SEED = 7


@dataclass(frozen=True)
class DemonstrationFiles:
    """What `write_demonstration` wrote.

    Attributes:
        english: English text, a sentence a line.
        french: French text, a sentence a line; not a translation of the English.
        seed_dictionary: The pairs to align with, ``english french``.
        test_dictionary: The pairs of all other concepts, to measure with.
    """

    english: Path
    french: Path
    seed_dictionary: Path
    test_dictionary: Path


def seed_pairs() -> list[tuple[str, str]]:
    """The dictionary to align with: (English, French) pairs of a fixed draw of 100 concepts."""
    return [pair for chosen, pairs in _split() for pair in pairs if chosen]


def held_out_pairs() -> list[tuple[str, str]]:
    """The pairs of every other concept; no word is in both dictionaries."""
    return [pair for chosen, pairs in _split() for pair in pairs if not chosen]


def _split() -> list[tuple[bool, tuple[tuple[str, str], ...]]]:
    concepts = read_concepts()
    drawn = np.random.default_rng(_SPLIT_SEED).permutation(len(concepts))[:NUM_SEED_CONCEPTS]
    chosen = set(drawn.tolist())
    return [(number in chosen, concept.pairs) for number, concept in enumerate(concepts)]


def write_demonstration(
    directory: str | os.PathLike[str],
    *,
    num_sentences: int = NUM_SENTENCES,
    seed: int = 1,
    more: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> DemonstrationFiles:
    """Write ``text.en.txt``, ``text.fr.txt``, ``dictionary.seed.txt`` and ``dictionary.test.txt``.

    Args:
        directory: Where; made if absent. An earlier demonstration's files are replaced if nobody has changed them.
        num_sentences: Sentences in each language, about nine words each.
        seed: Another seed makes other text over the same words.
        more: Names of what the caller is to write beside these.
        overwrite: Whether another kind of directory of ours may be replaced.
        progress: Told of each sentence.

    Raises:
        FileError: The place cannot be written, or holds something else.
        OptionError: Fewer than one sentence.
    """
    folder = Path(directory)
    files = DemonstrationFiles(
        english=folder / "text.en.txt",
        french=folder / "text.fr.txt",
        seed_dictionary=folder / "dictionary.seed.txt",
        test_dictionary=folder / "dictionary.test.txt",
    )
    written = (files.english, files.french, files.seed_dictionary, files.test_dictionary)
    claim_run(folder, KIND, (*(path.name for path in written), *more), overwrite=overwrite)
    for path in written:
        check_replaceable(path, FILE_OF_A_RUN)
    texts: tuple[tuple[Language, Path], ...] = (("en", files.english), ("fr", files.french))
    with progress.task("generating text", total=len(texts) * num_sentences) as task:
        for language, path in texts:
            lines = []
            for sentence in generate_sentences(language, num_sentences, seed=seed):
                lines.append(sentence)
                task.advance()
            _write_lines(path, lines)
    _write_lines(files.seed_dictionary, [" ".join(pair) for pair in seed_pairs()])
    _write_lines(files.test_dictionary, [" ".join(pair) for pair in held_out_pairs()])
    return files


def _write_lines(path: Path, lines: list[str]) -> None:
    with atomic_file(path, format=FILE_OF_A_RUN) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode("utf-8"))
    record_file(path)
