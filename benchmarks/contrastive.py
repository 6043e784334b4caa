"""Views of images per second: this project's batched views against Pillow an image at a time, and against kornia.

The same images (CIFAR-10's, or drawn ones where they are not there) and the same kinds of change in one run, each
contender in turn::

    python -m benchmarks.contrastive                      three minutes
    python -m benchmarks.contrastive --kornia DIR         with kornia, whose packages lie in DIR
    python -m benchmarks.contrastive --quick              half a minute

DIR is made by ``pip install --no-deps --target DIR kornia kornia_rs``, which leaves torch as it is.

A view of 32 x 32 pixels is a crop of 8 to 100% of the area brought to the image's size, mirrored half of the time,
jittered with a probability of 0.8 (brightness, contrast and saturation by 0.4, hue by 0.1, in random order) and
grey with one of 0.2. Contenders:

- *Pillow*: what torchvision's transforms do with Pillow's pictures, in the same calls, an image at a time, in one
  process, as one worker of a loader does;
- *kornia*: its augmentations of the whole batch of floats, each image with its own draw (``same_on_batch=False``);
- *ours*: `vision.views.making.make_views`, from bytes, keys included.

Measured is wall clock, and the time of processors, which is what to compare where the machine has other work to do: of
two idle processors ours and kornia use both. In each repeat a contender makes as many batches as take it about as long
as the others, so that what else runs disturbs all alike.

Then NT-Xent of 256 pairs of 128 numbers, forward and backward, against the plain form, one product of all views whose
diagonal is masked, and against one of four products, of which two lose their diagonals by an index.

Last what it costs to divide a batch by cached gradients: a step of SimCLR with its usual network on 512 images, whole
and in parts, each in a process of its own, of one thread. Memory is what the steps add to what the process had, at the
most.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import torch
from PIL import Image, ImageEnhance
from torch.nn.functional import cross_entropy, normalize

from benchmarks.report import apart, describe_machine, high_water, median, print_claim, print_table
from nlprep.core.memory import kept_memory
from nlprep.core.threads import resolve_threads, torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.processes import make_accelerator
from nlprep.core.training.steps.updates import Updates
from nlprep.objectives.info_nce import nt_xent
from vision.models.simclr import SimClr
from vision.models.view_configuration import SimClrConfig
from vision.presets import default_backbone
from vision.views.configuration import ViewConfig
from vision.views.making import make_views

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "images" / "cifar10_jpeg_20k_5k.zip"
BATCH = 512
CONFIG = ViewConfig()
TEMPERATURE = 0.5
PARTS = (1, 4, 16)
BATCHES = {"Pillow": 1, "kornia": 2, "ours": 20}
_SETTLING = 0.02
TARGETS = {"Pillow": 20.0, "kornia": 8.0}


def load_pixels() -> np.ndarray:
    """(512, 3, 32, 32) bytes."""
    if SHARED.is_file():
        from vision.images.reading import read_images

        return np.ascontiguousarray(read_images(SHARED, split="train").pixels[:BATCH])
    return np.random.default_rng(1).integers(0, 256, (BATCH, 3, 32, 32), np.uint8)


def pillow_views(pictures: list[Image.Image], draws: np.random.Generator) -> list[np.ndarray]:
    """Views by the calls that torchvision makes, draws included."""
    made = []
    for picture in pictures:
        width, height = picture.size
        box = (0, 0, width, height)
        for _ in range(10):
            area = width * height * draws.uniform(CONFIG.least_crop, 1)
            ratio = math.exp(draws.uniform(-1, 1) * math.log(CONFIG.stretch))
            across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if across <= width and down <= height:
                left, top = int(draws.integers(0, width - across + 1)), int(draws.integers(0, height - down + 1))
                box = (left, top, left + across, top + down)
                break
        view = picture.crop(box).resize((width, height), Image.Resampling.BILINEAR)
        if draws.random() < CONFIG.flip:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if draws.random() < CONFIG.jitter:
            reach = 0.8 * CONFIG.strength
            for change in draws.permutation(4):
                if change < 3:
                    kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[change]
                    view = kind(view).enhance(draws.uniform(1 - reach, 1 + reach))
                else:
                    hue, saturation, value = view.convert("HSV").split()
                    turned = np.asarray(hue) + np.uint8(int(255 * draws.uniform(-reach, reach) / 4) % 256)
                    view = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
        if draws.random() < CONFIG.grey:
            view = view.convert("L").convert("RGB")
        made.append(np.asarray(view, np.float32).transpose(2, 0, 1) / 255)
    return made


def kornia_views(place: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], str]:
    """What makes views of batches of floats by the peer, and its version."""
    sys.path.append(place)
    import kornia  # type: ignore[import-not-found]
    from kornia import augmentation as changes

    reach = 0.8 * CONFIG.strength
    module = changes.AugmentationSequential(
        changes.RandomResizedCrop((32, 32), scale=(CONFIG.least_crop, 1.0), ratio=(1 / CONFIG.stretch, CONFIG.stretch)),
        changes.RandomHorizontalFlip(p=CONFIG.flip),
        changes.ColorJitter(reach, reach, reach, reach / 4, p=CONFIG.jitter),
        changes.RandomGrayscale(p=CONFIG.grey),
        same_on_batch=False,
    )
    return module, str(kornia.__version__)


def time_both(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall clock and of processors, once threads of what was called before have stopped to wait for more."""
    time.sleep(_SETTLING)
    before = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - before[0], time.process_time() - before[1]


def call_often(function: Callable[[], Any], times: int) -> None:
    """Call it so often."""
    for _ in range(times):
        function()


def measure_views(*, repeats: int, threads: int, kornia: str | None) -> None:
    """Print the table and the claims of views."""
    pixels = load_pixels()
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]
    images = torch.from_numpy(pixels)
    draws = np.random.default_rng(1)
    keys = torch.arange(len(images))
    peers = {"Pillow": f"Pillow {PIL.__version__}"}
    who: dict[str, Callable[[], Any]] = {"Pillow": lambda: pillow_views(pictures, draws)}
    if kornia is not None:
        module, version = kornia_views(kornia)
        peers["kornia"] = f"kornia {version}"
        who["kornia"] = lambda: module(images.float() / 255)
    who["ours"] = lambda: make_views(images, keys, CONFIG)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in who}
    for repeat in range(repeats + 1):
        for name, function in who.items():
            found = time_both(partial(call_often, function, BATCHES[name]))
            if repeat:
                taken[name].append(found)
    views = {name: BATCH * BATCHES[name] for name in who}
    wall = {name: median([one[0] for one in found]) / views[name] for name, found in taken.items()}
    processor = {name: min(one[1] for one in found) / views[name] for name, found in taken.items()}
    print_table(
        f"Views of 32 x 32 from batches of {BATCH}, {threads} thread(s), {repeats} repeats",
        ["", "views/s", "per processor second"],
        [[name, f"{1 / wall[name]:,.0f}", f"{1 / processor[name]:,.0f}"] for name in who],
    )
    for name, peer in peers.items():
        print_claim(
            "views of images/s",
            peer=peer,
            ratio=wall[name] / wall["ours"],
            quality={"equal to Pillow for the same draws": "tests/vision/test_views.py"},
            summary=f"target {TARGETS[name]:.0f}",
            processor_ratio=round(processor[name] / processor["ours"], 2),
            threads=threads,
        )
    print()


def plain_contrast(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """NT-Xent as a few lines say it."""
    views = normalize(torch.cat([first, second]), dim=1)
    logits = (views @ views.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(views)).roll(len(first)))


def contrast_of_blocks(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """NT-Xent with a block for each two kinds of view, of which an index takes the diagonals out."""
    one, other = normalize(first, dim=1), normalize(second, dim=1)
    count = len(one)
    away = ~torch.eye(count, dtype=torch.bool)
    own, others = ((kind @ kind.T / TEMPERATURE)[away].view(count, count - 1) for kind in (one, other))
    logits = torch.cat(
        [torch.cat([one @ other.T / TEMPERATURE, own], 1), torch.cat([other @ one.T / TEMPERATURE, others], 1)]
    )
    return cross_entropy(logits, torch.arange(count).repeat(2))


def backwards(loss: Callable[[], torch.Tensor]) -> None:
    """A loss, and its gradient."""
    loss().backward()  # type: ignore[no-untyped-call]


def measure_contrast(*, repeats: int, threads: int) -> None:
    """Print what the loss takes."""
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(256, 128, generator=generator, requires_grad=True) for _ in range(2))
    losses: dict[str, Callable[[], torch.Tensor]] = {
        "ours": lambda: nt_xent(first, second, temperature=TEMPERATURE),
        "plain": lambda: plain_contrast(first, second),
        "in four blocks": lambda: contrast_of_blocks(first, second),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in losses}
    values: dict[str, float] = {}
    gradients: dict[str, torch.Tensor] = {}
    for _ in range(3 * repeats):
        for name, loss in losses.items():
            first.grad = second.grad = None
            values[name] = float(loss().detach())
            taken[name].append(time_both(partial(backwards, loss)))
            gradients[name] = torch.cat([first.grad, second.grad])  # type: ignore[list-item]
    wall = {name: median([one[0] for one in found]) for name, found in taken.items()}
    processor = {name: min(one[1] for one in found) for name, found in taken.items()}
    print_table(
        f"NT-Xent, 256 pairs of 128, forward and backward, {threads} thread(s)",
        ["", "ms", "processor ms, least"],
        [[name, f"{1000 * wall[name]:.2f}", f"{1000 * processor[name]:.2f}"] for name in losses],
    )
    for name, peer in (("plain", "the plain form"), ("in four blocks", "four blocks")):
        print_claim(
            "NT-Xent/s",
            peer=peer,
            ratio=wall[name] / wall["ours"],
            quality={
                "loss apart by": round(abs(values[name] - values["ours"]), 7),
                "gradient apart by": float(f"{(gradients[name] - gradients['ours']).abs().max():.1g}"),
            },
            summary="with gradients",
            processor_ratio=round(processor[name] / processor["ours"], 2),
            threads=threads,
        )
    print()


def step_in_parts(parts: int, steps: int) -> tuple[list[tuple[float, float]], int, torch.Tensor]:
    """Seconds of each step (wall, processors), bytes that they added at the most, and the first step's gradient."""
    torch.set_num_threads(1)
    pixels = torch.from_numpy(load_pixels())
    shape = (3, 32, 32)
    backbone = default_backbone("simclr", shape)
    model = SimClr(shape, SimClrConfig() if backbone is None else SimClrConfig(backbone=backbone))
    training = TrainingConfig(batch_size=BATCH, micro_batch_size=BATCH // parts, precision="fp32", clip_norm=None)
    updates = Updates(model.step(), training, make_accelerator(training, None), steps + 1)
    keys = torch.arange(BATCH)
    batch = [{"images": some, "keys": own} for some, own in zip(pixels.chunk(parts), keys.chunk(parts), strict=True)]
    model.network.make(pixels[:8], keys[:8])
    before = high_water()
    taken, gradient = [], torch.zeros(0)
    with kept_memory():
        for number in range(steps + 1):
            taken.append(time_both(partial(updates.update, number, batch, stop=False)))
            if number == 0:
                gradient = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])
    # The first step makes what is made once.
    return taken[1:], high_water() - before, gradient


def measure_parts(*, steps: int) -> None:
    """Print what a batch of one part and of several costs."""
    rows, found = [], {parts: apart(step_in_parts, parts, steps) for parts in PARTS}
    whole, most, wanted = found[1]
    for parts, (taken, added, gradient) in found.items():
        processor = min(one[1] for one in taken)
        rows.append(
            [
                parts, f"{median([one[0] for one in taken]):.2f}", f"{processor:.2f}",
                f"{processor / min(one[1] for one in whole):.2f}", f"{added / 1e6:,.0f}", f"{added / most:.2f}",
                f"{float((gradient - wanted).norm() / wanted.norm()):.1g}",
            ]
        )  # fmt: skip
    print_table(
        f"A step of SimCLR on {BATCH} images, two views each, one thread, {steps} steps",
        ["parts", "s", "processor s, least", "of the whole", "MB more", "of the whole", "gradient apart by"],
        rows,
    )


def main() -> None:
    """Measure, and print tables and claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kornia", help="a directory with kornia's packages; without it, it is left out")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--threads", type=int, default=None, help="processor threads (default: all)")
    options = parser.parse_args()
    threads = resolve_threads(options.threads)
    print(f"{describe_machine()}, load {os.getloadavg()[0]:.0f}")
    with torch_threads(threads), kept_memory():
        measure_contrast(repeats=2 if options.quick else 10, threads=threads)
        measure_views(repeats=3 if options.quick else 20, threads=threads, kornia=options.kornia)
    measure_parts(steps=2 if options.quick else 5)


if __name__ == "__main__":
    main()
