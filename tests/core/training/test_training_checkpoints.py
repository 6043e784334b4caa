"""Checkpoints: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import Net, Numbers, make_step, same_bits, settings, weights_of

from nlprep.core.errors import FileError
from nlprep.core.ownership import claim_run
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import (
    Checkpoint,
    Checkpoints,
    CheckpointWarning,
    module_tensors,
    optimizer_tensors,
    restore_modules,
    restore_optimizers,
)
from nlprep.core.training.records.journal import Journal, read_metrics

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
]  # fmt: skip


def some(step: int) -> Checkpoint:
    return Checkpoint(step, {"a": torch.arange(300.0) + step}, {"note": f"of {step}", "tied": {}})


def test_every_dtype_and_shape_comes_back(tmp_path: Path) -> None:
    values = torch.arange(24) % 2
    tensors = {str(dtype): values.to(dtype).reshape(2, 3, 4) for dtype in DTYPES}
    tensors |= {f"{dtype} turned": values.to(dtype).reshape(4, 6).T for dtype in DTYPES}
    tensors |= {f"{dtype} scalar": values.to(dtype)[1] for dtype in DTYPES}
    tensors |= {f"{dtype} empty": values.to(dtype)[:0].reshape(0, 3) for dtype in DTYPES}
    tensors["odd"] = torch.tensor([float("nan"), float("-inf"), -0.0]).bfloat16()
    plain = {"none": None, "float": 0.1 + 0.2, "nested": {"é": [1, "two"]}}
    kept = Checkpoints(tmp_path / "checkpoints", keep=2)
    kept.save(Checkpoint(7, tensors, plain))
    loaded = kept.load_latest()
    assert loaded is not None
    assert (loaded.step, loaded.values, loaded.tensors.keys()) == (7, plain, tensors.keys())
    for name, tensor in tensors.items():
        back = loaded.tensors[name]
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape), name
        bits = [t.contiguous().reshape(-1).view(torch.uint8).tolist() for t in (back, tensor)]
        assert bits[0] == bits[1], name


def test_tied_weights_are_written_once_and_stay_tied() -> None:
    def make() -> nn.Module:
        module = nn.ModuleDict(
            {"in": nn.Embedding(9, 4), "out": nn.Linear(4, 9, bias=False), "norm": nn.BatchNorm1d(4)}
        )
        module["out"].weight = module["in"].weight
        return module.bfloat16()

    module = make()
    tensors, tied = module_tensors({"model": module})
    assert tied == {"module.model.out.weight": "module.model.in.weight"}
    assert "module.model.out.weight" not in tensors
    other = make()
    restore_modules({"model": other}, Checkpoint(1, tensors, {"tied": tied}), where="here")
    assert other["out"].weight is other["in"].weight
    assert all(
        torch.equal(one, two)
        for one, two in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.SGD, torch.optim.RMSprop])
def test_optimisers_go_on_where_they_were(tmp_path: Path, kind: type[torch.optim.Optimizer]) -> None:
    def moved(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, steps: int) -> None:
        for _ in range(steps):
            parameter.grad = parameter.detach().sin()
            optimizer.step()

    options = {"lr": 0.1} | ({"momentum": 0.9} if kind is torch.optim.SGD else {})
    one, other = nn.Parameter(torch.arange(6.0)), nn.Parameter(torch.arange(6.0))
    whole, first = kind([one], **options), kind([other], **options)
    moved(whole, one, 5)
    moved(first, other, 3)
    tensors, values = optimizer_tensors({"model": first})
    kept = Checkpoints(tmp_path / "checkpoints", keep=1)
    kept.save(Checkpoint(3, tensors, {"optimizers": values}))
    second = kind([other], **options)
    loaded = kept.load_latest()
    assert loaded is not None
    restore_optimizers({"model": second}, loaded)
    moved(second, other, 2)
    assert torch.equal(one, other)


@pytest.mark.parametrize("fused", [False, True])
def test_moments_are_laid_out_as_their_weights_are(fused: bool) -> None:
    def trained(restarted: bool) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
            batches = torch.randn(4, 2, 3, 5, 6)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=fused)
        for number, batch in enumerate(batches):
            if restarted and number == 2:
                tensors, values = optimizer_tensors({"a": optimizer})
                tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
                optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=fused)
                restore_optimizers({"a": optimizer}, Checkpoint(2, tensors, {"optimizers": values}))
            optimizer.zero_grad()
            net(batch).square().sum().backward()
            optimizer.step()
        return net.weight.detach()

    assert torch.equal(trained(True), trained(False))


def damaged(raw: bytes, how: float | str) -> bytes:
    if how == "flip":
        place = len(raw) * 2 // 3
        return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
    return raw[: int(len(raw) * float(how))] if float(how) < 1 else raw[:-1]


@pytest.mark.parametrize("file", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("how", [0.0, 0.01, 0.5, 1.0, "flip", "gone"])
def test_a_damaged_one_is_named_and_the_one_before_used(tmp_path: Path, file: str, how: float | str) -> None:
    kept = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        kept.save(some(step))
    assert kept.steps() == [2, 3]
    path = tmp_path / "checkpoints" / "step-000000003" / file
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.warns(CheckpointWarning, match=r"step-000000003.*; using the one of step 2 instead") as caught:
        loaded = kept.load_latest()
    assert len(caught) == 1
    assert loaded is not None
    assert (loaded.step, loaded.values["note"]) == (2, "of 2")
    assert torch.equal(loaded.tensors["a"], some(2).tensors["a"])
    # The damaged one neither stands in the way nor counts among those kept.
    again = shutil.copytree(tmp_path / "checkpoints", tmp_path / "again")
    kept.save(some(3))
    assert kept.steps() == [2, 3]
    assert kept.load_latest().step == 3  # type: ignore[union-attr]
    later = Checkpoints(again, keep=2)
    with pytest.warns(CheckpointWarning):
        later.load_latest()
    later.save(some(5))
    assert later.steps() == [2, 5]


def test_every_byte_of_the_state_counts(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=1)
    kept.save(some(1))
    path = tmp_path / "step-000000001" / "state.json"
    raw = path.read_bytes()
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        with pytest.raises(FileError, match="no checkpoint is whole"):
            kept.load_latest()
    path.write_bytes(raw)
    assert kept.load_latest() is not None


def test_damage_is_repaired_by_going_on(tmp_path: Path) -> None:
    whole = make_step(Net(dropout=0.2))
    fit(whole, Numbers(), config=settings(checkpoint_every=4), directory=tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step-000000012" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    again = make_step(Net(dropout=0.2))
    with pytest.warns(CheckpointWarning, match="damaged or cut short; using the one of step 8"):
        history = fit(again, Numbers(), config=settings(checkpoint_every=4), directory=tmp_path / "run")
    assert history.resumed_from == 8
    assert same_bits(weights_of(again), weights_of(whole))
    for path in (tmp_path / "run" / "checkpoints").glob("step-*/state.json"):
        path.write_bytes(b"{}")
    with pytest.raises(FileError, match=r"no checkpoint is whole .*: remove the directory to start anew") as caught:
        fit(again, Numbers(), config=settings(checkpoint_every=4), directory=tmp_path / "run")
    assert "\n" not in str(caught.value)


@contextmanager
def file_size_limit(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_earlier_ones_whole(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints", keep=1)
    kept.save(some(1))
    for limit in (0, 8, 500, 1300):
        with file_size_limit(limit), pytest.raises(FileError, match=r"step-000000002: .*nothing was changed") as caught:
            kept.save(some(2))
        assert "\n" not in str(caught.value)
        assert ".tmp" not in str(caught.value)
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000001"]
        assert kept.load_latest().values["note"] == "of 1"  # type: ignore[union-attr]
    run = tmp_path / "run"
    fit(make_step(Net()), Numbers(), config=settings(steps=4), directory=run)
    with file_size_limit(1500), pytest.raises(FileError, match="nothing was changed"):
        fit(
            make_step(Net()),
            Numbers(),
            config=settings(steps=12, warmup=0, schedule="constant"),
            directory=tmp_path / "x",
        )
    assert Checkpoints(run / "checkpoints", keep=1).load_latest().step == 4  # type: ignore[union-attr]


def test_the_last_ones_are_kept_and_leftovers_removed(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=3)
    assert kept.load_latest() is None
    kept.save(some(1))
    for name in (
        ".step-000000001.nlprep-ab12ab12.tmp",
        ".step-000000001.nlprep-xyxyxyxy.old",
        ".best.nlprep-qqqqqqqq.tmp",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_bytes(b"half")
    (tmp_path / "notes").mkdir()
    kept.save_best(some(1))
    for step in (2, 3, 4, 5):
        kept.save(some(step))
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes",
        "best",
        *(f"step-00000000{step}" for step in (3, 4, 5)),
    }
    assert kept.load_best(1).values["note"] == "of 1"
    with pytest.raises(FileError, match="holds the weights of step 1, not of 4"):
        kept.load_best(4)


def test_a_run_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError) as caught:
        fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)
    with pytest.raises(FileError):
        fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path / "file")


def test_metrics_are_read_but_for_a_last_line_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    claim_run(tmp_path, "a-run", ["metrics.jsonl"])
    journal = Journal(path)
    journal.append({"step": 1, "loss": 0.5})
    journal.append({"step": 2, "loss": float("nan"), "count": 3})
    expected = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None, "count": 3}]
    assert read_metrics(path) == journal.records == expected
    with path.open("a") as stream:
        stream.write('{"step": 3, "lo')
    assert read_metrics(path) == expected
    resumed = Journal(path)
    resumed.rewind(5, 1)
    resumed.append({"step": 2, "loss": 0.25})
    assert read_metrics(path) == resumed.records == [expected[0], {"step": 2, "loss": 0.25}]
    path.write_text('{"step": 1}\n{"loss": 2}\n{"step": 3}\n')
    with pytest.raises(FileError, match=r"metrics.jsonl:2: is not a JSON object with a step: remove the line"):
        read_metrics(path)
    with pytest.raises(FileError, match="no such file"):
        read_metrics(tmp_path / "nothing.jsonl")
    unwritten = Journal(None)
    unwritten.append({"step": 1})
    unwritten.rewind(0, 0)
    assert unwritten.records == []


def test_numbers_of_numpy_and_torch_are_recorded_as_numbers(tmp_path: Path) -> None:
    def evaluate(_: object) -> dict:
        return {"accuracy": np.float32(0.5), "rank": torch.tensor(2), "count": 3}

    fit(make_step(Net()), Numbers(), config=settings(steps=2), directory=tmp_path, evaluate=evaluate)
    assert {"step": 2, "accuracy": 0.5, "rank": 2.0, "count": 3.0} in read_metrics(tmp_path / "metrics.jsonl")
