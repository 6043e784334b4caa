"""What makes training fast and leaves its result alone: precision, compiling; and the rates that are recorded."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_reference import close
from training_toys import Net, Numbers, counted, make_step, settings, weights_of, without_speeds

from nlprep.core.errors import OptionError
from nlprep.core.training.loop import fit
from nlprep.core.training.records.journal import read_metrics
from nlprep.core.training.records.throughput import Meter, abbreviate, peak_flops
from nlprep.core.training.steps.precision import choose_precision
from nlprep.core.training.steps.step import PlainStep


def fake_accelerator(mixed_precision: str, device: str = "cpu") -> Any:
    return SimpleNamespace(mixed_precision=mixed_precision, device=torch.device(device))


def test_the_precision_follows_the_hardware_and_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in (True, False):
        monkeypatch.setattr("nlprep.core.training.steps.precision.has_bf16", lambda _, able=able: able)
        assert choose_precision("auto", fake_accelerator("no")) == ("bf16" if able else "fp32")
        assert choose_precision("auto", fake_accelerator("bf16")) == "bf16"
        assert choose_precision("fp32", fake_accelerator("no", "cuda")) == "fp32"
        assert choose_precision("bf16", fake_accelerator("no")) == "bf16"
    with pytest.raises(OptionError, match="this GPU does not compute it; use fp32"):
        choose_precision("bf16", fake_accelerator("no", "cuda"))
    with pytest.raises(OptionError, match="mixed precision fp16: choose bf16 or no"):
        choose_precision("auto", fake_accelerator("fp16"))
    with pytest.raises(OptionError, match="precision = 'fp32', but Accelerate was told to use bf16"):
        choose_precision("fp32", fake_accelerator("bf16"))


def test_weights_stay_in_fp32_under_bf16_and_learn_the_same() -> None:
    seen = []

    class Peeking(Net):
        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            seen.append(self.first(batch["x"]).dtype)
            return super().forward(**batch)

    config = {"steps": 60, "log_every": 20}
    one, other = make_step(Net()), make_step(Peeking())
    whole = fit(one, Numbers(), config=settings(**config))
    half = fit(other, Numbers(), config=settings(**config, precision="bf16"))
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in other.module.parameters()} == {torch.float32}
    assert half.last("loss") == pytest.approx(whole.last("loss"), rel=0.1)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H200", 989), ("NVIDIA GH200 480GB", 989),
        ("NVIDIA A100-SXM4-40GB", 312), ("NVIDIA L4", 121), ("NVIDIA L40", 181), ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165), ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA RTX A4000", None),
        ("Tesla T4", None),
    ],
)  # fmt: skip
def test_peaks_are_found_by_whole_words(monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    device = torch.device("cuda", 0)
    assert peak_flops(device, "bf16") == (None if peak is None else peak * 1e12)
    assert peak_flops(device, "fp32") is None
    assert peak_flops(torch.device("cpu"), "bf16") is None


def test_utilisation_is_recorded_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlprep.core.training.records.recording.peak_flops", lambda *_: 1e6)
    step = PlainStep(
        Net(), weight=counted, num_units=lambda batch: 3 * len(batch["x"]), unit="terms", flops_per_unit=10.0
    )
    history = fit(step, Numbers(), config=settings())
    for record in history.records:
        assert record["mfu"] == pytest.approx(record["terms_per_second"] * 10 / 1e6, rel=0.02)
    assert all("mfu" not in record for record in fit(make_step(Net()), Numbers(), config=settings()).records)


def test_rates_leave_out_what_was_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("nlprep.core.training.records.throughput.time.perf_counter", lambda: next(clock))
    meter = Meter()
    meter.count(30)
    meter.count(10)
    meter.leave_out(6.0)
    assert meter.read() == 10.0
    meter.count(5)
    assert meter.read() == 0.5
    assert [abbreviate(n) for n in (0.5, 999, 12_340, 4.56e6, 2e9)] == ["0.5", "999", "12.3k", "4.56M", "2G"]


@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("c++") is None, reason="compiling needs a C++ compiler"
)
@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_keeps_its_names(tmp_path: Path) -> None:
    plain, compiled = make_step(Net()), make_step(Net())
    names = list(compiled.module.state_dict())
    config = {"steps": 4, "log_every": 1}
    expected = fit(plain, Numbers(), config=settings(**config), validation=Numbers(11))
    history = fit(
        compiled, Numbers(), config=settings(**config, compile=True), validation=Numbers(11), directory=tmp_path
    )
    assert list(compiled.module.state_dict()) == names
    assert compiled.module._compiled_call_impl is None
    assert close(weights_of(compiled), weights_of(plain), 1e-4)
    for one, other in zip(history.records, expected.records, strict=True):
        assert without_speeds([one])[0] == pytest.approx(without_speeds([other])[0], rel=1e-3)
    assert without_speeds(read_metrics(tmp_path / "metrics.jsonl")) == without_speeds(history.records)
