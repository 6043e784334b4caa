"""``rep-vision report``: one page about a run and its images."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import Options, Switch, Threads
from cli.training_runs import latest_run
from cli.vision_commands.inputs import OnError
from nlprep.core.wording import counted
from vision.configuration import RunReportConfig

EPILOG = """\
examples:
  rep-vision report                     # the latest run of this directory
  rep-vision report vae --data others/ --output others.html
  rep-vision report vae --most 5000 --map pca
  rep-vision report pretrained-vit --data photos/

The page holds all that it shows and opens from disk without a network: a map to search and to
point at, near-duplicates, the oddest images, what the model makes of images and learning
curves. Of more images than --most, a part is chosen for the map.
"""


def report(
    model: Path | None = None,
    /,
    *,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    page: Annotated[RunReportConfig, Options(title="page", names={"plane": "map"})],
    split: str | None = None,
    on_error: OnError = "skip",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Write a page with a map, neighbours, near-duplicates and the oddest images.

    Args:
        model: A run of rep-vision, its model, or a pretrained model of the transformers library, with data; the latest
            run in this directory if none is named.
        data: Images, as for train; those of the run if none are named.
        output: The page, .html; the run's name with .html, in this directory, if none is named.
        overwrite: Replace a page that was changed since; never one that is not ours.
        page: What it shows.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.core.threads import torch_threads
    from nlprep.figures.report import REPORT
    from vision.report import write_run_report
    from vision.run_images import run_name
    from vision.training import RUN

    place = model or latest_run(RUN, console, program="rep-vision", advice="name one")
    path = output or Path(f"{run_name(place)}.html")
    check_replaceable(path, REPORT, inputs=console.inputs(place, data), overwrite=overwrite)
    with torch_threads(threads):
        made = write_run_report(
            place, path, page, data=data, split=split, on_error=on_error, device=device, threads=threads,
            overwrite=overwrite, progress=console.progress,
        )  # fmt: skip
    if console.json_output:
        console.result({**vars(made), "page": str(made.page)})
    else:
        odd = "" if made.above_the_line is None else f", {made.above_the_line:,} of them odd"
        alike = counted(made.near_duplicates, "pair that is", "pairs that are")
        console.note(f"{counted(made.images, 'image')}{odd}; {alike} nearly the same")
        console.note(f"page: {made.page}")
    return 0
