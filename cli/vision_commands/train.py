"""``rep-vision train``: a model of images, learned without labels."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli.console import Console, said_as_command
from cli.help import Chapters
from cli.options import Given, Options, Switch, Threads
from cli.training_runs import describe_done, shown_summary
from cli.vision_commands.inputs import OnError, check_init, skipping_named
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from vision.backbones.configuration import BackboneConfig
from vision.images.configuration import PreprocessingConfig
from vision.models.configuration import METHODS, ImageModelConfig
from vision.models.summaries import SUMMARIES

if TYPE_CHECKING:
    from vision.images.collection import Images

EPILOG = """\
examples:
  rep-vision train photos/
  rep-vision train vae mnist.npz --output mnist --steps 3000
  rep-vision train denoising photos.zip --height 96 --on-error skip
  rep-vision train autoencoder photos/ --init pretrained-vit --dimension 128
  rep-vision train classifier few/ --init photos-simclr
  rep-vision train photos.zip --stream --height 64 --workers 4
  torchrun --nproc-per-node 2 -m cli.vision train photos/ --output run

DATA is a folder of pictures or of folders that are classes, a zip of one, an .npz, IDX or
CIFAR binary file, or a directory that datasets saved; without MODEL a vae is trained. What is
left open follows from the number and the size of the images, and is said in a line. Pictures
are decoded once and kept in a cache, or with --stream whenever their turn comes, by --workers
processes; labels count for the conditional models and the classifier alone. --init begins with
the network of another run, or with a model that the transformers library wrote. Stopped, the
same command goes on where it was.
"""

_TRAINING_FIRST = (
    *("steps", "epochs", "batch_size", "micro_batch_size", "learning_rate", "average", "precision", "seed", "workers"),
    *("evaluate_every", "patience"),
)
_BY_DATA = ("steps", "batch_size", "learning_rate", "weight_decay", "average")
_BY_IMAGES = ("kind", "width", "blocks", "norm", "patch", "overlap")
_BY_NETWORK = ("final_learning_rate", "beta2", "clip_norm")
_NETWORK = {
    name: f"backbone_{name}" for name in ("width", "depth", "blocks", "norm", "activation", "stem", "patch", "overlap")
}
_MOST_WORKERS = 8
"""That decode what is streamed, if nobody says how many."""
_LABELS = {
    "model": "model",
    "examples": "images",
    "parameters": "parameters",
    "dimension": "numbers in a code",
    "steps": "steps",
    "ended_early": "ended early",
    "resumed_from": "resumed from step",
    "images_per_second": "images per second",
    "seconds": "seconds",
    "train_loss": "training loss",
    "loss": "validation loss",
    "best_step": "best step",
}


def _headings(model: str) -> tuple[str, ...]:
    """Under which a model's own settings stand, and those of its network, if it has one to choose."""
    config = ImageModelConfig(model=model).chosen()
    part = next(field.name for field in fields(ImageModelConfig) if type(field.default) is type(config))
    network = ("network",) if hasattr(config, "backbone") else ()
    return (f"model: {part.replace('_', ' ')}", *network, "training in detail")


CHAPTERS = Chapters(
    title="models",
    word="MODEL",
    summaries=SUMMARIES,
    usage=("WORD [options] DATA", "[options] [MODEL] DATA"),
    headings=_headings,
    apart=("model", "network in detail", "training in detail"),
)


def train(
    *data: Annotated[str, Parameter(required=True)],
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    on_error: OnError = "refuse",
    split: str | None = None,
    cache: Path | None = None,
    stream: Switch = False,
    images: Annotated[PreprocessingConfig, Options(title="images")],
    dimension: int | None = None,
    models: Annotated[Given[ImageModelConfig], Options(title="model", omit=("model", "backbone", "dimension"))],
    backbone: Annotated[
        Given[BackboneConfig],
        Options(
            title="network",
            first=("kind", "path", "width"),
            rest="network in detail",
            names={
                "kind": "backbone",
                "path": "init",
                "heads": "backbone_heads",
                "pretrained": "pretrained",
                **_NETWORK,
            },
            shown=dict.fromkeys(_BY_IMAGES, "by the model and the images"),
            told={"path": "begin with the network of another run, or with a vision model that transformers wrote"},
        ),
    ],
    validation: float | None = None,
    resume: Literal["auto", "never", "must"] = "auto",
    training: Annotated[
        Given[TrainingConfig],
        Options(
            title="training",
            first=_TRAINING_FIRST,
            rest="training in detail",
            shown=dict.fromkeys(_BY_DATA, "by the number of images")
            | dict.fromkeys(_BY_NETWORK, "by the network")
            | {"workers": "0; of --stream by the processors"},
        ),
    ],
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Learn a model of images, without labels.

    Args:
        data: What to train, if it is not to be a vae, and the images: [MODEL] DATA.
        output: Directory for everything; a name made of DATA's and the model's, if none is given.
        overwrite: Replace what nlprep wrote there: a run of other settings or images, or one that is finished, begins
            anew; the same one, stopped, goes on; never anything else.
        on_error: What to do with a picture that cannot be read.
        split: Which of the data's splits; train, where there are some.
        cache: Where decoded images are kept; your cache directory, if none is named.
        stream: Decode pictures whenever their turn comes, and keep none: slower, and needs no room on the disk.
        images: What pictures become.
        dimension: Numbers in a code; the model's own default, if not given.
        models: How each model is set.
        backbone: The network that makes features.
        validation: Share of the images that is held out to choose the weights, 0 for none; a tenth, or more of few.
        resume: With auto, go on where the run was stopped, or start; never refuses a run that was begun, must one that
            was not.
        training: How it is trained.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from dataclasses import replace

    from nlprep.core.devices import find_device
    from nlprep.core.threads import resolve_threads, torch_threads
    from nlprep.core.training.processes import accelerator_on
    from nlprep.core.training.records.runs import check_training_run
    from vision.images.amounts import LEAST_TRAINED, require_images
    from vision.models.files import IMAGE_MODEL
    from vision.presets import default_backbone, default_training, default_validation, describe_choice
    from vision.requirements import check_training
    from vision.training import RUN, held_out_places, train_images

    model, source = _model_and_data(data)
    place = output or Path(f"{source.resolve().name.partition('.')[0] or 'images'}-{model}")
    check_training_run(place, RUN, result=IMAGE_MODEL, inputs=console.inputs(source), overwrite=overwrite)
    given, start = _network(backbone)
    chosen: Any = models.resolve(model=model).chosen()
    if dimension is not None:
        if not hasattr(chosen, "dimension"):
            raise OptionError(f"--dimension: the codes of {model} have the size of its network's: leave it out")
        chosen = replace(chosen, dimension=dimension)
    if given is not None and not hasattr(chosen, "backbone"):
        raise OptionError(f"{backbone.flags[0]}: model {model} has no network of that kind to choose: leave it out")
    if start is not None:
        images = _as_seen_by(start, images)
    # What can be seen of pictures before they are decoded, which may take long.
    place_of_training = find_device(device)
    _check_listed(model, source, split, images)
    if stream:
        read = _stream(source, split, images, on_error, cache)
    else:
        read = _read(source, split, images, on_error, cache, threads, console)
    network = given or default_backbone(model, read.shape)
    own = None if start is not None else network
    if len(read) < LEAST_TRAINED:
        require_images(len(read), None, source=read.source)
    share = default_validation(len(read)) if validation is None else validation
    try:
        count = len(held_out_places(len(read), share, seed=1)[0])
    except OptionError as error:
        raise OptionError(f"--{error}") from None
    defaults = to_mapping(default_training(model, count, network))
    if stream:
        defaults["workers"] = max(1, min(_MOST_WORKERS, resolve_threads(threads) - 1))
    settings = training.resolve(defaults)
    planned = replace(chosen, backbone=network) if hasattr(chosen, "backbone") else chosen
    check_training(read, model, planned, settings, held_out=len(read) - count, device=place_of_training)
    console.note(describe_choice(model, network, settings, count=count, shape=read.shape))
    if start is not None:
        console.note(f"it begins with what the network of {start} learned")
    with torch_threads(threads), said_as_command():
        run = train_images(
            read, place, model=model, config=chosen, backbone=own, start=start, training=settings, validation=share,
            resume=resume, overwrite=overwrite, accelerator=accelerator_on(device, settings, place),
            progress=console.progress,
        )  # fmt: skip
    summary = {"output": str(run.directory), **run.summary}
    if (done := describe_done(summary)) is not None:
        console.note(done)
    if console.json_output:
        console.result(summary)
        return 0
    shown = shown_summary(summary) | summary["validation"]
    labels = _LABELS | ({"seconds": "seconds since then"} if shown.get("resumed_from") is not None else {})
    speed = shown.get("images_per_second")
    shown["images_per_second"] = None if speed is None else round(speed)
    console.table(
        ("training", str(run.directory)),
        [(label, shown[name]) for name, label in labels.items() if shown.get(name) is not None],
    )
    console.note(f"see what it learned: rep-vision report {run.directory}")
    return 0


def _read(
    source: Path,
    split: str | None,
    images: PreprocessingConfig,
    on_error: OnError,
    cache: Path | None,
    threads: int | None,
    console: Console,
) -> "Images":
    from vision.images.reading import read_images

    with skipping_named():
        return read_images(
            source, split=split, preprocessing=images, on_error=on_error, cache=cache, threads=threads,
            progress=console.progress,
        )  # fmt: skip


def _stream(
    source: Path, split: str | None, images: PreprocessingConfig, on_error: OnError, cache: Path | None
) -> "Images":
    from vision.images.streaming import stream_images

    if on_error == "skip":
        raise OptionError(
            "--on-error skip: with --stream nobody looks at pictures before their turn: leave out one of the two"
        )
    if cache is not None:
        raise OptionError("--cache: with --stream nothing is kept: leave out one of the two")
    return stream_images(source, images, split=split)


def _model_and_data(words: tuple[str, ...]) -> tuple[str, Path]:
    """A model's name and where the images are."""
    if len(words) == 1:
        if words[0] in METHODS and not Path(words[0]).exists():
            raise OptionError(f"{words[0]} is a model: name the images as well, as in train {words[0]} photos/")
        return "vae", Path(words[0])
    if len(words) > 2:
        raise OptionError(f"{len(words)} words: give a model, if you want another than vae, and one place of images")
    if words[0] not in METHODS:
        both = f" ({words[1]} is taken for the images: of these, one place is named)" if Path(words[0]).exists() else ""
        raise OptionError(f"model {words[0]!r}{both}: choose from {', '.join(METHODS)}")
    return words[0], Path(words[1])


def _as_seen_by(model: Path, asked: PreprocessingConfig) -> PreprocessingConfig:
    """What a model sees, whose network another begins with.

    Raises:
        OptionError: Another shape was asked for.
    """
    from vision.models.files import load_model

    seen = load_model(model).preprocessing
    width = asked.height if asked.width is None else asked.width
    wanted = {"height": asked.height, "width": width, "channels": asked.channels}
    for name, value in wanted.items():
        if value not in (None, getattr(seen, name)):
            colours = "grey" if seen.channels == 1 else "colour"
            flag = "height" if name == "width" and asked.width is None else name
            raise OptionError(
                f"--{flag} {value}: the network of --init {model} was trained on {colours} images of {seen.height} x "
                f"{seen.width}, and sees no others: leave out --{flag}"
            )
    fit = seen.fit if asked.fit == PreprocessingConfig().fit else asked.fit
    return PreprocessingConfig(channels=seen.channels, height=seen.height, width=seen.width, fit=fit)


def _check_listed(model: str, source: Path, split: str | None, images: PreprocessingConfig) -> None:
    """Fail where a list of the pictures shows already that a model cannot be trained on them."""
    from vision.images.reading import list_images
    from vision.models.methods import find_method
    from vision.requirements import check_labels

    method = find_method(model)
    if method.coloured and images.channels == 1:
        raise OptionError(f"--channels 1: {model} learns from colours: leave it out")
    if method.labelled:
        listed = list_images(source, split)
        check_labels(model, listed.labels, listed.classes, source=str(source))


def _network(backbone: Given[BackboneConfig]) -> tuple[BackboneConfig | None, Path | None]:
    """The network that was asked for, and the model of ours that it is of, if it is.

    No network: nothing was said of it, and the model's own default counts.
    """
    if not backbone.flags:
        return None, None
    if "--init" not in backbone.flags:
        return backbone.resolve(), None
    from vision.models.files import is_transformers_model, load_backbone

    network = backbone.resolve({"kind": "transformers"})
    path = Path(network.path or "")
    check_init(path)
    if is_transformers_model(path):
        return network, None
    others = [flag for flag in backbone.flags if flag != "--init"]
    if others:
        raise OptionError(f"{others[0]}: the network is that of --init {path}: leave it out")
    return load_backbone(path)[1], path
