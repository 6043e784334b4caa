"""``rep-vqa evaluate``: how good answers are, beside what they would be without the images."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import Console
from cli.options import AtLeastOne, Switch, Threads
from cli.training_runs import latest_run
from cli.vqa_commands.inputs import OnError, question_only_of, read

if TYPE_CHECKING:
    from multimodal.answerers.evaluation import Evaluation
    from multimodal.questions.collection import Questions
    from multimodal.questions.scores import AnswerScore

EPILOG = """\
examples:
  rep-vqa evaluate vqa-data --model run
  rep-vqa evaluate test.jsonl --images photos/ --mistakes 20 --plot mistakes.png

Of a folder with splits, the one to test on is measured. Beside the score stand controls: always
the same answer, questions alone, images alone, and each question with another's image. Answers
that training did not know count as wrong.
"""


def evaluate(
    data: Path,
    /,
    *,
    model: Path | None = None,
    images: Path | None = None,
    annotations: Path | None = None,
    split: str | None = None,
    mistakes: AtLeastOne = 5,
    plot: Path | None = None,
    overwrite: Switch = False,
    on_error: OnError = "refuse",
    batch_size: AtLeastOne = 64,
    seed: AtLeastOne = 1,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure a model beside its controls.

    Args:
        data: Questions with answers, as for train.
        model: A run of rep-vqa train, or its model; the latest run in this directory if none is named.
        images: Their images, if they do not lie beside them.
        annotations: VQA v2's file of answers.
        split: Which of the data's splits; test, where there is one.
        mistakes: How many of the surest mistakes are told.
        plot: Draw their pictures: .png, .svg, .pdf.
        overwrite: No more than without it: a figure of ours is replaced, one that was changed or is not ours never.
        on_error: What to do with questions whose images are missing or damaged.
        batch_size: Images at once.
        seed: Of the images' shuffling.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from multimodal.answerers.answerer import Answerer
    from multimodal.answerers.evaluation import evaluate_answerer
    from multimodal.answerers.training import RUN
    from nlprep.core.threads import torch_threads
    from vision.images.configuration import PreprocessingConfig
    from vision.images.sources.arrangement import NoSplitError

    place = model or latest_run(RUN, console, program="rep-vqa", advice="name one with --model")
    if plot is not None:
        from cli.vision_commands.drawing import check_figure

        check_figure(plot, console.inputs(place, data, images, annotations), overwrite=overwrite)
    answerer = Answerer.from_directory(place, device=device)
    beside = question_only_of(place)
    blind = None if beside is None else Answerer.from_directory(beside, device=device)
    made = answerer.preprocessing
    wanted = PreprocessingConfig(height=made.height, width=made.width, channels=made.channels, fit=made.fit)

    def questions_of(part: str | None) -> "Questions":
        return read(data, images, annotations, part, wanted, on_error, None, console)

    try:
        questions = questions_of(split or ("test" if data.is_dir() else None))
    except NoSplitError:
        if split is not None:
            raise
        questions = questions_of(None)
    with torch_threads(threads):
        found = evaluate_answerer(
            answerer, questions, question_only=blind, batch_size=batch_size, mistakes=mistakes, seed=seed,
            progress=console.progress,
        )  # fmt: skip
    if plot is not None and found.mistakes:
        _draw(found, questions, plot, overwrite=overwrite)
    if console.json_output:
        console.result({"model": str(place), "plot": None if plot is None else str(plot), **found.to_dict()})
        return 0
    _tell(found, console)
    if plot is not None:
        console.note(f"figure: {plot}" if found.mistakes else "there are no mistakes to draw")
    return 0


def _tell(found: "Evaluation", console: Console) -> None:
    def row(name: str, score: "AnswerScore", made: str = "") -> tuple[object, ...]:
        exact = score.exact
        return (
            name, score.questions, f"{exact.value:.1%}", f"{exact.low:.1%} to {exact.high:.1%}",
            f"{score.soft.value:.1%}", made,
        )  # fmt: skip

    report = found.report
    rows = [row("the model", report.whole), *(row(one.name, one.score, one.made) for one in found.controls)]
    rows += [row(f"question: {one.name}", one) for one in report.question_types]
    rows += [row(f"answer: {one.name}", one) for one in report.answer_types]
    console.table(("answers", "questions", "right", "95% interval", "soft accuracy", "how"), rows)
    console.note(found.verdict)
    if report.unseen:
        console.note(f"{report.unseen:.1%} have an answer that training did not know: at best {report.ceiling:.1%}")
    if report.reliability is not None:
        console.note(
            f"calibration error {report.reliability.error:.1%}; confidence is "
            f"{100 * report.reliability.overconfidence:+.1f} points above accuracy"
        )
    for mistake in found.mistakes:
        people = ", ".join(dict.fromkeys(mistake.answers))
        console.note(
            f"image {mistake.image_name}: {mistake.text}  {mistake.given} ({mistake.confidence:.0%}), not {people}"
        )


def _draw(found: "Evaluation", questions: "Questions", path: Path, *, overwrite: bool) -> None:
    from nlprep.figures.images import draw_images

    captions = [
        # The answers first: of a long question, the end is cut.
        f"{one.given}, not {', '.join(dict.fromkeys(one.answers))}: {one.text}"
        for one in found.mistakes
    ]
    pixels = questions.images.pixels[[one.image for one in found.mistakes]]
    draw_images(pixels, path, captions=captions, title="the surest mistakes", overwrite=overwrite)
