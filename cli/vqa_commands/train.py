"""``rep-vqa train``: a model that answers questions about images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli.console import Console, said_as_command
from cli.options import Given, Options, Switch, Threads
from cli.training_runs import describe_done, shown_summary
from cli.vqa_commands.inputs import OnError, read
from multimodal.answerers.configuration import AnswererConfig
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError
from nlprep.core.training.configuration import TrainingConfig
from vision.images.configuration import PreprocessingConfig

if TYPE_CHECKING:
    from multimodal.questions.collection import Questions

EPILOG = """\
examples:
  rep-vqa train vqa-data --output run
  rep-vqa train train.jsonl --images photos/ --fusion compact-bilinear
  rep-vqa train questions.json --annotations annotations.json \\
      --images val2014.zip --height 64
  rep-vqa train train.jsonl --images photos/ --encoder photos-simclr
  torchrun --nproc-per-node 2 -m cli.vqa train vqa-data --output run

DATA is a file of JSON lines (question, answer or answers, image), a CSV file, VQA v2's or
easy-VQA's questions, a folder with train.jsonl and its images, or a directory that datasets
saved. Images lie beside it or are named. Without a split to validate on, a tenth of the images
is held out, with all of their questions. --encoder takes features from a model of rep-vision,
or from one that the transformers library wrote; images are encoded once. Beside the model, one
that sees questions alone is trained, which evaluate compares it with. Stopped, the same command
goes on where it was.
"""

_TRAINING_FIRST = (
    *("steps", "epochs", "batch_size", "micro_batch_size", "learning_rate", "average", "precision", "seed", "workers"),
    *("evaluate_every", "patience"),
)
_BY_DATA = ("steps", "batch_size", "learning_rate", "final_learning_rate", "weight_decay", "beta2")
_MODEL_FIRST = ("fusion_kind", "head", "dropout", "sees", "answers_size", "answers_minimum")
_LABELS = {
    "fusion": "fusion",
    "examples": "images",
    "questions": "questions",
    "words": "words",
    "answers": "answers",
    "parameters": "parameters",
    "steps": "steps",
    "ended_early": "ended early",
    "resumed_from": "resumed from step",
    "questions_per_second": "questions per second",
    "seconds": "seconds",
    "train_loss": "training loss",
    "best_step": "best step",
    "validation_accuracy": "validation accuracy",
    "blind_accuracy": "of questions alone",
    "unseen_answers": "share of unseen answers",
}


def train(
    data: Path,
    /,
    *,
    images: Path | None = None,
    annotations: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    on_error: OnError = "refuse",
    split: str | None = None,
    cache: Path | None = None,
    preprocessing: Annotated[PreprocessingConfig, Options(title="images")],
    encoder: Path | None = None,
    features: Path | None = None,
    word_vectors: Path | None = None,
    model: Annotated[
        AnswererConfig,
        Options(title="model", first=_MODEL_FIRST, rest="model in detail", names={"fusion_kind": "fusion"}),
    ],
    validation: float | None = None,
    question_only: bool = True,
    resume: Literal["auto", "never", "must"] = "auto",
    training: Annotated[
        Given[TrainingConfig],
        Options(
            title="training",
            first=_TRAINING_FIRST,
            rest="training in detail",
            shown=dict.fromkeys(_BY_DATA, "by the number of images"),
        ),
    ],
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Learn to answer questions about images.

    Args:
        data: Questions with answers.
        images: Their images, if they do not lie beside them.
        annotations: VQA v2's file of answers.
        output: Directory for everything; a name made of DATA's and the fusion's, if none is given.
        overwrite: Replace what nlprep wrote there: a run of other settings or questions, or one that is finished,
            begins anew; the same one, stopped, goes on; never anything else.
        on_error: What to do with questions whose images are missing or damaged.
        split: Which of the data's splits; train, where there are some.
        cache: Where decoded images are kept; your cache directory, if none is named.
        preprocessing: What pictures become.
        encoder: A model of images that makes their features, in place of a network trained from nothing.
        features: Where its features are kept; in the run's directory, if nothing is named.
        word_vectors: Vectors that words begin with: a directory of rep-translate train, or a file.
        model: How the model is set.
        validation: Share of the images that is held out to choose the weights; without it the data's own split, or a
            tenth.
        question_only: Train a model that sees questions alone beside it.
        resume: With auto, go on where the run was stopped, or start; never refuses a run that was begun, must one that
            was not.
        training: How it is trained.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from multimodal.answerers.files import ANSWERER
    from multimodal.answerers.training import RUN, default_training, train_answerer
    from nlprep.core.threads import torch_threads
    from nlprep.core.training.processes import accelerator_on
    from nlprep.core.training.records.runs import check_training_run

    place = output or Path(f"{data.resolve().name.partition('.')[0] or 'questions'}-{model.fusion.kind}")
    inputs = console.inputs(data, images, annotations, encoder, word_vectors)
    check_training_run(place, RUN, result=ANSWERER, inputs=inputs, overwrite=overwrite)
    if encoder is not None and not encoder.is_dir():
        raise FileError(encoder, "is no directory of a model (--encoder): name one that is there")
    vectors = None
    if word_vectors is not None:
        from nlprep.embeddings.vector_files import read_vectors

        vectors = read_vectors(word_vectors)
    questions = read(data, images, annotations, split, preprocessing, on_error, cache, console)
    held: Questions | float = 0.1 if validation is None else validation
    if validation is None and images is None:
        held = _own_validation(data, questions, split, on_error, cache, console)
    settings = training.resolve(to_mapping(default_training(len(questions.image_places))))
    with torch_threads(threads), said_as_command():
        run = train_answerer(
            questions, place, config=model, encoder=encoder, features=features, word_vectors=vectors,
            training=settings, validation=held, question_only=question_only, resume=resume, overwrite=overwrite,
            accelerator=accelerator_on(device, settings, place), progress=console.progress,
        )  # fmt: skip
    summary = {"output": str(run.directory), **run.summary}
    if (done := describe_done(summary)) is not None:
        console.note(done)
    if console.json_output:
        console.result(summary)
        return 0
    shown = shown_summary(summary)
    blind = summary.get("question_only") or {}
    if "mistakes" in blind:
        shown["blind_accuracy"] = 1 - blind["mistakes"]
    speed = shown.get("questions_per_second")
    shown["questions_per_second"] = None if speed is None else round(speed)
    console.table(
        ("training", str(run.directory)),
        [(label, shown[name]) for name, label in _LABELS.items() if shown.get(name) is not None],
    )
    console.note(f"ask it: rep-vqa ask PICTURE QUESTION --model {run.directory}")
    return 0


def _own_validation(
    data: Path, questions: "Questions", split: str | None, on_error: OnError, cache: Path | None, console: Console
) -> "Questions | float":
    """The data's own split to validate on, read as those to train on were; a share where there is none."""
    from vision.images.sources.arrangement import NoSplitError

    made = questions.images.preprocessing
    if not data.is_dir() or split is not None or made is None:
        return 0.1
    wanted = PreprocessingConfig(height=made.height, width=made.width, channels=made.channels, fit=made.fit)
    try:
        held = read(data, None, None, "validation", wanted, on_error, cache, console)
    except NoSplitError:
        return 0.1
    return held
