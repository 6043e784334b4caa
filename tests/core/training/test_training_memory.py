"""Memory that runs out: what is said, what is halved, and what it costs."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from training_reference import close, reference
from training_toys import Duel, Net, Numbers, make_step, same_bits, settings, weights_of

from nlprep.core.errors import NlprepError
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import Checkpoints


class Small(Net):
    """Has memory for so many examples, from a certain call on."""

    def __init__(self, most: int, *, calls: int = 0, dropout: float = 0.0) -> None:
        super().__init__(dropout=dropout)
        self.most, self.left = most, calls
        self.held: list[weakref.ref] = []

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        self.left -= 1
        if len(batch["x"]) > self.most and self.left < 0:
            activations = batch["x"] * 2
            self.held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return super().forward(**batch)


def test_memory_that_runs_out_names_what_to_lower(tmp_path: Path) -> None:
    config = settings(checkpoint_every=2)
    step = make_step(Small(4, calls=3), coupled=False)
    with pytest.raises(
        NlprepError, match="memory ran out in step 4 with 8 examples at once: lower micro_batch_size"
    ) as caught:
        fit(step, Numbers(), config=config, directory=tmp_path)
    assert "\n" not in str(caught.value)
    assert Checkpoints(tmp_path / "checkpoints", keep=2).steps() == [2, 3]
    halving = settings(halve_on_out_of_memory=True)
    with pytest.raises(NlprepError, match="with 1 examples at once"):
        fit(make_step(Small(0), coupled=False), Numbers(), config=halving)


@pytest.mark.slow
def test_halving_is_as_if_it_had_been_so_from_the_start(tmp_path: Path) -> None:
    small = make_step(Net(dropout=0.2))
    fit(small, Numbers(), config=settings(micro_batch_size=2), validation=Numbers(9))
    halved = make_step(Small(3, dropout=0.2), coupled=False)
    config = settings(halve_on_out_of_memory=True)
    fit(halved, Numbers(), config=config, validation=Numbers(9), directory=tmp_path)
    assert same_bits(weights_of(halved), weights_of(small))
    # A run that goes on knows, and need not meet the wall again.
    again = Small(3)
    more = settings(steps=14, halve_on_out_of_memory=True)
    fit(make_step(again, coupled=False), Numbers(), config=more, directory=tmp_path, validation=Numbers(9))
    assert again.held == []
    # Without dropout it is the same whenever it happens, but for rounding.
    later = make_step(Small(2, calls=7), coupled=False)
    fit(later, Numbers(), config=settings(halve_on_out_of_memory=True, workers=1))
    assert close(weights_of(later), reference(settings())[0])


def test_what_filled_the_memory_is_gone_before_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlprep.core.training.loop import _Loop

    alive = []
    halve = _Loop._halve

    def watched(self: Any, error: Any) -> None:
        alive.append([reference() is not None for reference in model.held])
        halve(self, error)

    monkeypatch.setattr(_Loop, "_halve", watched)
    model = Small(2)
    gc.disable()  # the reference counts alone must do it
    try:
        fit(make_step(model, coupled=False), Numbers(), config=settings(halve_on_out_of_memory=True))
    finally:
        gc.enable()
    assert alive == [[False], [False, False]]


def test_a_micro_batch_that_was_chosen_may_be_raised_later(tmp_path: Path) -> None:
    sizes = []

    class Seen(Net):
        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            sizes.append(len(batch["x"]))
            return super().forward(**batch)

    fit(make_step(Seen(), coupled=False), Numbers(), config=settings(steps=2, micro_batch_size=2), directory=tmp_path)
    fit(make_step(Seen(), coupled=False), Numbers(), config=settings(steps=4, micro_batch_size=8), directory=tmp_path)
    assert sizes == [2] * 8 + [8] * 2


def test_memory_that_runs_out_in_a_later_turn_does_not_repeat_the_first() -> None:
    class Tight(Duel):
        full = True

        def losses(self, player: str, modules: Any, batch: Any, *, moment: Any) -> dict[str, torch.Tensor]:
            if self.full and player == "generator" and len(batch["x"]) > 4:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return super().losses(player, modules, batch, moment=moment)

    tight = Tight()
    fit(tight, Numbers(), config=settings(halve_on_out_of_memory=True))
    assert tight.updated == ["discriminator", "generator"] * 12
