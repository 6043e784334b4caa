"""Training a model of correlated views, by the one loop and the one recipe around it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.correlation.methods import find_method
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine, uniforms
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.recipe import FinishedRun, prepare_run
from nlprep.core.wording import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    import torch
    from numpy.typing import NDArray

    from multimodal.correlation.configuration import CorrelationConfig
    from multimodal.correlation.model import CorrelationModel
    from nlprep.core.randomness import Seeds
    from nlprep.core.training.recipe import RunArguments

    Views = Mapping[str, NDArray[Any]]

RUN = "correlation-training"
"""What the directories of runs are marked as."""
_WHOLE_BYTES, _BLOCKS, _BLOCK = 1 << 26, 64, 1 << 20
_ROWS = 4096
_FLOOR = 1e-12
_MOST_HELD_OUT, _HOLDING_OUT = 5000, 101


@dataclass(frozen=True, kw_only=True)
class CorrelationTraining(FinishedRun):
    """A finished run.

    Attributes:
        model: The model, on the device that it was trained on, in evaluation mode.
    """

    model: CorrelationModel


class ViewExamples:
    """Some of the things in several views as the loop's examples, without copying the rest.

    Args:
        views: All of them.
        places: (n,) those that are meant.
    """

    def __init__(self, views: Views, places: NDArray[np.int64]) -> None:
        self.views, self.places = views, places

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Fetch things: ``view_i``, (b, ...) float32 (see `nlprep.core.training.data.examples.Examples`)."""
        import torch

        chosen = self.places[indices]
        return {
            f"view_{place}": torch.from_numpy(np.ascontiguousarray(view[chosen], dtype=np.float32))
            for place, view in enumerate(self.views.values())
        }


def train_correlation(
    views: Views,
    directory: str | os.PathLike[str],
    *,
    model: str = "deep-cca",
    config: CorrelationConfig | None = None,
    networks: Mapping[str, torch.nn.Module] | None = None,
    training: TrainingConfig | None = None,
    validation: Views | float = 0.1,
    **run: Unpack[RunArguments],
) -> CorrelationTraining:
    """Train networks whose codes of several views correlate; the same call again goes on where it was stopped.

    ::

        run = train_correlation({"left": left, "right": right}, "run", config=DeepCcaConfig(dimension=50))
        codes = run.model.encode("left", others)

    The weights that are kept are those of the lowest loss on the validation things. Codes end in linear CCA, which is
    fitted to codes of the things trained on, by the weights that were kept: neither the last ones nor what is held out.

    Args:
        views: By name, arrays (n, ...) of numbers, row by row of the same things; mapped ones are read as needed.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        model: A name in `multimodal.correlation.methods.MODELS`.
        config: Its settings, of the class that `MODELS` names; default: as it is made without arguments.
        networks: Networks of one's own, by the view's name, trained in place; other views get perceptrons. A run that
            goes on takes networks that are made alike, and gives them the weights of its checkpoint.
        training: The loop's settings; default: `default_training`. A batch must have more examples than a network
            makes numbers, and wants ten times as many.
        validation: Views of other things, or the share of these that is held out, at most 5,000, chosen by the seed;
            0: none, then the last weights are kept.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its model is also in ``directory/model``. Its summary has ``correlations``, of the codes of what was
        trained on, and where there is validation ``held_out_correlation``, the sum of those of all that is held out.

    Raises:
        NlprepError: Views that are no arrays, of different lengths or with values that are no numbers, too few things
            for a batch, or as `prepare_run` and `fit` do.
        OptionError: No such model, settings of another one, a batch no larger than a code, or as `prepare_run`.
    """
    method = find_method(model)
    config = _settings(model, config)
    shapes = check_arrays(views)
    count = len(next(iter(views.values())))
    training = training or default_training(count)
    others, share = (None, float(validation)) if isinstance(validation, int | float) else (validation, None)
    if others is not None:
        _check_alike(others, shapes)
    trained, held = _examples(views, validation, seed=training.seed)
    made = method.load()(shapes, config, networks=networks, seed=training.seed)
    _check_sizes(made, training, len(trained), None if held is None else len(held))
    made.set_scaling(*fit_scaling(trained, config.scaling))
    data = {
        "views": {name: digest(view) for name, view in views.items()},
        "held_out": share if others is None else {name: digest(view) for name, view in others.items()},
        "networks": {name: _describe(network) for name, network in (networks or {}).items()},
    }
    from multimodal.correlation.files import CORRELATION_MODEL, save_model

    with prepare_run(
        directory, kind=RUN, result=CORRELATION_MODEL, settings={model: config}, training=training, data=data, **run
    ) as prepared:
        history = prepared.fit(made.step(), trained, validation=held)
        made.eval()
        # By the weights that the loop has put in place: the best ones.
        fit_coordinates(made, trained)
        summary = prepared.summarise(history) | {
            "model": model, "dimension": made.dimension, "correlations": made.correlations.tolist(),
            "held_out_correlation": None if held is None else measure(made, held),
        }  # fmt: skip
        notes = {
            "steps": history.steps, "examples": len(trained), "validation": summary["validation"],
            "held_out_correlation": summary["held_out_correlation"],
        }  # fmt: skip
        prepared.publish(lambda place: save_model(made, place, notes=notes))
    return CorrelationTraining(directory=prepared.directory, history=history, summary=summary, model=made)


def default_training(count: int) -> TrainingConfig:
    """Settings that suit losses of correlation: large batches, many epochs, hardly any decay.

    Args:
        count: Things to train on, those held out included.
    """
    size = min(2000, max(2, count // 2))
    # Steps enough where there is little, and ten passes where there is much.
    epochs = max(10.0, 500 * size / max(count, 1))
    return TrainingConfig(
        epochs=epochs, batch_size=size, learning_rate=1e-3, final_learning_rate=0.02, weight_decay=1e-2, beta2=0.999
    )


def check_arrays(views: Views) -> dict[str, tuple[int, ...]]:
    """The shape of one thing in each view.

    Raises:
        NlprepError: Something that is no array of numbers (n, ...), views of different lengths, or without things.
    """
    if not hasattr(views, "items") or not views:
        raise NlprepError("views: give arrays by name, such as {'left': left, 'right': right}")
    for name, view in views.items():
        if not isinstance(name, str) or not name:
            raise NlprepError(f"views: {name!r} is no name: give a word")
        if not isinstance(view, np.ndarray) or view.ndim < 2 or view.dtype.kind not in "fiub":
            seen = f"{view.dtype} {view.shape}" if isinstance(view, np.ndarray) else type(view).__name__
            raise NlprepError(f"view {name!r} is {seen}: give an array of numbers (n, ...), a row for each thing")
        if 0 in view.shape:
            raise NlprepError(f"view {name!r} has shape {view.shape}: there is nothing in it")
    lengths = {name: len(view) for name, view in views.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length:,}" for name, length in lengths.items())
        raise NlprepError(f"views of different lengths ({listed}): give a row of each for the same things")
    for name, view in views.items():
        for start in range(0, len(view), _ROWS):
            wrong = ~np.isfinite(view[start : start + _ROWS].reshape(-1, view[0].size)).all(axis=1)
            if wrong.any():
                raise NlprepError(
                    f"view {name!r}, row {start + int(wrong.argmax())}: holds a value that is no finite number: leave "
                    "the thing out of all views"
                )
    return {name: view.shape[1:] for name, view in views.items()}


def fit_scaling(examples: ViewExamples, scaling: str) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Means of views, and what the rest is to be multiplied by, each of its view's shape.

    Args:
        examples: What is trained on.
        scaling: As `multimodal.correlation.configuration.CorrelationConfig` has it. What does not vary is multiplied
            by one.
    """
    means, scales = [], []
    for view in examples.views.values():
        shape = view.shape[1:]
        mean, variance = np.zeros(shape), np.zeros(shape)
        if scaling != "none":
            for part in _parts(view, examples.places):
                mean += part.sum(axis=0)
            mean /= len(examples)
            for part in _parts(view, examples.places):
                variance += np.square(part - mean).sum(axis=0)
            variance /= len(examples)
        least = _FLOOR * np.square(mean)
        if scaling == "view":
            variance, least = (np.full(shape, one.mean()) for one in (variance, least))
        # Each by its own mean: columns may be in units of their own.
        varies = variance > least
        scales.append(np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 1.0))
        means.append(mean)
    return means, scales


def fit_coordinates(model: CorrelationModel, examples: ViewExamples) -> None:
    """Fit the linear CCA at the end of a model's codes to all examples, by its networks as they are now."""
    from nlprep.vectors.canonical_correlation import fit_canonical_correlation

    codes = network_codes(model, examples)
    model.set_coordinates(
        fit_canonical_correlation(codes, num_directions=model.dimension, ridge=model.config.ridge, criterion="shared")
    )


def network_codes(model: CorrelationModel, examples: ViewExamples) -> list[NDArray[np.float32]]:
    """What the networks make of examples, (n, outputs) of each view, in evaluation mode, before linear CCA."""
    from nlprep.evaluation.encoder import evaluation_mode

    device = model.correlations.device
    made: list[list[NDArray[np.float32]]] = [[] for _ in model.names]
    with evaluation_mode(model):
        for start in range(0, len(examples), _ROWS):
            indices = np.arange(start, min(start + _ROWS, len(examples)))
            batch = examples.batch(indices, np.zeros(len(indices), np.uint64))
            for place, name in enumerate(model.names):
                found = model.view(name)(batch[f"view_{place}"].to(device))
                made[place].append(found.float().cpu().numpy())
    return [np.concatenate(parts) for parts in made]


def measure(model: CorrelationModel, examples: ViewExamples) -> float:
    """The total correlation of codes of examples: of all of them together, summed over numbers, a mean over pairs."""
    from nlprep.vectors.canonical_correlation import measure_correlations

    codes = [
        model.encode(name, view[examples.places])
        for name, view in zip(model.names, examples.views.values(), strict=True)
    ]
    return float(measure_correlations(codes).sum())


def digest(view: NDArray[Any]) -> str:
    """What tells a view from others: a digest of its shape, type and values, beyond 64 MiB of 64 blocks of a MiB."""
    found = hashlib.sha256(repr((view.shape, view.dtype.str)).encode())
    if view.nbytes <= _WHOLE_BYTES:
        found.update(np.ascontiguousarray(view).data)
    else:
        rows = max(1, _BLOCK // view[:1].nbytes)
        for start in np.linspace(0, len(view) - rows, _BLOCKS).astype(np.int64).tolist():
            found.update(np.ascontiguousarray(view[start : start + rows]).data)
    return found.hexdigest()[:32]


def _settings(model: str, config: CorrelationConfig | None) -> CorrelationConfig:
    kind = find_method(model).config
    if config is None:
        return kind()
    if type(config) is not kind:
        raise OptionError(f"config is a {type(config).__name__}, and a {model} takes a {kind.__name__}")
    return config


def _examples(views: Views, validation: Views | float, *, seed: int) -> tuple[ViewExamples, ViewExamples | None]:
    count = len(next(iter(views.values())))
    if not isinstance(validation, int | float):
        others = len(next(iter(validation.values())))
        return ViewExamples(views, np.arange(count)), ViewExamples(
            {name: validation[name] for name in views}, np.arange(others)
        )
    if validation == 0:
        return ViewExamples(views, np.arange(count)), None
    if not 0 < validation < 1:
        raise OptionError(f"validation = {validation}: give a share from 0 up to 1, or views of other things")
    number = max(1, min(_MOST_HELD_OUT, round(validation * count)))
    if number >= count:
        raise OptionError(
            f"validation = {validation}: of {counted(count, 'thing')} none is left to train on: give more, or 0"
        )
    draws = uniforms(combine(seed, np.arange(count)), 1, purpose=_HOLDING_OUT)[:, 0]
    held = np.zeros(count, bool)
    held[np.argsort(draws, kind="stable")[:number]] = True
    return ViewExamples(views, np.flatnonzero(~held)), ViewExamples(views, np.flatnonzero(held))


def _check_alike(views: Views, shapes: Mapping[str, Sequence[int]]) -> None:
    found = check_arrays(views)
    if found != dict(shapes):
        raise NlprepError(f"validation: views {found}, and those to train on are {dict(shapes)}: give the same views")


def _check_sizes(model: CorrelationModel, training: TrainingConfig, count: int, held: int | None) -> None:
    """Fail before training where a batch, or all that is held out, has too few things to say how they correlate."""
    from nlprep.objectives.correlation import check_batch

    size = model.whitened_numbers()
    check_batch(training.batch_size, [size])
    check_batch(count, [size], noun="a training set")
    if held is not None and min(held, training.batch_size) <= size + 1:
        raise OptionError(
            f"a validation set of {held} examples for codes of {size} numbers: any views of so few correlate "
            "fully, so that it says nothing: hold out more, or none (validation=0)"
        )


def _describe(network: torch.nn.Module) -> str:
    """What tells one network from another: how it is made. Its weights are the checkpoint's where a run goes on."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return hashlib.sha256(repr((repr(network), shapes)).encode()).hexdigest()[:32]


def _parts(view: NDArray[Any], places: NDArray[np.int64]) -> Any:
    for start in range(0, len(places), _ROWS):
        yield view[places[start : start + _ROWS]].astype(np.float64)
