"""The recipe around the loop, the same for whatever is trained: prepare, fit, publish, summarise.

A run is a directory. ``run.json`` says what made it, ``checkpoints`` and ``metrics.jsonl`` are the loop's
(`nlprep.core.training.loop`), and ``model`` is the result, there once it is whole. The same call made again goes on
where it was stopped; one with other settings, another base model or other data is refused. Where that is asked for
(``overwrite``), such a run, and one that is finished, is taken away, and training begins anew. ::

    made_by = {"kind": "curve-training", "result": "curve", "settings": {"curve": config}, "training": training}
    with prepare_run("run", **made_by) as run:
        history = run.fit(PlainStep(module), examples, validation=held)
        run.publish(lambda place: save(module, place))
    return FinishedRun(directory=run.directory, history=history, summary=run.summarise(history))
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, TypedDict

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FILE_OF_A_RUN, MARK_NAME, making_room, read_mark, remove_run, seal_of, settle_room
from nlprep.core.progress import SILENT
from nlprep.core.temporaries import held_directory
from nlprep.core.training.records.runs import RESULT, check_training_run, claim_training_run

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from accelerate import Accelerator

    from nlprep.core.progress import Progress
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.loop import History
    from nlprep.core.training.records.journal import Record
    from nlprep.core.training.steps.step import Step

RECORD = "run.json"
"""What made a run, in its directory."""

_MARK = "learning_rate"
"""What the journal's records of training have, and those of an evaluation have not."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A finished run; each kind of training adds what it made.

    Attributes:
        directory: The run's directory; the result is in ``model``.
        history: What happened.
        summary: Plain values to show, fit for JSON (see `TrainingRun.summarise`).
    """

    directory: Path
    history: History
    summary: dict[str, Any]


class RunArguments(TypedDict, total=False):
    """How a run goes about it; every kind of training takes these by name, and hands them on to `prepare_run`.

    Attributes:
        resume: ``auto`` goes on where the same call was stopped, or starts; ``never`` refuses a run that was begun,
            ``must`` one that was not.
        overwrite: Whether what is ours there may be replaced: a run of other settings or data, one that is finished, or
            another kind. One of the same that was stopped goes on, unless ``resume`` is ``never``.
        accelerator: Devices and processes; found if there is none.
        progress: Gets what is done, on the main process.
    """

    resume: str
    overwrite: bool
    accelerator: Accelerator | None
    progress: Progress


class TrainingRun:
    """A run whose directory is prepared; `prepare_run` makes it.

    Attributes:
        directory: The run's directory.
        training: The loop's settings.
        accelerator: The run's devices and processes.
        progress: Where progress goes: the caller's on the main process, nowhere on the others.
        trained: Whether there are checkpoints to go on from.
        begun: Whether training was begun by this call.
    """

    def __init__(
        self,
        directory: Path,
        record: dict[str, Any],
        *,
        training: TrainingConfig,
        resume: str,
        trained: bool,
        accelerator: Accelerator,
        progress: Progress,
    ) -> None:
        self.directory = directory
        self.training = training
        self.accelerator = accelerator
        self.progress = progress if accelerator.is_main_process else SILENT
        self.trained = trained
        self.begun = False
        self._record = record
        self._resume = resume
        self._sizes: dict[str, int] = {}

    def fit(self, step: Step, examples: Examples, *, validation: Examples | None = None, **doors: Any) -> History:
        """Train, in this run's directory and by its settings.

        Args:
            step: As for `nlprep.core.training.loop.fit`, which also says what is returned and raised.
            examples: Likewise.
            validation: Likewise.
            doors: What else `fit` takes, such as ``evaluate``.
        """
        from nlprep.core.training.loop import fit

        parameters = {id(p): p for module in step.players.values() for p in module.parameters()}.values()
        self._sizes = {
            "examples": len(examples),
            "parameters": sum(p.numel() for p in parameters),
            "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        }
        self.begun = True
        history = fit(
            step,
            examples,
            config=self.training,
            directory=self.directory,
            validation=validation,
            resume=self._resume,
            accelerator=self.accelerator,
            progress=self.progress,
            **doors,
        )
        self._write_record()
        return history

    def _write_record(self) -> None:
        """Write down what makes the run, if that is not what is written."""
        if self.accelerator.is_main_process and _read_record(self.directory) != self._record:
            with atomic_file(self.directory / RECORD, format=FILE_OF_A_RUN) as stream:
                stream.write(_text(self._record).encode())

    def publish(self, save: Callable[[Path], object]) -> Path:
        """Write the result; the main process does, the others wait until it is there.

        Args:
            save: Called with the result's place. Like every writer of the house it writes beside and renames
                (`nlprep.core.files.atomic_directory`), so that an earlier result stays whole until this one is.

        Returns:
            The result's directory.

        Raises:
            FileError: As ``save`` does.
        """
        place = self.directory / RESULT
        if self.accelerator.is_main_process:
            save(place)
        self.accelerator.wait_for_everyone()
        return place

    def summarise(self, history: History) -> dict[str, Any]:
        """What the run came to, in plain values.

        Returns:
            ``examples``, ``parameters`` and ``trained_parameters`` (their numbers); ``steps``; ``already_done``,
            whether all of these had been made before this call; ``ended_early``, why there are fewer than were asked
            for, or None; the last ``train_loss`` and other losses; ``..._per_second``, None of a call without a step;
            ``best_step``, None if none was chosen; ``validation``, what the evaluation of the weights that the run
            ended with recorded, ``validation_`` left out of the names;
            ``resumed_from``, ``seconds`` (of this call), and ``settings`` by their owner. What is measured is known
            to the main process alone.
        """
        logged: Record = next((record for record in reversed(history.records) if _MARK in record), {})
        losses = {f"train_{name}": value for name, value in logged.items() if name == "loss" or name.endswith("_loss")}
        done = history.resumed_from == history.steps
        return {
            **self._sizes,
            "steps": history.steps,
            "already_done": done,
            "ended_early": history.stopped,
            **(losses or {"train_loss": None}),
            **{name: None if done else value for name, value in logged.items() if name.endswith("_per_second")},
            "best_step": history.best_step,
            "validation": self._validation(history),
            "resumed_from": history.resumed_from,
            "seconds": round(history.seconds, 1),
            "settings": {**self._record["settings"], "training": to_mapping(self.training)},
        }

    def _validation(self, history: History) -> dict[str, Any]:
        """The numbers of the evaluation whose weights were kept."""
        evaluated = {record["step"]: record for record in history.records if _MARK not in record}
        kept = history.best_step if self.training.keep_best else None
        record: Record = evaluated.get(max(evaluated, default=0) if kept is None else kept, {})
        return {
            name.removeprefix("validation_"): value
            for name, value in record.items()
            if name not in ("step", "criterion", "pictures")
        }


@contextmanager
def prepare_run(
    directory: str | os.PathLike[str],
    *,
    kind: str,
    result: str,
    settings: Mapping[str, object],
    training: TrainingConfig,
    bases: Mapping[str, Path] | None = None,
    data: Mapping[str, Any] | None = None,
    files: Mapping[str, Sequence[Sequence[Any]]] | None = None,
    keeps: Sequence[str] = (),
    inputs: Iterable[str | os.PathLike[str]] = (),
    resume: str = "auto",
    overwrite: bool = False,
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> Iterator[TrainingRun]:
    """Make a run's directory, or make sure that it is of this very run, and write down what makes it.

    If what is done inside fails on account of something that the user can mend before training has begun, or of a
    setting before there is a checkpoint, a directory that was not there before is taken away again.

    Args:
        directory: The run's directory; made if it is missing.
        kind: What kind of run it is, such as ``classifier-training``.
        result: What kind of directory it publishes (see `nlprep.core.ownership`).
        settings: The configurations by what they configure; a run is not resumed with others.
        training: The loop's settings, of which some may change (see `nlprep.core.training.records.resuming`).
        bases: Directories of models that training starts from, by their part in it; known again by their content.
        data: Plain values, fit for JSON, that tell the data from others.
        files: Files that are read, by their part in it, as `describe_files` tells them.
        keeps: What else the run keeps in its directory.
        inputs: Files and directories that the run reads, to which its own must do no harm.
        resume: As for `nlprep.core.training.loop.fit`.
        overwrite: As `RunArguments` has it. What is replaced is out of the way in the block, and gone when that ends,
            unless training came to no checkpoint: then it is put back.
        accelerator: As for `fit`.
        progress: Gets what is done, on the main process.

    Yields:
        The run.

    Raises:
        OptionError: The directory is of another run, or ``resume`` forbids it; it must be gone on with and replaced.
        FileError: It holds something else, or cannot be read or written.
    """
    from nlprep.core.training.processes import make_accelerator
    from nlprep.core.training.records.checkpoints import Checkpoints
    from nlprep.core.training.records.resuming import check_resume

    directory = Path(directory)
    if overwrite and resume == "must":
        raise OptionError("resume = 'must' goes on with a run, and overwrite replaces it: leave out one of the two")
    claimed: dict[str, Any] = {"result": result, "inputs": list(inputs), "overwrite": overwrite}
    check_training_run(directory, kind, **claimed)
    record = {
        "kind": kind,
        "settings": {owner: to_mapping(value) for owner, value in (*settings.items(), ("training", training))},
        "bases": {part: {"name": path.name, "weights": model_digest(path)} for part, path in (bases or {}).items()},
        "data": dict(data or {}),
        "files": dict(files or {}),
    }
    # As it will be read: tuples become lists.
    record = json.loads(json.dumps(record))
    accelerator = accelerator or make_accelerator(training, directory)
    main = accelerator.is_main_process
    if main:
        settle_room(directory, lambda: _came_to_something(directory))
    if overwrite:
        # The others are to be done with looking at what may now be taken away.
        accelerator.wait_for_everyone()
    created = not directory.exists()
    begun = False
    held = ExitStack()
    try:
        if main:
            if not created:
                held.enter_context(held_directory(directory))
            if overwrite and _begins_anew(directory, record, training, resume):
                held.enter_context(making_room(directory, lambda: _came_to_something(directory)))
            claim_training_run(directory, kind, more=(RECORD, *keeps), **claimed)
            held.enter_context(held_directory(directory))
        accelerator.wait_for_everyone()
        steps = Checkpoints(directory / "checkpoints", keep=1).steps()
        check_resume(resume, steps, directory)
        if steps:
            # Before the first checkpoint, being another run costs nothing.
            before = _read_record(directory)
            if before is None:
                raise FileError(directory, f"holds checkpoints and no {RECORD} that says of what: name a new directory")
            try:
                _check_same(before, record, directory)
            except OptionError as error:
                raise OptionError(f"{error}, or give --overwrite to replace it") from None
            record = _joined(before, record)
        run = TrainingRun(
            directory,
            record,
            training=training,
            resume=resume,
            trained=bool(steps),
            accelerator=accelerator,
            progress=progress,
        )
        if not steps:
            # Of a run that goes on, only once it has: the loop may have reasons to refuse it.
            run._write_record()  # noqa: SLF001
        try:
            yield run
        finally:
            begun = run.begun
    except NlprepError as error:
        # The loop refuses settings, too, before it makes a step.
        refused = not begun or (isinstance(error, OptionError) and not _came_to_something(directory))
        if created and main and refused:
            remove_run(directory)
        raise
    finally:
        held.close()
        if main:
            settle_room(directory, lambda: _came_to_something(directory))


def model_digest(directory: Path) -> str:
    """What tells a model's content: a digest of its weights and settings, wherever it is and whenever it was written.

    Args:
        directory: Of a model, with ``.safetensors`` and ``.json`` files, in folders or not.

    Raises:
        FileError: A file cannot be read.
    """
    digest = hashlib.sha256()
    with os_errors_named(directory):
        for path in sorted(directory.rglob("*")):
            if path.suffix in (".safetensors", ".json") and path.name != MARK_NAME:
                digest.update(f"{path.relative_to(directory)}\0".encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def describe_files(paths: Iterable[str | os.PathLike[str]]) -> list[list[Any]]:
    """Name, size and digest of each file, in order: one that was only copied or touched is the same.

    Args:
        paths: The files; of one beyond 64 MiB, 64 blocks of a MiB are looked at. What is no file and can be read once,
            such as a pipe, is known by its name alone.

    Raises:
        FileError: One cannot be read.
    """
    described: list[list[Any]] = []
    for path in map(Path, paths):
        with os_errors_named(path):
            once = not S_ISREG(path.stat().st_mode)
            described.append([path.name, *((0, "") if once else seal_of(path))])
    return described


def _begins_anew(directory: Path, record: Mapping[str, Any], training: TrainingConfig, resume: str) -> bool:
    """Whether a run that may be replaced is: one that is finished, or not the one that is asked for."""
    from nlprep.core.training.records.checkpoints import Checkpoints

    mark = read_mark(directory)
    if mark is None:
        return False
    if mark["kind"] != record["kind"] or (directory / RESULT).exists():
        return True
    steps = Checkpoints(directory / "checkpoints", keep=1).steps()
    if not steps:
        return False
    if resume == "never" or (training.steps is not None and steps[-1] > training.steps):
        return True
    before = _read_record(directory)
    if before is None:
        return True
    try:
        _check_same(before, record, directory)
    except OptionError:
        return True
    return False


def _came_to_something(directory: Path) -> bool:
    """Whether there is something in a run's directory that can be gone on with or used."""
    from nlprep.core.training.records.checkpoints import Checkpoints

    return (directory / RESULT).exists() or bool(Checkpoints(directory / "checkpoints", keep=1).steps())


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _read_record(directory: Path) -> dict[str, Any] | None:
    path = directory / RECORD
    if not path.exists():
        return None
    with os_errors_named(path):
        raw = path.read_bytes()
    try:
        record = json.loads(raw)
        tables = [record["settings"], *record["settings"].values(), *map(record.get, ("bases", "data", "files"))]
        if isinstance(record["kind"], str) and all(isinstance(table, dict) for table in tables):
            return dict(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise FileError(path, "is damaged, and does not say what made the run: name a new directory")


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], directory: Path) -> None:
    """Fail if one record is not of the run that the other is of; what only one of them mentions is left aside.

    Raises:
        OptionError: Names what is different.
    """
    from nlprep.core.training.records.resuming import FREE_SETTINGS, differing_settings, refuse_differences

    # The models first: settings that were left to default follow from them, and would be blamed.
    for part in sorted(before["bases"].keys() & now["bases"].keys()):
        old, new = before["bases"][part], now["bases"][part]
        if old["weights"] != new["weights"]:
            names = f"{old['name']!r}" if old["name"] != new["name"] else f"an earlier {old['name']!r}"
            raise OptionError(
                f"{directory}: began with another {part}, {names}, not with this {new['name']!r}: give the same "
                "to resume, or name a new directory"
            )
    # Before settings of the same name, which would be blamed for it: each owner is one of the two runs' alone.
    gone, come = before["settings"].keys() - now["settings"].keys(), now["settings"].keys() - before["settings"].keys()
    if gone and come:
        raise OptionError(
            f"{directory}: holds a run of {' and '.join(sorted(gone))}, not of {' and '.join(sorted(come))}: name "
            "another directory, or train what it holds"
        )
    found: list[str] = []
    for owner in sorted(before["settings"].keys() & now["settings"].keys()):
        free = FREE_SETTINGS if owner == "training" else frozenset()
        found += differing_settings(before["settings"][owner], now["settings"][owner], free=free)
    refuse_differences([*found, *differing_settings(before["data"], now["data"])], where=directory)
    for part in sorted(before["files"].keys() & now["files"].keys()):
        if difference := _difference(before["files"][part], now["files"][part]):
            raise OptionError(
                f"{directory}: began with another {part}: {difference}: give the same to resume, or name a new "
                "directory"
            )


def _difference(before: Sequence[Sequence[Any]], now: Sequence[Sequence[Any]]) -> str:
    """What is different between files then and now, in words; nothing where they are the same."""
    then, at_present = ({name: known for name, *known in files} for files in (before, now))
    for name, (size, digest) in at_present.items():
        if name not in then:
            return f"{name!r} was not read then"
        if then[name] != [size, digest]:
            sizes = (
                f"{then[name][0]:,} bytes then, {size:,} now" if then[name][0] != size else f"{size:,} bytes as then"
            )
            return f"the content of {name!r} has changed ({sizes})"
    for name in then:
        if name not in at_present:
            return f"{name!r} was read then, and is not now"
    return "" if [*before] == [*now] else "the files are read in another order"


def _joined(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """A record of what either of two of the same run mentions, as it is now."""
    return {name: {**before[name], **value} if isinstance(value, dict) else value for name, value in now.items()}
