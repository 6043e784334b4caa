"""``rep-translate train``: word vectors from text."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import Options, Output, Switch, Threads
from nlprep.core.errors import OptionError
from nlprep.embeddings.configuration import SkipGramConfig, TextConfig

EPILOG = """\
examples:
  rep-translate train english.txt.xz --output vectors.en
  rep-translate train part1.txt part2.txt.gz --output vectors.en --epochs 10
  zcat *.gz | rep-translate train - --output vectors.vec --min-count 10
  rep-translate train english.txt --output vectors.en --config settings.toml

The name of the output gives its format: .vec or .txt is word2vec text, .bin word2vec
binary, anything else a directory that opens memory-mapped. While training runs,
OUTPUT.state holds the numbered text and, after Ctrl-C and every few minutes, the state
of training; --resume goes on from there, and a finished run removes it.
"""


def train(
    *text: Annotated[Path, Parameter(required=True)],
    output: Output,
    overwrite: Switch = False,
    text_config: Annotated[TextConfig, Options(title="text")],
    resume: Annotated[Switch, Parameter(group="an unfinished run")] = False,
    fresh: Annotated[Switch, Parameter(group="an unfinished run")] = False,
    skipgram: Annotated[SkipGramConfig, Options(title="skip-gram")],
    threads: Threads = None,
    console: Console,
) -> int:
    """Learn word vectors from text.

    Args:
        text: Files of text, one sentence or paragraph a line; plain, .gz, .xz, .zst; - is standard input.
        output: Where the vectors go.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        text_config: How text becomes words.
        resume: Go on from OUTPUT.state if it is there.
        fresh: Delete OUTPUT.state and start over.
        skipgram: How vectors are learned.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.embeddings.text_training import train_vectors

    if resume and fresh:
        raise OptionError("--resume and --fresh contradict each other: give one (see rep-translate train --help)")
    trained = train_vectors(
        text,
        output,
        skipgram,
        text_config=text_config,
        inputs=console.inputs(),
        overwrite=overwrite,
        unfinished="resume" if resume else "discard" if fresh else "refuse",
        threads=threads,
        progress=console.progress,
        say=console.note,
    )
    result = trained.result
    words, dimension = len(result.vectors), skipgram.dimension
    if console.json_output:
        console.result(
            {
                "output": str(output),
                "format": trained.format,
                "words": words,
                "dimension": dimension,
                "corpus_tokens": trained.num_tokens,
                "trained_tokens": result.tokens,
                "seconds": round(result.seconds, 3),
                "words_per_second": round(result.words_per_second),
                "held_out_loss": [{"tokens": report.tokens, "loss": report.loss} for report in result.losses],
                "settings": trained.settings,
            }
        )
        return 0
    losses = [report.loss for report in result.losses]
    console.note(f"{words:,} words x {dimension} from {trained.num_tokens:,} tokens: {output}")
    learned = f"; held-out loss {losses[0]:.4f} at the start, {losses[-1]:.4f} at the end" if losses else ""
    console.note(f"{result.words_per_second:,.0f} words/s for {result.seconds:,.1f} s{learned}")
    return 0
