"""Checkpoints that a kill, a full disk or a cut cable cannot cost.

Each is a directory ``step-000001200`` with ``state.safetensors`` (every tensor) and ``state.json`` (everything else
and a checksum of both). It is written beside its place, synced and renamed; only then are older ones
removed. One that was damaged later is recognised by its checksum, and the one before it is used. Nothing is pickled.

They are private to the training loop that wrote them: what is published is written by whoever trains.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from nlprep.core.artifacts import read_tensors, write_tensors
from nlprep.core.errors import FileError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.temporaries import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

STATE_FORMAT = 2
KIND = "checkpoint"
_STATE, _TENSORS = "state.json", "state.safetensors"
_NAME = re.compile(r"step-(\d{9})")
_CHUNK = 1 << 24
# The rest, bfloat16 above all, which NumPy does not know, travels as bytes.
_PLAIN = frozenset({"float64", "float32", "float16", "int64", "int32", "uint8", "bool"})


class CheckpointWarning(UserWarning):
    """A checkpoint could not be used, or not be written."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that resuming needs.

    Attributes:
        step: Optimiser steps done.
        tensors: By name, on the CPU.
        values: Plain values, fit for JSON.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Where they are; made when the first is written.
        keep: The latest ones to keep.
    """

    def __init__(self, directory: Path, *, keep: int) -> None:
        self.directory = directory
        self.keep = keep
        self._damaged: list[int] = []
        self._latest: _Sealed | None = None

    def steps(self) -> list[int]:
        """The steps of which there are checkpoints, whole or not, in order."""
        if not self.directory.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those that are too many.

        Raises:
            FileError: It cannot be written (a full disk); the earlier ones are untouched.
        """
        with os_errors_named(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        for step in self._damaged:
            # Otherwise one would count among those kept, or stand in the way of the one of its step.
            shutil.rmtree(self._path(step), ignore_errors=True)
        self._damaged = []
        self._latest = _write(self._path(checkpoint.step), checkpoint)
        kept = [step for step in self.steps() if step <= checkpoint.step][-self.keep :]
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self._path(step), ignore_errors=True)
        # Of whatever step it was that a killed process was writing.
        remove_leftovers(self.directory, may_be_replaced=lambda _: True)

    def amend(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint of the step that was saved or loaded last, whose tensors are still the same.

        They are not written again: a large model need not be, because an evaluation came after its checkpoint.

        Raises:
            FileError: As for `save`; the one that is there is untouched.
        """
        latest = self._latest
        if latest is None or latest.state["step"] != checkpoint.step:
            self.save(checkpoint)
            return
        path = self._path(checkpoint.step)
        sealed = _Sealed({**latest.state, "values": dict(checkpoint.values)}, latest.tensors)
        with _assembled(path) as assembly:
            try:
                # A second name for the same bytes.
                (assembly / _TENSORS).hardlink_to(path / _TENSORS)
            except OSError:
                shutil.copyfile(path / _TENSORS, assembly / _TENSORS)
            (assembly / _STATE).write_bytes(sealed.to_json())
        self._latest = sealed

    def load_latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None where there is none at all.

        Warns:
            CheckpointWarning: A newer one is damaged.

        Raises:
            FileError: There are checkpoints, and every one is damaged.
        """
        problems = []
        for step in reversed(self.steps()):
            try:
                checkpoint, self._latest = _read(self._path(step))
            except FileError as error:
                problems.append(error)
                continue
            self._damaged = [newer for newer in self.steps() if newer > step]
            for problem in problems:
                warnings.warn(f"{problem}; using the one of step {step} instead", CheckpointWarning, stacklevel=2)
            return checkpoint
        if problems:
            raise FileError(
                self.directory, f"no checkpoint is whole ({problems[0].problem}): remove the directory to start anew"
            )
        return None

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the weights of the best evaluation so far, in place of the last ones."""
        with os_errors_named(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        _write(self.directory / "best", checkpoint)

    def load_best(self, step: int) -> Checkpoint:
        """What `save_best` wrote after ``step``.

        Raises:
            FileError: It is missing, damaged or of another step (of a run that was killed after it, and then went on
                with other settings).
        """
        best, _ = _read(self.directory / "best")
        if best.step != step:
            raise FileError(self.directory / "best", f"holds the weights of step {best.step:,}, not of {step:,}")
        return best

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step:09d}"


@dataclass(frozen=True)
class _Sealed:
    """What ``state.json`` says.

    Attributes:
        state: Everything but the checksum.
        tensors: The checksum of the tensors' file.
    """

    state: dict[str, Any]
    tensors: int

    @property
    def checksum(self) -> int:
        """Of the tensors' file and of everything in ``state``."""
        return zlib.crc32(json.dumps(self.state, sort_keys=True).encode(), self.tensors)

    def to_json(self) -> bytes:
        return json.dumps({**self.state, "checksum": self.checksum}).encode()


def _write(path: Path, checkpoint: Checkpoint) -> _Sealed:
    arrays: dict[str, NDArray[Any]] = {}
    disguised: dict[str, tuple[str, list[int]]] = {}
    for name, tensor in checkpoint.tensors.items():
        plain = tensor.detach().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in _PLAIN:
            disguised[name] = dtype, list(plain.shape)
            plain = plain.reshape(-1).view(torch.uint8)
        arrays[name] = plain.numpy()
    state = {
        "format_version": STATE_FORMAT,
        "step": checkpoint.step,
        "disguised": disguised,
        "values": dict(checkpoint.values),
    }
    with _assembled(path) as assembly:
        write_tensors(assembly / _TENSORS, arrays)
        sealed = _Sealed(state, _checksum(assembly / _TENSORS))
        (assembly / _STATE).write_bytes(sealed.to_json())
    return sealed


@contextmanager
def _assembled(path: Path) -> Iterator[Path]:
    """A directory that becomes a checkpoint at the end of the block."""
    try:
        with atomic_directory(path, kind=KIND, private=True) as assembly:
            yield assembly
    except FileError as error:
        # It names a file beside the place, which is gone by now.
        raise FileError(path, error.problem) from error


def _read(path: Path) -> tuple[Checkpoint, _Sealed]:
    with os_errors_named(path / _STATE):
        raw = (path / _STATE).read_bytes()
    try:
        state = json.loads(raw)
        version, checksum = state["format_version"], state.pop("checksum")
        step, values, disguised = state["step"], state["values"], state["disguised"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FileError(path, "the checkpoint is damaged") from None
    if version != STATE_FORMAT:
        raise FileError(path, f"has checkpoint format {version!r}, this nlprep reads {STATE_FORMAT}")
    with os_errors_named(path / _TENSORS):
        sealed = _Sealed(state, _checksum(path / _TENSORS))
    if sealed.checksum != checksum:
        raise FileError(path, "the checkpoint is damaged or cut short")
    tensors = {}
    for name, array in read_tensors(path / _TENSORS).items():
        # A copy: the mapped pages are read-only and would outlive the file.
        tensor = torch.from_numpy(array.copy())
        if name in disguised:
            dtype, shape = disguised[name]
            kind = getattr(torch, dtype)
            # An empty array comes with strides that cannot be viewed.
            tensor = tensor.view(kind).reshape(shape) if tensor.numel() else torch.empty(shape, dtype=kind)
        tensors[name] = tensor
    return Checkpoint(step, tensors, values), sealed


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def module_tensors(modules: Mapping[str, nn.Module]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The parameters and buffers of modules, each storage once.

    Returns:
        Tensors on the CPU by ``player.name``, and for each tied name the one that holds its values.
    """
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for player, module in modules.items():
        for name, tensor in module.state_dict().items():
            full = f"module.{player}.{name}"
            place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if tensor.numel() and place in seen:
                tied[full] = seen[place]
                continue
            seen[place] = full
            tensors[full] = tensor.detach().cpu()
    return tensors, tied


def restore_modules(modules: Mapping[str, nn.Module], checkpoint: Checkpoint, *, where: Path | str) -> None:
    """Load into modules what `module_tensors` took from them.

    Raises:
        FileError: The modules have other parameters, or parameters of other shapes.
    """
    tied = checkpoint.values["tied"]
    for player, module in modules.items():
        prefix = f"module.{player}."
        held = {name: checkpoint.tensors[tied.get(name, name)] for name in _names(checkpoint, prefix, tied)}
        wanted = {prefix + name: tensor for name, tensor in module.state_dict().items()}
        for name in sorted(held.keys() ^ wanted.keys()):
            side = "has" if name in held else "lacks"
            raise FileError(
                where, f"the checkpoint {side} {name.removeprefix(prefix)!r}, so it is of another model: {_ANEW}"
            )
        for name, tensor in wanted.items():
            if held[name].shape != tensor.shape:
                raise FileError(
                    where,
                    f"{name.removeprefix(prefix)!r} has shape {list(held[name].shape)} in the checkpoint and "
                    f"{list(tensor.shape)} in the model: {_ANEW}",
                )
        module.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in held.items()})


_ANEW = "give the settings that it was made with, or start in a new directory"


def _names(checkpoint: Checkpoint, prefix: str, tied: Iterable[str]) -> set[str]:
    return {name for name in (*checkpoint.tensors, *tied) if name.startswith(prefix)}


def optimizer_tensors(
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of optimisers: tensors on the CPU by name, and what is no tensor (fit for JSON)."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for player, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                name = f"optimizer.{player}.{index}.{key}"
                if isinstance(value, torch.Tensor):
                    tensors[name] = value.detach().cpu()
                else:
                    values[name] = value
    return tensors, values


def optimized_shapes(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, list[list[int]]]:
    """The shapes of what each optimiser trains, in its order, to which its state belongs."""
    return {
        player: [list(p.shape) for group in optimizer.param_groups for p in group["params"]]
        for player, optimizer in optimizers.items()
    }


def restore_optimizers(optimizers: Mapping[str, torch.optim.Optimizer], checkpoint: Checkpoint) -> None:
    """Load into optimisers what `optimizer_tensors` took from them."""
    held: dict[str, Any] = {**checkpoint.tensors, **checkpoint.values["optimizers"]}
    for player, optimizer in optimizers.items():
        state: dict[int, dict[str, Any]] = {}
        for name, value in held.items():
            if name.startswith(f"optimizer.{player}."):
                index, key = name.removeprefix(f"optimizer.{player}.").split(".", 1)
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        for parameter, kept in optimizer.state.items():
            for key, value in kept.items():
                # Files know no memory formats, and torch's fused AdamW goes through memory as if all were laid out as
                # the first: moments in another order would be those of other weights.
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    kept[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
