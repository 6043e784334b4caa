"""``rep-vision search``: images like another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOneIfAny, Switch, Threads
from cli.vision_commands.inputs import OnError, open_model, read_for
from nlprep.core.configuration import Bounds
from nlprep.core.errors import OptionError
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from vision.images.collection import Images
    from vision.models.files import SavedModel
    from vision.uses.image_search import Found, ImageIndex

_IMAGES, _PAIRS = 10, 1000
Cosine = Annotated[float, Bounds(help="", above=0, maximum=1)]
EPILOG = """\
examples:
  rep-vision search photos-vae --image one.jpg
  rep-vision search photos-vae --data others/ --index others-index \\
      --image one.jpg --plot found.png
  rep-vision search photos-vae --index others-index --image two.jpg --number 20
  rep-vision search photos-vae --duplicates --threshold 0.995

Codes of the images, less their mean, are compared by cosine: 1 is the same, 0 what two images have
on average. --index keeps them: it is written if it is not there, and read if it is, which
spares encoding the images again. --approximate is for indexes of some 200,000 images and more.
An image that is itself among those searched is left out of what is like it, and named, unless
--with-itself is given. An index of another model or of other images than those named is refused.
With --duplicates it is said how many pairs would reach the threshold by chance, were codes
independent: where that is near what is found, raise the threshold.
"""


def search(
    model: Path,
    /,
    *,
    image: Annotated[list[Path] | None, Parameter(negative="")] = None,
    data: Path | None = None,
    index: Path | None = None,
    approximate: Switch = False,
    overwrite: Switch = False,
    number: AtLeastOneIfAny = None,
    with_itself: Switch = False,
    duplicates: Switch = False,
    threshold: Cosine = 0.98,
    plot: Path | None = None,
    split: str | None = None,
    on_error: OnError = "refuse",
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Find images like another, and near-duplicates.

    Args:
        model: A run of rep-vision, or its model.
        image: A picture to look for; may be repeated.
        data: Images to search, as for train; those of the run if none are named.
        index: Directory of their codes.
        approximate: Make an index that is searched by inverted lists, faster and nearly the same; needs faiss.
        overwrite: Make the index or the figure anew.
        number: Images to find of each, 10 if no number is given; of --duplicates, pairs to list, 1,000.
        with_itself: Count an image as like itself, where it is among those searched.
        duplicates: Find pairs of images that are nearly the same.
        threshold: The cosine at and above which they are.
        plot: Draw what was found: .png, .svg, .pdf; the images are read for it.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision_commands.drawing import check_figure
    from nlprep.core.threads import torch_threads
    from vision.uses.image_search import find_others

    asked = image or []
    if bool(asked) == duplicates:
        raise OptionError("give --image, or --duplicates")
    if plot is not None:
        check_figure(plot, console.inputs(model, data, index, asked), overwrite=overwrite)
    saved = open_model(model, device)
    with torch_threads(threads):
        codes, images = _index(
            saved, data, index, split, on_error, threads, console, overwrite=overwrite, approximate=approximate,
            wanted=plot is not None,
        )  # fmt: skip
        if duplicates:
            most = number or _PAIRS
            return _report_duplicates(codes, images, threshold, most, plot, threads, console, overwrite=overwrite)
        found = find_others(
            saved, codes, asked, number or _IMAGES, images=images, source=_source(saved, data, split), threads=threads,
            with_itself=with_itself,
        )  # fmt: skip
    return _report_matches(saved, found, images, plot, console, overwrite=overwrite)


def _index(
    saved: "SavedModel",
    data: Path | None,
    place: Path | None,
    split: str | None,
    on_error: OnError,
    threads: int | None,
    console: Console,
    *,
    overwrite: bool,
    approximate: bool,
    wanted: bool,
) -> "tuple[ImageIndex, Images | None]":
    """The index, read or made, and the images, where they are needed."""
    from nlprep.core.ownership import check_replaceable
    from vision.encoders.digests import encoder_digest
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.splits import content_digest
    from vision.run_images import find_images
    from vision.uses.image_search import IMAGE_INDEX, ImageIndex

    kept = place is not None and place.exists() and not overwrite
    images = None
    if not kept or wanted or data is not None:
        source, split = find_images(saved, data, split)
        if place is not None and not kept:
            check_replaceable(place, IMAGE_INDEX, inputs=console.inputs(source), overwrite=overwrite)
        images = read_for(saved, source, split, on_error, console)
    encoder = ImageEncoder(saved)
    of = {"model": encoder_digest(encoder)} | ({} if images is None else {"images": content_digest(images)})
    if kept:
        assert place is not None  # noqa: S101 - it exists
        found = ImageIndex.from_directory(place)
        found.check_of(of, place)
        return found, images
    assert images is not None  # noqa: S101 - just read
    codes = encoder.encode(images, 128, progress=console.progress)
    names = [images.name(row) for row in range(len(images))]
    made = ImageIndex(codes, names, approximate=approximate, threads=threads, of=of)
    if place is not None:
        made.save(place, overwrite=overwrite)
        console.note(f"index of {counted(len(made), 'image')}: {place}")
    return made, images


def _source(saved: "SavedModel", data: Path | None, split: str | None) -> Path | None:
    """Where the images lie, if that is known."""
    from vision.run_images import find_images

    try:
        return find_images(saved, data, split)[0]
    except OptionError:
        return None


def _report_matches(
    saved: "SavedModel",
    found: "list[Found]",
    images: "Images | None",
    plot: Path | None,
    console: Console,
    *,
    overwrite: bool,
) -> int:
    import numpy as np

    if plot is not None and images is not None:
        from nlprep.figures.images import draw_images
        from vision.images.names import name_in_lines

        pictures, captions = [], []
        for one in found:
            pictures += [saved.preprocessing(one.path), *(images.pixels[match.place] for match in one.matches)]
            asked_for = name_in_lines("/".join(one.path.parts[-2:]))
            captions += [f"like\n{asked_for}", *(f"{it.cosine:.3f}\n{name_in_lines(it.name)}" for it in one.matches)]
        columns = len(found[0].matches) + 1
        draw_images(np.stack(pictures), plot, captions=captions, columns=columns, overwrite=overwrite)
    if console.json_output:
        told = [
            {"image": str(one.path), "itself": one.itself, "matches": [vars(match) for match in one.matches]}
            for one in found
        ]
        console.result({"found": told, "plot": None if plot is None else str(plot)})
        return 0
    rows = [(str(one.path), match.name, match.cosine) for one in found for match in one.matches]
    console.table(("image", "like it", "cosine"), rows)
    for one in found:
        if one.itself is not None:
            console.note(f"{one.path} is {one.itself} itself, which is left out (--with-itself keeps it)")
    if plot is not None:
        console.note(f"figure: {plot}")
    return 0


def _report_duplicates(
    index: "ImageIndex",
    images: "Images | None",
    threshold: float,
    most: int,
    plot: Path | None,
    threads: int | None,
    console: Console,
    *,
    overwrite: bool,
) -> int:
    pairs = index.near_duplicates(threshold, threads=threads, progress=console.progress)
    by_chance = index.pairs_by_chance(threshold)
    drawn = None
    if plot is not None and images is not None and pairs:
        from nlprep.figures.images import draw_image_rows

        shown = pairs[:40]
        pixels = images.pixels
        one, other = (pixels[[int(pair[side]) for pair in shown]] for side in (0, 1))
        draw_image_rows({"one": one, "another": other}, plot, overwrite=overwrite)
        drawn = str(plot)
    names = index.names
    if console.json_output:
        told = [{"images": [names[one], names[other]], "cosine": cosine} for one, other, cosine in pairs]
        console.result({"threshold": threshold, "pairs": told, "pairs_by_chance": by_chance, "plot": drawn})
        return 0
    rows = [(names[one], names[other], cosine) for one, other, cosine in pairs[:most]]
    console.table(("image", "nearly the same", "cosine"), rows)
    if len(pairs) > most:
        console.note(f"and {len(pairs) - most:,} more, less alike (--number lists more, --json all)")
    chance = f"about {by_chance:,.0f}" if by_chance >= 1 else "less than one"
    console.note(
        f"{counted(len(pairs), 'pair')} of {counted(len(index), 'image')} with a cosine of {threshold:g} or more; by "
        f"chance, were codes independent, {chance}"
    )
    if pairs and by_chance > len(pairs) / 10:
        console.note(
            "warning: chance alone may explain these pairs, which then are no duplicates: raise --threshold, or train "
            "the model longer"
        )
    if drawn:
        console.note(f"figure: {drawn}")
    return 0
