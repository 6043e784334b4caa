"""``rep-pretrain probe``: what encoders know, by how few labels a linear classifier on them needs."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Given, Options, Switch, Threads
from cli.pretrain_commands.inputs import LabelColumn, PairColumn, TextColumn
from nlprep.core.configuration import to_mapping
from nlprep.evaluation.configuration import ProbeConfig, possible_shares
from nlprep.language_models.encoders.configuration import EncoderConfig

EPILOG = """\
examples:
  rep-pretrain probe bert --train train.tsv --test test.tsv
  rep-pretrain probe bert gpt --train train.jsonl --test test.jsonl \\
      --labels 50,500,5000 --plot probe.png
  rep-pretrain probe bert --train pairs.csv --test test.csv --layer -2

The files are CSV, TSV or JSON lines with columns text and label (and text_pair). The first
model is compared with itself before training (random weights), and all with counted words
(tf-idf), where the classifier is linear.
"""


def probe(
    *models: Annotated[Path, Parameter(required=True)],
    train: Path,
    test: Path,
    plot: Path | None = None,
    overwrite: Switch = False,
    baselines: bool = True,
    choices: Annotated[
        Given[ProbeConfig], Options(title="probe", shown={"labels": "1%,10%,100%, of few examples the larger"})
    ],
    encoder: Annotated[EncoderConfig, Options(title="encoder")],
    batch_size: AtLeastOne = 32,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure encoders by how few labels they need.

    Args:
        models: Encoders, or any language models: runs of rep-pretrain, or transformers directories.
        train: Texts with labels to learn from.
        test: Texts with labels to measure on.
        plot: Draw accuracy by number of labels: .png, .svg, .pdf.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        baselines: Compare with the first model's random weights and with counted words.
        choices: How many labels, and how often.
        encoder: How vectors are made.
        batch_size: Texts at once.
        text_column: The texts'.
        label_column: The labels'.
        pair_column: The second texts'; text_pair, if it is there.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.encoders import probing
    from nlprep.language_models.text.labelled_texts import read_labelled_texts

    if plot is not None:
        from nlprep.core.ownership import check_replaceable
        from nlprep.figures.files import FIGURE, figure_format

        # Before the work rather than after it.
        figure_format(plot)
        check_replaceable(plot, FIGURE, inputs=console.inputs(models, train, test), overwrite=overwrite)
    learn, measure = (
        read_labelled_texts(path, text=text_column, label=label_column, text_pair=pair_column) for path in (train, test)
    )
    config = choices.resolve()
    if "--labels" not in choices.flags:
        shares = possible_shares(len(learn), len(learn.label_names()))
        if shares != config.labels:
            console.note(f"labels: {shares} of {len(learn):,}; less is not one of each class")
        config = replace(config, labels=shares)
    # Neighbours are looked for among dense features, which counted words are not.
    counted = baselines and config.classifier == "linear"
    if baselines and not counted:
        console.note("counted words (tf-idf) are left out: neighbours are looked for among dense features alone")
    with torch_threads(threads):
        result = probing.probe(
            {str(path): path for path in models},
            learn,
            measure,
            config,
            encoder_config=encoder,
            from_scratch=baselines,
            bag_of_words=counted,
            batch_size=batch_size,
            device=device,
            progress=console.progress,
        )
    if plot is not None:
        from nlprep.figures.curves import draw_probe_curves

        draw_probe_curves(result.curves, plot, majority=result.majority, overwrite=overwrite)
    if console.json_output:
        console.result(result.to_dict() | {"settings": to_mapping(config), "plot": None if plot is None else str(plot)})
        return 0
    rows = [
        (
            curve.name,
            point.num_labels,
            f"{point.accuracy:.1%}",
            f"{point.interval.low:.1%} to {point.interval.high:.1%}",
            f"{point.spread:.1%}",
            len(point.accuracies),
        )
        for curve in result.curves
        for point in curve.points
    ]
    console.table(("features", "labels", "accuracy", "95% interval", "spread", "choices of labels"), rows)
    console.note(f"the most frequent label alone: {result.majority:.1%}; {result.num_test:,} test examples")
    if plot is not None:
        console.note(f"figure: {plot}")
    return 0
