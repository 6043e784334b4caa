"""``rep-vision train``: a model of images from a folder of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOneIfAny, Given, Options, Switch, Threads
from cli.vision_commands.inputs import OnError
from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig
from vision.backbones.configuration import BackboneConfig
from vision.images.configuration import PreprocessingConfig

if TYPE_CHECKING:
    from vision.training import ImageTraining

DEFAULT_MODEL = "autoencoder"
Resume = Literal["auto", "never", "must"]
BACKBONE = Options(
    title="network",
    names={"kind": "backbone", "width": "backbone-width", "path": "init"},
    first=("kind", "width", "depth", "path"),
    rest="network in detail",
    shown={"path": "none"},
)
IMAGES = Options(title="images")
TRAINING = Options(
    title="training",
    first=("steps", "epochs", "batch_size", "learning_rate", "precision", "seed", "evaluate_every", "patience"),
    rest="training in detail",
    shown={
        "steps": "by the number of images",
        "epochs": "20, between 2,000 and 20,000 steps",
        "batch_size": "128; 64 of few",
        "learning_rate": "0.001",
        "weight_decay": "0.01",
        "clip_norm": "none",
        "average": "0.999",
    },
)
EPILOG = """\
examples:
  rep-vision train photos/                                   # into photos-run
  rep-vision train vae photos/ --output vae --dimension 64
  rep-vision train vae digits.npz --set beta=4 --set likelihood.kind=gaussian
  rep-vision train photos.zip --height 64 --steps 5000 --on-error skip
  rep-vision train photos/ --init local-vit --output pretrained

MODEL is one of those that rep-vision train lists when another is named; autoencoder if none
is. DATA is a folder of pictures or of folders that are classes, a zip of one, an .npz, IDX or
CIFAR file. --set gives one of the model's own settings; those of a part have a dot.
The run holds checkpoints, metrics.jsonl, pictures and, at the end, model. However it was
stopped, the same command goes on where it was.
"""


def train(
    *words: Annotated[str, Parameter(required=True, name="MODEL DATA")],
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    overwrite: Switch = False,
    resume: Resume = "auto",
    dimension: AtLeastOneIfAny = None,
    set: Annotated[list[str] | None, Parameter(negative="")] = None,  # noqa: A002 - the option's name
    split: str | None = None,
    on_error: OnError = "refuse",
    validation: float = 0.1,
    images: Annotated[PreprocessingConfig, IMAGES],
    backbone: Annotated[Given[BackboneConfig], BACKBONE],
    training: Annotated[Given[TrainingConfig], TRAINING],
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Learn to represent images, without labels.

    Args:
        words: Which model, if not the plain autoencoder, and the images.
        output: Directory of the run; without, the name of the images with -run, in the current directory.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        resume: With auto, go on where the run was stopped, or start; never refuses a run that was begun, must one
            that was not.
        dimension: Numbers in a code; the model's default if none.
        set: A setting of the model, as NAME=VALUE; may be repeated.
        split: Which split of the images; train where there are some.
        on_error: Whether pictures that cannot be read are refused or skipped.
        validation: Share of the images that is held out, to choose weights and draw lines by.
        images: What the images are to be.
        backbone: The network that makes features.
        training: How it is trained.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from vision.models.methods import find_method

    if len(words) > 2:
        raise OptionError(f"{' '.join(words)}: give a model and images, or images alone")
    model, data = (DEFAULT_MODEL, Path(words[0])) if len(words) == 1 else (words[0], Path(words[1]))
    config = model_settings(model, dimension, set or [], backbone)
    place = output or run_directory(data)

    from nlprep.core.threads import torch_threads
    from nlprep.core.training.processes import make_accelerator
    from nlprep.core.training.records.runs import check_training_run
    from vision.images.reading import read_images
    from vision.models.files import IMAGE_MODEL
    from vision.training import RUN, default_training, train_images

    check_training_run(place, RUN, result=IMAGE_MODEL, inputs=console.inputs(data), overwrite=overwrite)
    read = read_images(
        data, split=split, preprocessing=images, on_error=on_error, threads=threads, progress=console.progress
    )
    channels, height, width = read.shape
    labelled = f", {len(read.classes)} classes" if read.classes else ""
    console.note(f"{len(read):,} images, {channels} x {height} x {width}{labelled}: {data}")
    defaults = vars(default_training(model, max(1, len(read))))
    if "--epochs" in training.flags and "--steps" not in training.flags:
        defaults = defaults | {"steps": None}
    chosen = training.resolve(defaults)
    if find_method(model).labelled:
        read.required_labels(f"the model {model}")
    from cli.pretrain_commands.pretraining import said_as_command

    with torch_threads(threads), said_as_command():
        accelerator = None if device is None else make_accelerator(chosen, place, cpu=_is_processor(device))
        run = train_images(
            read, place, model=model, config=config, training=chosen, validation=validation, resume=resume,
            overwrite=overwrite, accelerator=accelerator, progress=console.progress,
        )  # fmt: skip
    report_run(run, console)
    return 0


def run_directory(data: Path) -> Path:
    """The directory of a run where none is named: beside nothing of the data, in the current directory."""
    name = data.resolve().name
    for ending in (".gz", ".npz", ".zip", ".bin"):
        name = name.removesuffix(ending)
    return Path(f"{name}-run")


def model_settings(model: str, dimension: int | None, given: list[str], backbone: Given[BackboneConfig]) -> Any:
    """The settings of a model, from what was said on the command line.

    Raises:
        OptionError: No such model or setting, or a value that it does not take.
    """
    from dataclasses import fields, is_dataclass, replace

    from nlprep.core.configuration import from_mapping
    from vision.models.methods import find_method

    kind: Any = find_method(model).config
    values: dict[str, Any] = {}
    if dimension is not None:
        values["dimension"] = dimension
    for one in given:
        name, equals, text = one.partition("=")
        *path, last = name.strip().replace("-", "_").split(".")
        if not equals or not last:
            raise OptionError(f"--set {one}: give NAME=VALUE, such as dimension=64")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise OptionError(f"--set {one}: {part} is a value, and has no parts")
        inner[last] = _value(text.strip())
    config = from_mapping(kind, values, where=f"--set of {model}")
    if not backbone.flags:
        return config
    if "backbone" not in {field.name for field in fields(kind)} or not is_dataclass(config):
        raise OptionError(f"{backbone.flags[0]}: the model {model} has no network to choose")
    wanted = {} if "--init" not in backbone.flags or "--backbone" in backbone.flags else {"kind": "transformers"}
    return replace(config, backbone=backbone.resolve({**vars(config.backbone), **wanted}))  # type: ignore[type-var]


def _value(text: str) -> Any:
    """What a word of the command line stands for, as TOML would have it; else the word."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == "none" else text


def _is_processor(device: str) -> bool:
    from nlprep.core.devices import find_device

    return find_device(device).type == "cpu"


def report_run(run: "ImageTraining", console: Console) -> None:
    """Say what a run came to."""
    summary = dict(run.summary)
    if console.json_output:
        console.result({"output": str(run.directory), "model_directory": str(run.directory / "model"), **summary})
        return
    shown = {**summary, **summary.pop("validation", {})}
    labels = {
        "model": "model", "dimension": "numbers in a code", "parameters": "parameters", "steps": "steps",
        "resumed_from": "resumed from step", "images_per_second": "images per second", "seconds": "seconds",
        "train_loss": "training loss", "loss": "validation loss", "best_step": "best step",
    }  # fmt: skip
    rows = [(label, shown[name]) for name, label in labels.items() if shown.get(name) is not None]
    console.table(("training", str(run.directory)), rows)
    console.note(f"next: rep-vision report {run.directory}")
