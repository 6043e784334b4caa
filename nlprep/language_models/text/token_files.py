"""Text as token ids on disk: made once, opened memory-mapped ever after."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import fill_artifact, read_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.language_models.text.documents import check_documents
from nlprep.language_models.text.tokenizers import tokenizer_digest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from nlprep.core.progress import Progress, Task

KIND = "tokens"
SPLITS = ("train", "validation", "all")
_BATCH_CHARACTERS = 1 << 20
_PIECE_CHARACTERS = 1 << 18


@dataclass(frozen=True)
class TokenFile:
    """Documents as token ids, or a part of them.

    Document d is ``ids[starts[d] : starts[d] + lengths[d]]``; nothing stands between documents.

    Attributes:
        directory: Where it lives (artifact kind ``tokens``).
        ids: (n,) uint16 or uint32, memory-mapped: those of all documents, whichever part this is.
        starts: (d,) int64, rising.
        lengths: (d,) int64.
        num_bytes: UTF-8 bytes of the text of these documents.
        vocabulary_size: Tokens that the tokenizer knows.
        tokenizer_digest: See `nlprep.language_models.text.tokenizers.tokenizer_digest`.
        provenance: Whatever the maker wanted to remember.
    """

    directory: Path
    ids: NDArray[np.uint16] | NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    num_bytes: int
    vocabulary_size: int
    tokenizer_digest: str
    provenance: Mapping[str, Any]

    @property
    def num_documents(self) -> int:
        """Documents in this part."""
        return len(self.starts)

    @property
    def num_tokens(self) -> int:
        """Tokens of these documents."""
        return int(self.lengths.sum())

    @classmethod
    def load(cls, directory: str | os.PathLike[str], split: str = "train") -> TokenFile:
        """Open what `tokenize_documents` wrote.

        Args:
            directory: The directory.
            split: ``train``, ``validation`` (empty when nothing was set aside) or ``all``.

        Raises:
            FileError: Missing, of another kind, damaged or cut short.
            OptionError: No such split.
        """
        if split not in SPLITS:
            raise OptionError(f"split = {split!r}: choose from {', '.join(SPLITS)}")
        artifact = read_artifact(directory, kind=KIND)
        config = artifact.config
        offsets = artifact.tensor("offsets", dtype="int64", shape=(None,))
        sizes = artifact.tensor("bytes", dtype="int64", shape=(len(offsets) - 1,))
        set_aside = artifact.tensor("validation", dtype="bool", shape=(len(offsets) - 1,))
        ids = artifact.tensors.get("ids")
        if ids is None or ids.dtype not in (np.uint16, np.uint32) or len(ids) != offsets[-1]:
            raise FileError(artifact.path, "ids and offsets do not agree: tokenize the text again")
        chosen = slice(None) if split == "all" else set_aside if split == "validation" else ~set_aside
        try:
            return cls(
                directory=artifact.path,
                ids=ids,
                starts=offsets[:-1][chosen],
                lengths=np.diff(offsets)[chosen],
                num_bytes=int(sizes[chosen].sum()),
                vocabulary_size=config["vocabulary_size"],
                tokenizer_digest=config["tokenizer_digest"],
                provenance=config["provenance"],
            )
        except KeyError as error:
            raise FileError(artifact.path, f"config.json lacks {error}: tokenize the text again") from None

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Fail if the ids are another tokenizer's.

        Raises:
            FileError: They are.
        """
        if tokenizer_digest(tokenizer) != self.tokenizer_digest:
            raise FileError(
                self.directory, "made with another tokenizer: give the same one, or tokenize into a new directory"
            )


def tokenize_documents(
    documents: Iterable[str],
    tokenizer: PreTrainedTokenizerFast,
    directory: str | os.PathLike[str],
    *,
    validation_fraction: float = 0.0,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> tuple[TokenFile, TokenFile | None]:
    """Tokenize documents into a directory, in one pass and on every processor.

    No special tokens are added, and those spelled out in the text are taken for text. Memory is a buffer, the
    longest document and three numbers for each document. A document of more than a quarter of a million characters
    is cut at line ends for the tokenizer, so that no token spans such a cut.

    Which documents are set aside for validation is a function of the seed and a document's number: the same
    whenever the same text is tokenized. At least one is, and at least one is not. A text of a single document is
    itself cut in two, its last part set aside.

    Args:
        documents: Texts, such as `nlprep.language_models.text.documents.read_documents` gives.
        tokenizer: What makes tokens.
        directory: An earlier token file there is replaced once the new one is whole.
        validation_fraction: Share of documents to set aside.
        seed: Of that choice.
        provenance: Plain values to keep with it.
        overwrite: Whether another kind of ours may be replaced, too.
        progress: Gets documents; bytes read are reported by the reader of the documents.

    Returns:
        The documents to train on, and those set aside or None.

    Raises:
        OptionError: A fraction outside [0, 1).
        NlprepError: No tokens, or one text by itself.
        FileError: The directory cannot be written; it is then as it was.
    """
    check_documents(documents)
    if not 0 <= validation_fraction < 1:
        raise OptionError(f"validation_fraction = {validation_fraction}: must be at least 0 and below 1")
    vocabulary_size = len(tokenizer)
    dtype = np.dtype(np.uint16 if vocabulary_size <= 1 << 16 else np.uint32)
    with atomic_directory(directory, kind=KIND, overwrite=overwrite) as assembly:
        scratch = assembly / "ids.scratch"
        lengths: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        sizes: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        single, documents = _cut_if_single(iter(documents), validation_fraction)
        with scratch.open("wb") as stream, progress.task("tokenizing") as task:
            for ids, batch_lengths, batch_sizes in _encode(documents, tokenizer, dtype, task):
                stream.write(ids.data)
                lengths.append(batch_lengths)
                sizes.append(batch_sizes)
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        if not offsets[-1]:
            raise NlprepError("the text has no tokens: check that it is not empty")
        num_documents = len(offsets) - 1
        if single:
            set_aside = np.arange(num_documents) == 1
        else:
            set_aside = _choose_validation(num_documents, validation_fraction, seed)
        fill_artifact(
            assembly,
            kind=KIND,
            config={
                "num_tokens": int(offsets[-1]),
                "num_documents": num_documents,
                "vocabulary_size": vocabulary_size,
                "tokenizer_digest": tokenizer_digest(tokenizer),
                "validation_fraction": validation_fraction,
                "provenance": dict(provenance or {}),
            },
            tensors={
                "ids": np.memmap(scratch, dtype, "r"),
                "offsets": offsets,
                "bytes": np.concatenate(sizes),
                "validation": set_aside,
            },
        )
        scratch.unlink()
    train = TokenFile.load(directory, "train")
    return train, TokenFile.load(directory, "validation") if set_aside.any() else None


def _cut_if_single(documents: Iterator[str], validation_fraction: float) -> tuple[bool, Iterator[str]]:
    """Whether there is but one document to divide; it is then cut in two."""
    first = list(itertools.islice(documents, 2))
    if validation_fraction and len(first) == 1 and len(first[0]) > 1:
        text = first[0]
        cut = min(max(1, round(len(text) * (1 - validation_fraction))), len(text) - 1)
        return True, iter([text[:cut], text[cut:]])
    return False, itertools.chain(first, documents)


def _choose_validation(num_documents: int, fraction: float, seed: int) -> NDArray[np.bool_]:
    if not fraction or num_documents < 2:
        return np.zeros(num_documents, np.bool_)
    draws = uniforms(combine(seed, np.arange(num_documents)), 1, purpose=0)[:, 0]
    chosen: NDArray[np.bool_] = draws < fraction
    if not chosen.any():
        chosen[draws.argmin()] = True
    if chosen.all():
        chosen[draws.argmax()] = False
    return chosen


def _encode(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerFast, dtype: np.dtype[Any], task: Task
) -> Iterator[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]]:
    """The ids of some documents at a time, their lengths and their sizes in bytes."""
    backend = tokenizer.backend_tokenizer
    before = backend.encode_special_tokens
    # "[SEP]" in somebody's text is five characters, not the end of a document.
    backend.encode_special_tokens = True
    try:
        for batch in _batches(documents):
            pieces: list[str] = []
            owners: list[int] = []
            for number, document in enumerate(batch):
                cut = _cut_at_line_ends(document)
                pieces += cut
                owners += [number] * len(cut)
            encoded = [encoding.ids for encoding in backend.encode_batch_fast(pieces, add_special_tokens=False)]
            counts = np.fromiter(map(len, encoded), np.int64, len(encoded))
            ids = np.fromiter(itertools.chain.from_iterable(encoded), dtype, int(counts.sum()))
            lengths = np.bincount(owners, counts, len(batch)).astype(np.int64)
            sizes = np.fromiter(
                (len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in batch), np.int64
            )
            task.advance(len(batch))
            yield ids, lengths, sizes
    finally:
        backend.encode_special_tokens = before


def _batches(documents: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _cut_at_line_ends(text: str) -> list[str]:
    if len(text) <= _PIECE_CHARACTERS:
        return [text]
    pieces = []
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        end = text.rfind("\n", start, start + _PIECE_CHARACTERS) + 1
        end = end if end > start else text.find("\n", start + _PIECE_CHARACTERS) + 1
        if not end:
            break
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]] if start < len(text) else pieces
