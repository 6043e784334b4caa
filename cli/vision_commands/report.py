"""``rep-vision report``: one page that shows what a model learned."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from nlprep.core.errors import OptionError

EPILOG = """\
examples:
  rep-vision report
  rep-vision report photos-vae
  rep-vision report photos-vae --data other-photos/ --output other.html

The page holds a map of the images, to search and to hover over, with the neighbours of each;
near-duplicates, the oddest images, and how training went. It opens from disk, without a
network. Without a name, the latest run in this directory is shown.
"""


def report(
    run: Path | None = None,
    /,
    *,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    limit: AtLeastOne = 2000,
    method: Literal["tsne", "pca", "umap"] = "tsne",
    seed: int = 1,
    split: str | None = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Show what a model learned on one page.

    Args:
        run: A run of rep-vision train; the latest in this directory, if none is named.
        data: Images to show; those that it was trained on, if not given.
        output: The page, an .html file; a name made of the run's, if none is given.
        overwrite: Replace a page of ours; never anything else.
        limit: Most images on the map.
        method: How the map is made.
        seed: Of the images that are shown and of the map.
        split: Which of the data's splits; train, where there are some.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision_commands.runs import latest_run, open_encoder, read_for
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.report import REPORT
    from vision.uses.report import write_image_report

    run = run or latest_run()
    place = output or Path(f"{run.name}.html")
    check_replaceable(place, REPORT, inputs=console.inputs(run, data), overwrite=overwrite)
    encoder = open_encoder(run, device)
    if data is None:
        source = encoder.saved.notes.get("source")
        if not isinstance(source, str) or not Path(source).exists():
            raise OptionError(f"{run}: its images are not where they were ({source}): name them with --data")
        data = Path(source)
    images = read_for(encoder, data, console, split=split, skip=True)
    with torch_threads(threads):
        told = write_image_report(
            encoder, images, place, title=f"{run.name}: {data.name}", limit=limit, method=method, seed=seed,
            overwrite=overwrite, progress=console.progress,
        )  # fmt: skip
    if console.json_output:
        console.result({"output": str(place), **told})
    else:
        console.note(f"{told['images']:,} images, {told['near_duplicates']:,} pairs of near-duplicates: {place}")
    return 0
