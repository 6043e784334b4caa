"""What a step of training keeps for its gradient: the memory that a model's depth costs, whatever the device."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.step import Moment
from vision.backbones.vit import TransformerBlock
from vision.images.collection import ImageExamples
from vision.models.methods import find_method, name_of
from vision.models.model import CanDecode

if TYPE_CHECKING:
    from torch import Tensor

    from nlprep.core.training.steps.step import Step
    from vision.images.collection import Images
    from vision.models.model import ImageModel

_BATCH = 16


def gradient_bytes(model: ImageModel, images: Images) -> float:
    """Bytes for each image that are kept at once, at the most, between computing a loss and its gradient.

    Storages that tensors kept for the gradient lie in are counted, each once and as long as something keeps it; weights
    are not, as they are there anyhow. Of several players it is the one with the most. Optimisers, and what operations
    need for a moment, come on top.

    Args:
        model: It stays as it is.
        images: Of its shape, of which at most 16 are taken.
    """
    method = find_method(name_of(model))
    some = images.select(np.arange(min(_BATCH, len(images))))
    examples = ImageExamples(some, labels=method.labelled, keys=method.keyed)
    device = next(model.parameters()).device
    places = np.arange(len(some), dtype=np.int64)
    batch = {name: value.to(device) for name, value in examples.batch(places, places.astype(np.uint64)).items()}
    before = {buffer: buffer.clone() for buffer in model.buffers()}
    training = model.training
    step = model.step()
    most = 0
    try:
        model.train()
        for player in step.players:
            with seeded_torch(1):
                most = max(most, _kept_by(model, step, player, batch))
    finally:
        model.train(training)
        with torch.no_grad():
            for buffer, value in before.items():
                buffer.copy_(value)
    return most / len(some)


def planned_bytes(plan: ImageModel) -> float:
    """Bytes of float32 for each image that are kept for a gradient at the least, by a model that has no numbers yet.

    Of a loss that asks for numbers, as some do that check them, no step can be looked at; then it is what the codes of
    images keep and, if it makes images of codes, these; and 0 of a model whose codes ask for numbers, too, and of
    transformers, as how much attention keeps is a matter of the hardware.

    Args:
        plan: As `vision.requirements.plan_model` makes it.
    """
    if any(isinstance(part, TransformerBlock) for part in plan.modules()):
        return 0.0
    plan.train()
    with torch.device("meta"), torch.enable_grad():
        batch = {"images": torch.empty(_BATCH, *plan.shape, dtype=torch.uint8)}
        for name in ("labels", "keys"):
            if plan.num_classes if name == "labels" else find_method(name_of(plan)).keyed:
                batch[name] = torch.empty(_BATCH, dtype=torch.int64)
        with suppress(RuntimeError):
            return max(_kept_by(plan, plan.step(), player, batch) for player in plan.step().players) / _BATCH
        count = _Count({_storage(parameter)[0] for parameter in plan.parameters()})
        with torch.autograd.graph.saved_tensors_hooks(count.keep, _give), suppress(RuntimeError):
            codes = plan.encode(batch["images"])
            if isinstance(plan, CanDecode) and not plan.num_classes:
                plan.decode(codes)
        return count.most / _BATCH


def _kept_by(model: ImageModel, step: Step, player: str, batch: dict[str, Tensor]) -> int:
    """Bytes that a player's losses of a batch keep at the most."""
    count = _Count({_storage(parameter)[0] for parameter in model.parameters()})
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count.keep, _give):
        losses = step.losses(player, dict(step.players), batch, moment=Moment(0, 1))
    del losses
    return count.most


class _Count:
    """Bytes that are kept now, and were at the most."""

    def __init__(self, known: set[int]) -> None:
        self.known, self.kept = known, dict[int, int]()
        self.now = self.most = 0

    def keep(self, tensor: torch.Tensor) -> Any:
        place, size = _storage(tensor)
        if place in self.known:
            return tensor
        return _Kept(tensor, self, place, size)


class _Kept:
    """A tensor that is kept, for as long as this is."""

    def __init__(self, tensor: torch.Tensor, count: _Count, place: int, size: int) -> None:
        self.tensor, self.count, self.place, self.size = tensor, count, place, size
        held = count.kept.get(place, 0)
        count.kept[place] = held + 1
        if not held:
            count.now += size
            count.most = max(count.most, count.now)

    def __del__(self) -> None:
        self.count.kept[self.place] -= 1
        if not self.count.kept[self.place]:
            self.count.now -= self.size


def _give(kept: Any) -> torch.Tensor:
    tensor: torch.Tensor = kept.tensor if isinstance(kept, _Kept) else kept
    return tensor


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    # Without numbers all would lie in one place.
    return storage._cdata if tensor.is_meta else storage.data_ptr(), storage.nbytes()  # noqa: SLF001
