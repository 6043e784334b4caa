"""``rep-vqa ask``: a question about a picture, answered."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.training_runs import latest_run
from cli.vqa_commands.inputs import question_only_of
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from multimodal.answerers.answerer import Answerer

EPILOG = """\
examples:
  rep-vqa ask photo.jpg "what colour is the car ?"
  rep-vqa ask photo.jpg "is there a dog ?" --model run --plot where.png
  rep-vqa ask photo.jpg "is there a dog ?" --model run --missing image

Probabilities are as high as answers were right on held-out images. --plot draws where a model
with attention looked. With --missing one side is not looked at: without the image, the model
that was trained on questions alone answers.
"""


def ask(
    image: Path,
    question: str,
    /,
    *,
    model: Path | None = None,
    top: AtLeastOne = 5,
    plot: Path | None = None,
    overwrite: Switch = False,
    missing: Literal["image", "text"] | None = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Answer a question about a picture.

    Args:
        image: The picture.
        question: What is asked of it.
        model: A run of rep-vqa train, or its model; the latest run in this directory if none is named.
        top: How many of the most probable answers are shown.
        plot: Draw where it looked: .png, .svg, .pdf.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        missing: Which side it is to do without.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from multimodal.answerers.answerer import Answerer
    from multimodal.answerers.training import RUN
    from multimodal.questions.controls import NO_QUESTION
    from nlprep.core.threads import torch_threads

    place = model or latest_run(RUN, console, program="rep-vqa", advice="name one with --model")
    if plot is not None:
        from cli.vision_commands.drawing import check_figure

        if missing is not None:
            raise OptionError("--plot: without one side it looks nowhere: leave out --plot, or --missing")
        check_figure(plot, console.inputs(place, image), overwrite=overwrite)
    remark = None
    if missing == "image":
        beside = question_only_of(place)
        if beside is None:
            raise OptionError("--missing image: no model of questions alone was trained beside it: train without "
                              "--no-question-only")  # fmt: skip
        place, remark = beside, "answered from the question alone, by the model that was trained so"
    elif missing == "text":
        question, remark = NO_QUESTION, "answered from the image alone, by a model that was trained on both"
    answerer = Answerer.from_directory(place, device=device)
    with torch_threads(threads):
        found = answerer.answer(image, question, number=top)
        if plot is not None:
            _draw(answerer, image, question, plot, overwrite=overwrite)
    if console.json_output:
        told = {"missing": missing, "remark": remark, "plot": None if plot is None else str(plot)}
        console.result({"image": str(image), "question": question, **found.to_dict(), **told})
        return 0
    console.table(("answer", "probability"), [(answer, f"{share:.1%}") for answer, share in found.ranking])
    if remark is not None:
        console.note(remark)
    if found.unknown_words and missing is None:
        console.note(f"words that training did not know: {', '.join(found.unknown_words)}")
    if plot is not None:
        console.note(f"figure: {plot}")
    return 0


def _draw(answerer: "Answerer", image: Path, question: str, path: Path, *, overwrite: bool) -> None:
    import numpy as np

    from nlprep.figures.heat_maps import draw_heat_maps

    shares = answerer.look(image, question)
    pixels = answerer.preprocessing(image)
    captions = [f"glimpse {number + 1}" for number in range(len(shares))]
    draw_heat_maps(
        np.repeat(pixels[None], len(shares), 0), shares, path, scale_name="share of the attention",
        captions=captions, title=question, overwrite=overwrite,
    )  # fmt: skip
