"""``rep-vision compare``: models beside each other, on the same images with the same budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import Given, Options, Switch, Threads
from cli.vision_commands.inputs import OnError, check_init, skipping_named
from vision.backbones.configuration import BackboneConfig, UNetConfig
from vision.comparison.configuration import ComparisonConfig
from vision.images.configuration import PreprocessingConfig

if TYPE_CHECKING:
    from vision.images.collection import Images

EPILOG = """\
examples:
  rep-vision compare digits/ --seconds 30
  rep-vision compare train.npz --test test.npz --models vae,gan,diffusion \\
      --output digits
  rep-vision compare photos.zip --height 32 --seeds 5 --backbone residual \\
      --steps 2000
  rep-vision compare photos/ --space photos-classifier

Each model is trained from several seeds, with the same seconds of a processor unless --steps
says otherwise, and measured on images that none of them saw: a split test, those of --test, or
a fifth that is set aside. FID and KID are of the features of a classifier that is trained for
it, or of --space. Stopped, the same command goes on: finished runs are not trained again.
"""

_NETWORK = {
    name: f"backbone_{name}" for name in ("width", "depth", "blocks", "norm", "activation", "stem", "patch", "overlap")
}


def compare(
    data: Path,
    /,
    *,
    test: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    choices: Annotated[ComparisonConfig, Options(title="comparison")],
    space: Path | None = None,
    images: Annotated[PreprocessingConfig, Options(title="images")],
    on_error: OnError = "refuse",
    cache: Path | None = None,
    backbone: Annotated[
        Given[BackboneConfig],
        Options(
            title="network",
            names={"kind": "backbone", "path": "init", "heads": "backbone_heads", **_NETWORK},
        ),
    ],
    unet: Annotated[
        Given[UNetConfig],
        Options(
            title="network of a diffusion model",
            names={name: f"unet_{name}" for name in ("patch", "width", "depth", "blocks", "attention")},
        ),
    ],
    threads: Threads = None,
    console: Console,
) -> int:
    """Compare models on the same images, with the same budget.

    Args:
        data: Images to learn from, as for train.
        test: Images to measure on; a split test of data, or else a fifth of it, if none are named.
        output: Directory for everything; a name made of DATA's, if none is given.
        overwrite: Replace what nlprep wrote there, a comparison of other settings or images too; the same one goes on;
            never anything else.
        choices: What is compared and how.
        space: A model whose features FID and KID are of, ours or one of the transformers library; a classifier that is
            trained on the images, if none is named.
        images: What pictures become.
        on_error: Whether pictures that cannot be read are refused or skipped.
        cache: Where decoded images are kept; your cache directory, if none is named.
        backbone: The network of all models but the diffusion model, which has its own.
        unet: The network of a diffusion model.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from vision.comparison.comparison import check_comparison, compare_models
    from vision.comparison.feature_space import open_space
    from vision.comparison.page import draw_comparison, write_page
    from vision.comparison.tables import comparison_tables
    from vision.images.reading import read_images
    from vision.images.sources.arrangement import NoSplitError
    from vision.images.splits import split_images

    place = output or Path(f"{data.name.partition('.')[0] or 'images'}-comparison")
    inputs = console.inputs(data, test, space)
    check_comparison(place, inputs=inputs, overwrite=overwrite)
    named = None if space is None else open_space(space)
    network = backbone.resolve() if backbone.flags else None
    if network is not None and network.path is not None:
        check_init(Path(network.path))

    def read(path: Path, split: str | None = None) -> "Images":
        with skipping_named():
            return read_images(
                path, split=split, preprocessing=images, on_error=on_error, cache=cache, threads=threads,
                progress=console.progress,
            )  # fmt: skip

    learn = read(data)
    if test is not None:
        measure = read(test)
    else:
        try:
            measure = read(data, "test")
        except NoSplitError:
            learn, measure = split_images(learn, 0.2)
    with torch_threads(threads):
        found = compare_models(
            learn, measure, place, choices, backbone=network,
            unet=unet.resolve() if unet.flags else None, space=named, inputs=inputs, overwrite=overwrite,
            progress=console.progress, told=console.note,
        )  # fmt: skip
        figures = draw_comparison(found, learn, measure, overwrite=overwrite)
        page = write_page(found, figures, overwrite=overwrite)
    if console.json_output:
        console.result(found.to_dict() | {"page": str(page), "figures": [str(path) for path in figures]})
        return 0
    for table in comparison_tables(found):
        console.table(table.header, table.rows, title=table.name)
        for note in table.notes:
            console.note(note)
    console.note(f"page: {page}")
    return 0
