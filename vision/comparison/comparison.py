"""Models of images beside each other: each trained with the same budget from several seeds, and measured alike.

The budget is **seconds of a processor** unless steps are asked for. A step of one model costs many times one of
another, and what a user has is time; so each model gets the steps that its budget pays for, found by a short trial
(`vision.comparison.training.measure_step_seconds`) and written down, so that all seeds have as many, and a comparison
that goes on has them still. All models have the same network (but for a diffusion model, which has a U-Net), codes of
one size, batches of one size, and the same images held out; else each its own settings.

A comparison is a directory. ``comparison.json`` holds what was found so far, written after every run that is trained
and every one that is measured; ``runs`` are ordinary runs of training, ``classifier`` is the feature space's. The same
call again goes on: what is trained is not trained again, and measured again only if something is to be measured
otherwise. More models and more seeds may be asked for later; another budget, other images or another network are
refused.

A run whose loss or gradient is no longer finite has *failed*: it is counted, and not tried again.
"""

from __future__ import annotations

import json
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, check_run, claim_run, making_room, read_mark, remove_run, settle_room
from nlprep.core.progress import SILENT
from nlprep.core.temporaries import held_directory
from nlprep.core.training.records.resuming import check_same_settings
from nlprep.core.wording import counted
from vision.images.amounts import ENOUGH_MEASURED, FewImagesWarning, require_images
from vision.images.splits import choose_places

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from nlprep.core.progress import Progress, Task
    from vision.backbones.configuration import BackboneConfig, UNetConfig
    from vision.comparison.configuration import ComparisonConfig
    from vision.comparison.feature_space import FeatureSpace
    from vision.comparison.measuring import Measured
    from vision.images.collection import Images

COMPARISON = "image-comparison"
"""What directories of comparisons are marked as."""
RECORD, RUNS, CLASSIFIER, PAGE = "comparison.json", "runs", "classifier", "report.html"
FIGURES = ("samples.png", "scores.png", "probes.png", "bias.png")
_BINDING = ("seconds", "steps", "batch_size", "dimension", "likelihood", "held_out", "space_steps")
"""Settings that make the runs, and so the comparison: it does not go on with others."""
_TRAINING_ONLY = ("models", "seeds", *_BINDING)
_CHOOSING = 83


@dataclass(frozen=True)
class ModelSummary:
    """The runs of one model.

    Attributes:
        name: Of the model.
        runs: What was found of those that succeeded, in the order of seeds.
        failed: Why the others did not, by seed.
    """

    name: str
    runs: tuple[dict[str, Any], ...]
    failed: Mapping[int, str]

    def values(self, *path: str) -> list[float]:
        """A figure of each run, as far as they have it; ``path`` leads to it, such as ``generation, fid, distance``."""
        found = []
        for run in self.runs:
            value: Any = run
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                found.append(float(value))
        return found

    def spread(self, *path: str) -> tuple[float, float] | None:
        """Mean and sample standard deviation over runs (0 of one); None where there is no such figure."""
        values = self.values(*path)
        return (mean(values), stdev(values) if len(values) > 1 else 0.0) if values else None


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        directory: Where it is.
        config: Its settings.
        record: All that is written in ``comparison.json``, plain values.
        names: The models, in the order asked for.
    """

    directory: Path
    config: ComparisonConfig
    record: dict[str, Any]
    names: tuple[str, ...]

    def summaries(self) -> list[ModelSummary]:
        """One for each model."""
        return [self._summary(name, [f"{name}-{seed}" for seed in self._seeds]) for name in self.names]

    def baselines(self) -> list[ModelSummary]:
        """Raw pixels, principal components and random weights, by name; and training images, as if they were drawn."""
        found: dict[str, list[dict[str, Any]]] = {}
        for known in self.record["baselines"].values():
            found.setdefault(known["name"], []).append(known["measured"])
        return [ModelSummary(name, tuple(runs), {}) for name, runs in found.items()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"directory": str(self.directory), "models": list(self.names), **self.record}

    @property
    def _seeds(self) -> range:
        return range(1, self.config.seeds + 1)

    def _summary(self, name: str, runs: list[str]) -> ModelSummary:
        known = [(int(run.rsplit("-", 1)[1]), self.record["runs"][run]) for run in runs]
        failed = {seed: one["failed"] for seed, one in known if "failed" in one}
        return ModelSummary(
            name, tuple(one["measured"] | one["training"] for _, one in known if "failed" not in one), failed
        )


def check_comparison(
    directory: str | os.PathLike[str], *, inputs: Iterable[str | os.PathLike[str]] = (), overwrite: bool = False
) -> None:
    """Fail before the work if a comparison cannot be in a directory.

    Args:
        directory: The comparison's; one of another comparison is one to go on with.
        inputs: What it reads, to which its own must do no harm.
        overwrite: Whether what is ours there may be replaced: another comparison, or another kind. The same one is gone
            on with.

    Raises:
        FileError: Says why not.
    """
    check_run(directory, COMPARISON, inputs=inputs, overwrite=overwrite)


def compare_models(
    train: Images,
    test: Images,
    directory: str | os.PathLike[str],
    config: ComparisonConfig,
    *,
    backbone: BackboneConfig | None = None,
    unet: UNetConfig | None = None,
    space: FeatureSpace | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    progress: Progress = SILENT,
    told: Callable[[str], object] = lambda _: None,
) -> Comparison:
    """Train and measure models, or go on with that.

    Args:
        train: Images to learn from.
        test: Others of the same shape and classes, to measure on.
        directory: The comparison's.
        config: What is compared, with which budget, and how it is measured.
        backbone: The network of all models that have one; default: their own.
        unet: The network of a diffusion model; default: its own.
        space: Where generated images are compared; default: a classifier's, which is trained on the training images.
        inputs: As for `check_comparison`.
        overwrite: Likewise.
        progress: Gets what is done.
        told: Called with a line about every run that is done.

    Returns:
        What was found.

    Raises:
        NlprepError: Images that cannot be compared, labels that are missing where no space is given, or what training
            or measuring raises; a run whose loss is no number is counted instead.
        OptionError: The directory is of a comparison with another budget, network or data.
        FileError: It holds something else.
    """
    place = Path(directory)
    names = config.names()
    if test.shape != train.shape:
        raise NlprepError(f"{test.source}: images of {test.shape}, and those of {train.source} are {train.shape}")
    if train.labels is None and space is None:
        raise NlprepError(
            f"{train.source}: has no labels to train a classifier on, whose features generated images are compared by: "
            "give classes, or name a model whose features to take"
        )
    _check_amounts(train, test, config)
    config = with_possible_labels(train, config, told)
    _check_labels(train, test, config)
    inputs = list(inputs)
    check_comparison(place, inputs=inputs, overwrite=overwrite)
    work = _Work(place, train, test, config, backbone, unet, progress, told)
    created = not place.exists()
    with ExitStack() as held:
        # Last of all, once the directory is let go.
        held.enter_context(_nothing_left(place, work, created=created))
        settle_room(place, work.came_to_something)
        if place.is_dir():
            held.enter_context(held_directory(place))
        if overwrite and work.is_another():
            held.enter_context(making_room(place, work.came_to_something))
        claim_run(
            place, COMPARISON, (RECORD, RUNS, CLASSIFIER, PAGE, *FIGURES), inputs=inputs, overwrite=overwrite
        )  # fmt: skip
        held.enter_context(held_directory(place))
        # Of every run it would be said again.
        held.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FewImagesWarning)
        work.open_record()
        with os_errors_named(place):
            (place / RUNS).mkdir(exist_ok=True)
        for name in names:
            for seed in range(1, config.seeds + 1):
                work.train(name, seed)
        measured = work.instruments(space)
        for name in names:
            for seed in range(1, config.seeds + 1):
                work.measure(measured, name, seed)
        work.measure_baselines(measured, names)
        return Comparison(place, config, work.record, names)


@contextmanager
def _nothing_left(place: Path, work: _Work, *, created: bool) -> Iterator[None]:
    """Take away the directory of a comparison that was begun by this call and refused before a run was trained."""
    try:
        yield
    except NlprepError:
        if created and place.is_dir() and not work.came_to_something():
            remove_run(place)
        raise


def _check_amounts(train: Images, test: Images, config: ComparisonConfig) -> None:
    """Refuse too few images, and warn of few, once for all models.

    Raises:
        NlprepError: There are too few.
    """
    from vision.comparison.training import held_out_of

    require_images(len(train), len(test), source=train.source)
    held = held_out_of(len(train), config.held_out)
    if held < ENOUGH_MEASURED <= len(test):
        require_images(len(train) - held, held, source=train.source, use="choose the weights by")


def _check_labels(train: Images, test: Images, config: ComparisonConfig) -> None:
    """Fail before hours of training, not after, if models cannot be trained or probes cannot be fitted.

    Raises:
        NlprepError: Says what is missing.
        OptionError: Numbers of labels that there are not.
    """
    from nlprep.evaluation.configuration import ProbeConfig
    from vision.models.methods import find_method

    for name in config.names():
        if find_method(name).labelled and (train.labels is None or test.labels is None):
            lacking = train if train.labels is None else test
            raise NlprepError(f"{lacking.source}: has no labels, which {name} is conditioned on: give classes")
    if train.labels is None or test.labels is None:
        return
    train.required_labels("a comparison")
    if train.classes != test.classes:
        raise NlprepError(f"{test.source}: its classes are not those of {train.source}: give images of the same")
    classes = len(np.unique(train.labels))
    asked = ProbeConfig(labels=config.labels or ProbeConfig().labels)
    fewest = asked.amounts(min(config.most_labels, len(train)), classes)[0].number
    if fewest < classes:
        raise OptionError(
            f"labels = {config.labels!r}: {fewest:,} of {min(config.most_labels, len(train)):,} images are fewer than "
            f"the {classes} classes: ask for more labels, or allow more images"
        )


def with_possible_labels(
    train: Images, config: ComparisonConfig, told: Callable[[str], object] = lambda _: None
) -> ComparisonConfig:
    """The settings with numbers of labels that can be had, where none are asked for.

    Args:
        train: What is learned from.
        config: The settings.
        told: Called with a line if that leaves some of the usual ones out.
    """
    from nlprep.evaluation.configuration import ProbeConfig, possible_shares

    if config.labels is not None:
        return config
    usual = ProbeConfig().labels
    if train.labels is None:
        return replace(config, labels=usual)
    count, classes = min(config.most_labels, len(train)), len(np.unique(train.labels))
    labels = possible_shares(count, classes)
    if labels != usual:
        told(f"probes learn from {labels} of {count:,} labels: less is not one of each of the {classes} classes")
    return replace(config, labels=labels)


class _Work:
    """What is being done in the directory of a comparison."""

    def __init__(
        self,
        place: Path,
        train: Images,
        test: Images,
        config: ComparisonConfig,
        backbone: BackboneConfig | None,
        unet: UNetConfig | None,
        progress: Progress,
        told: Callable[[str], object],
    ) -> None:
        self.place, self.images, self.config = place, train, config
        self.backbone, self.unet = backbone, unet
        self.tested, self.test = test, choose_some(test, config.most_test)
        self.progress, self.told = progress, told
        self.record: dict[str, Any] = {}

    def came_to_something(self) -> bool:
        """Whether a run was trained in the directory."""
        path = self.place / RECORD
        return path.exists() and bool(_read_record(path)["runs"])

    def is_another(self) -> bool:
        """Whether what is in the directory is another comparison, or of another kind."""
        mark = read_mark(self.place)
        if mark is None or mark["kind"] != COMPARISON:
            return mark is not None
        try:
            self.open_record()
        except OptionError:
            return True
        return False

    def open_record(self) -> None:
        """Read what is known, and refuse to go on with other settings."""
        from vision.training import digest_images

        settings = {name: getattr(self.config, name) for name in _BINDING}
        networks = {
            name: None if network is None else to_mapping(network)
            for name, network in (("backbone", self.backbone), ("unet", self.unet))
        }
        fresh = {
            "settings": settings | networks,
            # All that might be measured on: how many of them are, may be chosen again.
            "data": {"train": digest_images(self.images), "test": digest_images(self.tested)},
            "measuring": {},
            "sources": {},
            "steps": {},
            "step_seconds": {},
            "space": None,
            "bias": None,
            "runs": {},
            "baselines": {},
        }
        # As it will be read: tuples become lists.
        fresh = json.loads(json.dumps(fresh))
        path = self.place / RECORD
        if path.exists():
            known = _read_record(path)
            try:
                for part in ("settings", "data"):
                    check_same_settings(known[part], fresh[part], where=self.place)
            except OptionError as error:
                raise OptionError(f"{error}, or give --overwrite to replace it") from None
            fresh |= known
        self.record = fresh
        self.record["sources"] = {
            side: {"source": images.source, "images": len(images), "shape": list(images.shape)}
            for side, images in (("train", self.images), ("test", self.test))
        }

    def write(self) -> None:
        """Write down what is known so far."""
        text = json.dumps(self.record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        with atomic_file(self.place / RECORD, format=FILE_OF_A_RUN) as stream:
            stream.write(text.encode())

    def train(self, name: str, seed: int) -> None:
        """One run, if it is not done."""
        from nlprep.core.training.steps.updates import NonFiniteError
        from vision.comparison.training import model_settings, run_settings, train_run

        key = f"{name}-{seed}"
        known = self.record["runs"].get(key, {})
        if known:
            return
        settings = model_settings(name, self.images.shape[0], self.config, self.backbone, self.unet)
        steps = self._steps(name, settings)
        training = run_settings(name, settings, len(self.images), self.config, steps=steps, seed=seed)
        try:
            run, seconds = train_run(
                self.images, self.place / RUNS / key, name, settings, training, held_out=self.config.held_out,
                progress=_Named(self.progress, key),
            )  # fmt: skip
        except NonFiniteError as error:
            self.record["runs"][key] = {"failed": str(error)}
            self.told(f"{key}: failed: {error}")
        else:
            found = {name: run.summary[name] for name in ("steps", "parameters", "best_step")}
            self.record["runs"][key] = {"training": found | {"seconds": seconds}}
            self.told(f"{key}: {counted(run.history.steps, 'step')} in {seconds:.0f} s")
        self.write()

    def _steps(self, name: str, settings: Any) -> int:
        """How many the budget is."""
        from vision.comparison.training import measure_step_seconds, run_settings

        if self.config.steps is not None:
            return self.config.steps
        if name not in self.record["steps"]:
            training = run_settings(name, settings, len(self.images), self.config, steps=1, seed=1)
            seconds = measure_step_seconds(
                self.images, name, settings, training, progress=_Named(self.progress, f"{name}: trial")
            )  # fmt: skip
            self.record["step_seconds"][name] = seconds
            self.record["steps"][name] = max(1, round(self.config.seconds / seconds))
            self.write()
        return int(self.record["steps"][name])

    def instruments(self, space: FeatureSpace | None) -> Measured:
        """What all are measured with; the space of features is made here, if none is given."""
        from nlprep.evaluation.labelled import stratified_order
        from vision.comparison.feature_space import train_space
        from vision.comparison.measuring import Measured

        if space is None:
            space = train_space(
                self.images, self.test, self.place / CLASSIFIER, steps=self.config.space_steps,
                progress=_Named(self.progress, "feature space"),
            )  # fmt: skip
        labelled = None
        if self.images.labels is not None and self.test.labels is not None:
            order = stratified_order(self.images.required_labels("a probe"), 1)
            labelled = self.images.select(np.sort(order[: self.config.most_labels]))
        named = {name: value for name, value in to_mapping(self.config).items() if name not in _TRAINING_ONLY}
        measuring = json.loads(json.dumps({"settings": named, "space": space.digest}))
        if self.record["measuring"] != measuring:
            for run in self.record["runs"].values():
                run.pop("measured", None)
            self.record |= {"measuring": measuring, "baselines": {}, "bias": None}
        self.record["space"] = {
            "name": space.name, "dimension": space.encoder.dimension, "digest": space.digest,
            "accuracy": space.accuracy, "tested": space.tested,
        }  # fmt: skip
        real = space.features(self.test, progress=_Named(self.progress, "feature space"))
        self.told(f"feature space: {space.name}")
        return Measured(
            self.config, self.test, labelled, choose_some(self.images, self.config.most_labels), space, real
        )

    def measure(self, instruments: Measured, name: str, seed: int) -> None:
        """One run, if it is not done."""
        from vision.models.files import load_model

        key = f"{name}-{seed}"
        known = self.record["runs"][key]
        if "failed" in known or "measured" in known:
            return
        saved = load_model(self.place / RUNS / key)
        saved.model.to(instruments.space.encoder.device)
        known["measured"] = instruments.measure(saved, seed=seed, progress=_Named(self.progress, key))
        self.write()
        self.told(f"{key}: measured")

    def measure_baselines(self, instruments: Measured, names: tuple[str, ...]) -> None:
        """What the models are to be better than, and how far images of one kind are apart by chance."""
        from vision.baselines.linear_encoder import fit_pca
        from vision.comparison.measuring import squared_error
        from vision.encoders.image_encoder import ImageEncoder
        from vision.encoders.raw_pixels import RawPixels
        from vision.images.preprocessing import Preprocessing
        from vision.models.files import load_model

        channels, height, width = self.images.shape
        preprocessing = Preprocessing(channels=channels, height=height, width=width)

        def probed(encoder: Any, named: str) -> dict[str, Any]:
            found = instruments.probe(encoder, progress=_Named(self.progress, named))
            return {"dimension": encoder.dimension, "probe": found}

        def pixels() -> dict[str, Any]:
            return probed(RawPixels(preprocessing), "raw pixels")

        def components() -> dict[str, Any]:
            most = min(self.config.dimension, self.images.pixels[0].size, len(self.images))
            pca = fit_pca(choose_some(self.images, 10 * self.config.most_labels), most)
            away = pca.reconstruct(self.test) - self.test.pixels / np.float32(255)
            error = squared_error(float(np.square(away, dtype=np.float64).mean()), len(self.test))
            return probed(pca, "principal components") | {"reconstruction": error}

        def drawn_at_random(first: str, seed: int) -> Callable[[], dict[str, Any]]:
            def found() -> dict[str, Any]:
                saved = load_model(self.place / RUNS / first)
                encoder = ImageEncoder(saved).randomized(seed).to(instruments.space.encoder.device)
                return probed(encoder, f"random weights-{seed}")

            return found

        def training_images() -> dict[str, Any]:
            some = choose_some(self.images, self.config.generated)
            return {"generation": instruments.compare_pixels(np.ascontiguousarray(some.pixels), progress=self.progress)}

        wanted: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "training images": ("training images", training_images)
        }
        if instruments.labelled is not None:
            wanted |= {"raw pixels": ("raw pixels", pixels)}
            trained = [key for key, run in self.record["runs"].items() if "failed" not in run]
            first = next((key for name in names for key in trained if key.rsplit("-", 1)[0] == name), None)
            if first is not None:
                model = first.rsplit("-", 1)[0]
                for seed in range(1, self.config.seeds + 1):
                    named = f"random weights ({model})"
                    wanted[f"{named}-{seed}"] = (named, drawn_at_random(first, seed))
            wanted |= {"principal components": ("principal components", components)}
        for key, (name, find) in wanted.items():
            if key not in self.record["baselines"]:
                self.record["baselines"][key] = {"name": name, "measured": find()}
                self.write()
        if self.record["bias"] is None:
            self.record["bias"] = instruments.bias(self.test, progress=self.progress)
            self.write()
        # Of what was asked for at another time, only what is asked for now.
        self.record["baselines"] = {key: self.record["baselines"][key] for key in wanted}


def _read_record(path: Path) -> dict[str, Any]:
    with os_errors_named(path):
        raw = path.read_bytes()
    try:
        known = json.loads(raw)
        if all(isinstance(known[name], dict) for name in ("settings", "data", "runs", "steps", "baselines")):
            return dict(known)
    except (ValueError, KeyError, TypeError):
        pass
    raise FileError(path, "is damaged, and does not say what was compared: name a new directory")


class _Named:
    """Progress whose bars say which run they are of."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Task]:
        """A bar with the name before its description."""
        return self._task(description, total)

    @contextmanager
    def _task(self, description: str, total: float | None) -> Iterator[Task]:
        with self._progress.task(f"{self._name}: {description}", total) as task:
            yield task


def choose_some(images: Images, most: int) -> Images:
    """So many of the images at the most, in order, chosen by their places alone.

    Args:
        images: All of them.
        most: How many.
    """
    if len(images) <= most:
        return images
    return images.select(choose_places(len(images), most, purpose=_CHOOSING))
