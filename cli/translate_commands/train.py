"""``rep-translate train``: word vectors from text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.options import (
    add_common_options,
    add_configuration,
    add_output,
    complete,
    inputs_of,
    positive_integer,
    resolve_configuration,
)
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, OptionError, os_errors_named
from nlprep.core.files import STANDARD_INPUT, atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, check_run, claim_run, remove_directory, remove_run
from nlprep.embeddings.skipgram import SkipGramConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser
    from nlprep.corpus import EncodedCorpus, Tokenizer
    from nlprep.embeddings.vector_files import WriteFormat

EPILOG = """\
examples:
  rep-translate train english.txt.xz --output vectors.en
  rep-translate train part1.txt part2.txt.gz --output vectors.en --dimension 100 --epochs 10
  zcat *.gz | rep-translate train - --output vectors.vec --min-count 10
  rep-translate train english.txt --output vectors.en --config settings.toml --device cuda

The name of the output gives its format: .vec or .txt is word2vec text, .bin word2vec
binary, anything else a directory that opens memory-mapped. While training runs,
OUTPUT.state holds the numbered text and, after Ctrl-C and every few minutes, the state
of training; --resume goes on from there, and a finished run removes it.
"""

_FORMATS: dict[str, WriteFormat] = {".vec": "word2vec", ".txt": "word2vec", ".bin": "word2vec-binary"}
_RUN_KIND = "skipgram-run"
_RUN_NAME = "run.json"
_CORPUS_NAME = "corpus"
_TRAINING_NAME = "training"


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    complete(
        parser.add_argument(
            "text",
            nargs="+",
            metavar="TEXT",
            help="text, one sentence or paragraph a line; plain, .gz, .xz, .zst; - is standard input",
        )
    )
    add_output(parser, "where the vectors go", metavar="PATH", required=True)
    group = parser.add_argument_group("text")
    group.add_argument(
        "--tokenizer",
        choices=("words", "whitespace"),
        default="words",
        help="words: runs of letters and digits; whitespace: what stands between blanks (default: words)",
    )
    group.add_argument("--no-lowercase", action="store_true", help="keep capital letters")
    group.add_argument(
        "--encoding-errors",
        choices=("strict", "replace", "ignore", "skip-line"),
        default="strict",
        help="what to do with bytes that are not UTF-8 (default: strict, an error)",
    )
    group.add_argument(
        "--min-count",
        type=positive_integer,
        default=5,
        metavar="N",
        help="leave out rarer words (default: 5)",
    )
    group.add_argument("--max-vocabulary", type=positive_integer, metavar="N", help="keep the N most frequent words")
    group = parser.add_argument_group("an unfinished run")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--resume", action="store_true", help="go on from OUTPUT.state if it is there")
    choice.add_argument("--fresh", action="store_true", help="delete OUTPUT.state and start over")
    add_configuration(parser, SkipGramConfig, title="skip-gram")
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train and write the vectors."""
    from nlprep.embeddings.skipgram import train_skipgram
    from nlprep.embeddings.vector_files import check_vectors_output, write_vectors

    config = resolve_configuration(SkipGramConfig, arguments)
    output = Path(arguments.output)
    kind = output_format(output)
    state = output.with_name(f"{output.name}.state")
    # Fail before the work rather than after it.
    inputs = inputs_of(arguments, "text")
    check_vectors_output(output, kind, inputs=inputs, overwrite=arguments.overwrite)
    check_run(state, _RUN_KIND, inputs=inputs)
    if config.device != "cpu":
        # Reading the text can take minutes; whether there is such a device shows at once.
        from nlprep.core.devices import find_device

        find_device(config.device)
    settings = _text_settings(arguments)
    created = _open_state(state, settings, resume=arguments.resume, fresh=arguments.fresh, console=console)
    try:
        corpus = _encode(arguments, state, console)
        result = train_skipgram(
            corpus,
            config,
            threads=arguments.threads,
            state=state / _TRAINING_NAME,
            # Until the vectors are on disk, hours of work must not hang on there being room for them.
            keep_state=True,
            progress=console.progress,
        )
        saved_settings = to_mapping(config) | settings
        if kind == "artifact":
            result.vectors.save(output, config={"training": saved_settings}, overwrite=arguments.overwrite)
        else:
            write_vectors(result.vectors, output, format=kind, overwrite=arguments.overwrite, progress=console.progress)
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
    num_tokens, num_words = corpus.num_tokens, len(corpus.vocabulary)
    remove_run(state)
    summary: dict[str, Any] = {
        "output": str(output),
        "format": kind,
        "words": num_words,
        "dimension": config.dimension,
        "corpus_tokens": num_tokens,
        "trained_tokens": result.tokens,
        "seconds": round(result.seconds, 3),
        "words_per_second": round(result.words_per_second),
        "held_out_loss": [{"tokens": report.tokens, "loss": report.loss} for report in result.losses],
        "settings": saved_settings,
    }
    if console.json_output:
        console.result(summary)
        return 0
    losses = [report.loss for report in result.losses]
    console.note(f"{num_words:,} words x {config.dimension} from {num_tokens:,} tokens: {output}")
    learned = f"; held-out loss {losses[0]:.4f} at the start, {losses[-1]:.4f} at the end" if losses else ""
    console.note(f"{result.words_per_second:,.0f} words/s for {result.seconds:,.1f} s{learned}")
    return 0


def output_format(output: Path) -> WriteFormat:
    """The format that a name asks for: ``word2vec``, ``word2vec-binary`` or ``artifact``.

    Raises:
        OptionError: A name that promises a format that is not written.
    """
    if output.name in ("", ".."):
        raise OptionError(f"output {str(output)!r}: name a file or directory to write")
    suffix = output.suffix.lower()
    if suffix in (".gz", ".xz", ".zst", ".bz2"):
        raise OptionError(f"output {str(output)!r}: compressed vectors are not written; leave out {suffix}")
    return _FORMATS.get(suffix, "artifact")


def _text_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "text": arguments.text,
        "tokenizer": arguments.tokenizer,
        "lowercase": not arguments.no_lowercase,
        "encoding_errors": arguments.encoding_errors,
        "min_count": arguments.min_count,
        "max_vocabulary": arguments.max_vocabulary,
    }


def _open_state(state: Path, settings: dict[str, Any], *, resume: bool, fresh: bool, console: Console) -> bool:
    """Make the state directory, or see that it belongs to this very command.

    Returns:
        Whether it was made.

    Raises:
        OptionError: It holds an unfinished run, and neither ``resume`` nor ``fresh`` says what to do with it.
        FileError: It belongs to other text or settings, or is no state of ours.
    """
    record = settings | {"stamps": {name: _stamp(name) for name in settings["text"]}}
    if (state / _RUN_NAME).exists():
        if fresh:
            remove_directory(state)
        elif resume:
            _check_same_run(state, record)
            return False
        else:
            raise OptionError(
                f"{state} holds an unfinished run: give --resume to go on with it or --fresh to start over"
            )
    if resume:
        console.note(f"no unfinished run at {state}: starting from the beginning")
    try:
        claim_run(state, _RUN_KIND, (_RUN_NAME, _CORPUS_NAME, _TRAINING_NAME))
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


def _encode(arguments: argparse.Namespace, state: Path, console: Console) -> EncodedCorpus:
    from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences

    directory = state / _CORPUS_NAME
    if directory.exists():
        return EncodedCorpus.load(directory)
    sentences = read_sentences(
        arguments.text,
        tokenizer=tokenizer_of(arguments.tokenizer, lowercase=not arguments.no_lowercase),
        encoding_errors=arguments.encoding_errors,
        progress=console.progress,
    )
    corpus = encode_corpus(
        sentences,
        directory,
        min_count=arguments.min_count,
        max_vocabulary=arguments.max_vocabulary,
        progress=console.progress,
    )
    console.note(
        f"{corpus.num_raw_tokens:,} words read, {corpus.num_tokens:,} kept, {len(corpus.vocabulary):,} different ones"
    )
    return corpus


def tokenizer_of(name: str, *, lowercase: bool) -> Tokenizer:
    """The tokenizer of a name, ``words`` or ``whitespace``, with or without lower-casing."""
    from functools import partial

    from nlprep.corpus import tokenize

    if name == "whitespace":
        return (lambda text: text.lower().split()) if lowercase else str.split
    return partial(tokenize, lowercase=lowercase)
