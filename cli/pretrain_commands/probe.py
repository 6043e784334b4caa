"""``rep-pretrain probe``: what encoders know, by how few labels a linear classifier on them needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import (
    add_common_options,
    add_configuration,
    add_overwrite,
    complete,
    inputs_of,
    positive_integer,
    resolve_configuration,
)
from cli.pretrain_commands.inputs import add_device, add_model
from nlprep.core.configuration import to_mapping
from nlprep.core.ownership import check_replaceable
from nlprep.evaluation.linear_probe import ProbeConfig
from nlprep.figures.files import FIGURE, figure_format
from nlprep.language_models.encoders.text_encoder import EncoderConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser
    from nlprep.language_models.text.labelled_texts import LabelledTexts

EPILOG = """\
examples:
  rep-pretrain probe bert --train train.tsv --test test.tsv
  rep-pretrain probe bert gpt --train train.jsonl --test test.jsonl --labels 50,500,5000 --plot probe.png
  rep-pretrain probe bert --train pairs.csv --test test.csv --layer -2

The files are CSV, TSV or JSON lines with columns text and label (and text_pair). The model
is compared with itself before training (random weights) and with counted words (tf-idf).
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_model(parser, "encoders, or any language models", several=True)
    for flag, what in (("--train", "learn from"), ("--test", "measure on")):
        complete(parser.add_argument(flag, required=True, metavar="FILE", help=f"texts with labels to {what}"))
    complete(parser.add_argument("--plot", metavar="FILE", help="draw accuracy by number of labels: .png, .svg, .pdf"))
    add_overwrite(parser)
    parser.add_argument("--no-baselines", action="store_true", help="leave out random weights and counted words")
    add_configuration(parser, ProbeConfig, title="probe")
    add_configuration(parser, EncoderConfig, title="encoder")
    parser.add_argument(
        "--batch-size", type=positive_integer, default=32, metavar="N", help="texts at once (default: 32)"
    )
    add_columns(parser)
    add_device(parser)
    add_common_options(parser)


def add_columns(parser: Parser) -> None:
    """Add the names of the columns of files of texts with labels; `labelled_of` reads such files."""
    group = parser.add_argument_group("columns of the files")
    group.add_argument("--text-column", default="text", metavar="NAME", help="the texts' (default: text)")
    group.add_argument("--label-column", default="label", metavar="NAME", help="the labels' (default: label)")
    group.add_argument("--pair-column", metavar="NAME", help="the second texts' (default: text_pair, if there)")


def labelled_of(arguments: argparse.Namespace, path: str) -> LabelledTexts:
    """Read texts with labels, by the columns that `add_columns` asked for.

    Raises:
        FileError: Unreadable, or a column is not there.
    """
    from nlprep.language_models.text.labelled_texts import read_labelled_texts

    return read_labelled_texts(
        path, text=arguments.text_column, label=arguments.label_column, text_pair=arguments.pair_column
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Probe."""
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.encoders.probing import probe

    config = resolve_configuration(ProbeConfig, arguments)
    encoder_config = resolve_configuration(EncoderConfig, arguments)
    if arguments.plot is not None:
        # Before the work rather than after it.
        figure_format(arguments.plot)
        inputs = inputs_of(arguments, "models", "train", "test")
        check_replaceable(arguments.plot, FIGURE, inputs=inputs, overwrite=arguments.overwrite)
    train, test = (labelled_of(arguments, path) for path in (arguments.train, arguments.test))
    with torch_threads(arguments.threads):
        result = probe(
            {path: Path(path) for path in arguments.models},
            train,
            test,
            config,
            encoder_config=encoder_config,
            from_scratch=not arguments.no_baselines,
            bag_of_words=not arguments.no_baselines,
            batch_size=arguments.batch_size,
            device=arguments.device,
            progress=console.progress,
        )
    if arguments.plot is not None:
        from nlprep.figures.curves import draw_probe_curves

        draw_probe_curves(result.curves, arguments.plot, majority=result.majority, overwrite=arguments.overwrite)
    if console.json_output:
        console.result(result.to_dict() | {"settings": to_mapping(config), "plot": arguments.plot})
        return 0
    rows = [
        (curve.name, point.num_labels, f"{point.accuracy:.1%}", f"{point.spread:.1%}", len(point.accuracies))
        for curve in result.curves
        for point in curve.points
    ]
    console.table(("features", "labels", "accuracy", "spread", "choices of labels"), rows)
    console.note(f"the most frequent label alone: {result.majority:.1%}; {result.num_test:,} test examples")
    if arguments.plot is not None:
        console.note(f"figure: {arguments.plot}")
    return 0
