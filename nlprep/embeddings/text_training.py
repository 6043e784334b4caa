"""From text files to a file of word vectors, in one call that goes on where it was stopped.

Beside the output, ``OUTPUT.state`` holds the numbered text and, after Ctrl-C and every few minutes, the state of
training. It says which text and settings it is of, so that a run is never continued with others.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT, atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, check_run, claim_run, remove_directory, remove_run
from nlprep.core.progress import SILENT
from nlprep.core.temporaries import held_directory
from nlprep.embeddings.configuration import SkipGramConfig, TextConfig

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nlprep.core.files import EncodingErrors
    from nlprep.core.progress import Progress
    from nlprep.corpus import EncodedCorpus
    from nlprep.embeddings.skipgram import SkipGramResult

_RUN_KIND = "skipgram-run"
_RUN_NAME = "run.json"
_CORPUS_NAME = "corpus"
_TRAINING_NAME = "training"

UnfinishedRun = Literal["refuse", "resume", "discard"]
"""What to do with a state that an earlier run left beside the output."""


@dataclass(frozen=True)
class TrainedVectors:
    """What `train_vectors` made.

    Attributes:
        result: The vectors, with losses and speed.
        format: What was written: ``word2vec``, ``word2vec-binary`` or ``artifact``.
        num_tokens: Words of the text that have a vector, repetitions counted.
        settings: Plain values, as an artifact keeps them.
    """

    result: SkipGramResult
    format: str
    num_tokens: int
    settings: Mapping[str, Any]


def train_vectors(
    text: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    config: SkipGramConfig | None = None,
    *,
    text_config: TextConfig | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    unfinished: UnfinishedRun = "refuse",
    threads: int | None = None,
    progress: Progress = SILENT,
    say: Callable[[str], object] = lambda _: None,
) -> TrainedVectors:
    """Learn word vectors from text files and write them.

    Args:
        text: Files, plain or compressed; ``-`` is standard input.
        output: Where the vectors go; its name gives the format, see `format_of_name`.
        config: Of skip-gram.
        text_config: How text becomes words.
        inputs: More files that no output may touch, beside the text.
        overwrite: Whether vectors of another kind, or in a file that cannot say who wrote it, are replaced.
        unfinished: What to do with the state that an earlier run of the same output left.
        threads: Processor threads; all if None.
        progress: Gets bytes read and words trained.
        say: Gets remarks, a line each.

    Raises:
        OptionError: A name that no format has, a device that is not there, or an unfinished run that is refused.
        FileError: Text that cannot be read, an output that is not ours to replace, a state of another run or one that
            another process is at work in.
        KeyboardInterrupt: Says what has been kept.
    """
    from nlprep.embeddings.skipgram import train_skipgram
    from nlprep.embeddings.vector_files import check_vectors_output, format_of_name, write_vectors

    config, text_config = config or SkipGramConfig(), text_config or TextConfig()
    output = Path(output)
    kind = format_of_name(output)
    state = output.with_name(f"{output.name}.state")
    # Fail before the work rather than after it.
    read = [*text, *inputs]
    check_vectors_output(output, kind, inputs=read, overwrite=overwrite)
    check_run(state, _RUN_KIND, inputs=read)
    if config.device != "cpu":
        # Reading the text can take minutes; whether there is such a device shows at once.
        from nlprep.core.devices import find_device

        find_device(config.device)
    settings = {"text": [str(name) for name in text], **to_mapping(text_config)}
    with contextlib.ExitStack() as held:
        created = _open_state(state, settings, unfinished, held, say)
        try:
            corpus = _encode(text, text_config, state / _CORPUS_NAME, progress, say)
            result = train_skipgram(
                corpus,
                config,
                threads=threads,
                state=state / _TRAINING_NAME,
                # Until the vectors are on disk, hours of work must not hang on there being room for them.
                keep_state=True,
                progress=progress,
            )
            saved = to_mapping(config) | settings
            if kind == "artifact":
                result.vectors.save(output, config={"training": saved}, overwrite=overwrite)
            else:
                write_vectors(result.vectors, output, format=kind, overwrite=overwrite, progress=progress)
        except KeyboardInterrupt:
            if (state / _TRAINING_NAME).exists():
                raise KeyboardInterrupt(f"{state} keeps what is done; the same command with --resume goes on") from None
            if (state / _CORPUS_NAME).exists():
                raise KeyboardInterrupt(f"{state} keeps the numbered text; --resume makes use of it") from None
            remove_run(state)
            raise
        except Exception:
            # What an earlier run left, or hours of training, is not for an error to take away.
            if created and not (state / _TRAINING_NAME).exists():
                remove_run(state)
            raise
        trained = TrainedVectors(result, kind, corpus.num_tokens, saved)
        remove_run(state)
        return trained


def _open_state(
    state: Path,
    settings: dict[str, Any],
    unfinished: UnfinishedRun,
    held: contextlib.ExitStack,
    say: Callable[[str], object],
) -> bool:
    """Make the state directory, or see that it belongs to this very run, and hold it, so that no other goes on with it.

    Returns:
        Whether it was made.

    Raises:
        OptionError: It holds an unfinished run that is to be refused.
        FileError: It belongs to other text or settings, is no state of ours, or another process is at work in it.
    """
    if state.is_dir():
        held.enter_context(held_directory(state))
    record = settings | {"stamps": {name: _stamp(name) for name in settings["text"]}}
    if (state / _RUN_NAME).exists():
        if unfinished == "discard":
            remove_directory(state)
        elif unfinished == "resume":
            _check_same_run(state, record)
            return False
        else:
            raise OptionError(
                f"{state} holds an unfinished run: give --resume to go on with it or --fresh to start over"
            )
    elif unfinished == "resume":
        say(f"no unfinished run at {state}: starting from the beginning")
    try:
        claim_run(state, _RUN_KIND, (_RUN_NAME, _CORPUS_NAME, _TRAINING_NAME))
        # What was there before, and is held, has been taken away.
        held.enter_context(held_directory(state))
        with atomic_file(state / _RUN_NAME, format=FILE_OF_A_RUN) as stream:
            stream.write(json.dumps(record, indent=2, ensure_ascii=False).encode("utf-8"))
    except BaseException:
        remove_run(state)
        raise
    return True


def _check_same_run(state: Path, record: dict[str, Any]) -> None:
    mark = state / _RUN_NAME
    with os_errors_named(mark):
        raw = mark.read_bytes()
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FileError(mark, "is damaged: start over with --fresh")
    for name, value in record.items():
        if found.get(name) != value:
            what = "the text has changed" if name == "stamps" else f"{name} was {found.get(name)!r}, is {value!r}"
            raise FileError(state, f"belongs to another run ({what}): give the same, or start over with --fresh")


def _stamp(name: str) -> list[int] | None:
    """Size and time of change of a text file, by which a resumed run knows it again."""
    if name == STANDARD_INPUT:
        return None
    with os_errors_named(name):
        status = Path(name).stat()
    return [status.st_size, status.st_mtime_ns]


def _encode(
    text: Sequence[str | os.PathLike[str]],
    config: TextConfig,
    directory: Path,
    progress: Progress,
    say: Callable[[str], object],
) -> EncodedCorpus:
    from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences

    if directory.exists():
        return EncodedCorpus.load(directory)
    sentences = read_sentences(
        text,
        tokenizer=config.make_tokenizer(),
        encoding_errors=cast("EncodingErrors", config.encoding_errors),
        progress=progress,
    )
    corpus = encode_corpus(
        sentences,
        directory,
        min_count=config.min_count,
        max_vocabulary=config.max_vocabulary,
        progress=progress,
    )
    say(f"{corpus.num_raw_tokens:,} words read, {corpus.num_tokens:,} kept, {len(corpus.vocabulary):,} different ones")
    return corpus
