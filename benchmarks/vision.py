"""Training speed of a variational autoencoder: this project's loop against pythae's trainer.

The same networks, loss, images (MNIST's, or drawn ones where it is not there), batch, optimiser and threads in one run,
each contender in turn::

    python -m benchmarks.vision --pythae PYTHON              five minutes of a processor
    python -m benchmarks.vision --pythae PYTHON --quick      one

PYTHON is that of an environment with pythae, which wants other versions than ours (``pip install torch numpy scipy
scikit-learn pydantic cloudpickle tqdm imageio`` and ``pip install --no-deps pythae``); without it ours alone is
measured.

Networks are pythae's own: its default (784-512-16 and back, 0.8 million parameters) and its convolutional one for MNIST
(17 million). Contenders:

- *pythae*: its trainer as it is, in fp32 (its mixed precision is for CUDA alone);
- *pythae, tuned*: what somebody who knows it would add: a fused optimiser, channels last, no progress bar; with a
  loader process as well where there are processors for it;
- *plain loop*: the fewest lines that train the same modules: what torch itself takes;
- *ours*: `nlprep.core.training.fit`, with its journal, checkpoints and seeded steps; with channels last; with the
  moving average of weights that `vision.training.train_images` adds.

Measured is what a training takes from its second epoch on, epoch by epoch, checkpoints and evaluation apart (*epoch*),
and the whole call of ``train`` or ``fit``, which ends with a model on the disk (*in all*). Processor seconds are of all
threads and loader processes, of the epoch that took the fewest: what to compare where the machine has other work to do.

Then what the number format and the order of channels do to the house's own convolutional networks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.report import describe_machine, median, print_claim, print_table, processor_seconds
from nlprep.core.memory import kept_memory
from nlprep.core.threads import resolve_threads, torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.step import PlainStep
from vision.backbones.configuration import BackboneConfig
from vision.backbones.networks import make_backbone
from vision.images.collection import ImageExamples, Images, unit_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlprep.core.training.steps.step import Moment

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
BATCH, LATENT = 128, 16
LEARNING_RATE = 1e-4
"""pythae's default."""
TARGETS = {"mlp": 2.0, "convolutional": 1.5}
SIZES = {"mlp": 12_800, "convolutional": 256}
"""Images of an epoch."""


class PeersVae(nn.Module):
    """pythae's `VAE` with its default encoder and decoder, or its convolutional ones for MNIST, and its loss.

    Args:
        network: ``mlp`` or ``convolutional``.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        if network == "mlp":
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU())
            self.decoder = nn.Sequential(
                nn.Linear(LATENT, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))
            )
            width = 512
        else:
            self.encoder = nn.Sequential(
                *_halving(1, 128), *_halving(128, 256), *_halving(256, 512), *_halving(512, 1024), nn.Flatten()
            )
            self.decoder = nn.Sequential(
                nn.Linear(LATENT, 1024 * 4 * 4),
                nn.Unflatten(1, (1024, 4, 4)),
                nn.ConvTranspose2d(1024, 512, 3, 2, padding=1),
                nn.BatchNorm2d(512),
                nn.ReLU(),
                nn.ConvTranspose2d(512, 256, 3, 2, padding=1, output_padding=1),
                nn.BatchNorm2d(256),
                nn.ReLU(),
                nn.ConvTranspose2d(256, 1, 3, 2, padding=1, output_padding=1),
                nn.Sigmoid(),
            )
            width = 1024
        self.to_mean = nn.Linear(width, LATENT)
        self.to_log_variance = nn.Linear(width, LATENT)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Half the squared error and the divergence of images (b, 1, 28, 28) uint8: sums, means over images."""
        pixels = unit_pixels(images)
        features = self.encoder(pixels)
        mean, log_variance = self.to_mean(features), self.to_log_variance(features)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        error = functional.mse_loss(self.decoder(codes), pixels, reduction="none").flatten(1).sum(1) / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return {
            "loss": (error + divergence).mean(),
            "error": error.detach().mean(),
            "divergence": divergence.detach().mean(),
        }


def _halving(inside: int, outside: int) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, 4, 2, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]


@dataclass
class Measured:
    """What one training took.

    Attributes:
        epochs: Seconds of wall clock and of processors, from the second epoch on.
        whole: The same of the whole call.
        loss: Of the last epoch.
    """

    epochs: list[tuple[float, float]]
    whole: tuple[float, float]
    loss: float


class ClockedStep(PlainStep):
    """A step that looks at the clock whenever an epoch has ended."""

    def __init__(self, module: nn.Module, steps: int) -> None:
        super().__init__(module, unit="images")
        self.steps = steps
        self.times: list[tuple[float, float]] = []

    def after_update(self, player: str, *, moment: Moment) -> None:  # noqa: ARG002
        """Look."""
        if (moment.step + 1) % self.steps == 0:
            self.times.append((time.perf_counter(), processor_seconds()))


def train_peer(python: str, file: Path, network: str, epochs: int, threads: int, *more: str) -> Measured:
    """One training by pythae's trainer, in a process of its own."""
    command = [python, str(Path(__file__).with_name("pythae_training.py")), str(file)]
    command += ["--network", network, "--epochs", str(epochs), "--batch", str(BATCH), "--latent", str(LATENT)]
    command += ["--threads", str(threads), *more]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["parameters"] != sum(parameter.numel() for parameter in PeersVae(network).parameters()):
        raise SystemExit(f"pythae's {network} network has {found['parameters']:,} parameters, and ours another number")
    return Measured([tuple(pair) for pair in found["epochs"][1:]], tuple(found["all"]), found["loss"])


def train_plainly(images: Images, network: str, epochs: int, *, channels_last: bool) -> Measured:
    """The fewest lines: fused Adam, batches taken from memory, the loss read at the end of each epoch."""
    model = _fresh(network, channels_last=channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    data = torch.from_numpy(np.ascontiguousarray(images.pixels))
    measured, loss = [], 0.0
    begun = time.perf_counter(), processor_seconds()
    with kept_memory():
        for _ in range(epochs):
            before = time.perf_counter(), processor_seconds()
            total = torch.zeros(())
            for indices in torch.split(torch.randperm(len(data)), BATCH):
                optimizer.zero_grad()
                found = model(data[indices])["loss"]
                found.backward()
                optimizer.step()
                total += found.detach()
            loss = total.item() / (len(data) // BATCH)
            measured.append(_since(before))
    return Measured(measured[1:], _since(begun), loss)


def train_ours(images: Images, network: str, epochs: int, *, channels_last: bool, average: float = 0.0) -> Measured:
    """`nlprep.core.training.fit`, in a directory."""
    steps = len(images) // BATCH
    step = ClockedStep(_fresh(network, channels_last=channels_last), steps)
    settings = TrainingConfig(
        epochs=epochs, batch_size=BATCH, learning_rate=LEARNING_RATE, schedule="constant", warmup=0, weight_decay=0.0,
        beta2=0.999, clip_norm=None, average=average,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter(), processor_seconds()
        history = fit(step, ImageExamples(images), config=settings, directory=Path(folder) / "run")
        whole = _since(begun)
    epochs_taken = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(step.times, step.times[1:], strict=False)]
    # Means over ten steps each.
    losses = [record["loss"] for record in history.records if record["step"] > steps * (epochs - 1)]
    return Measured(epochs_taken, whole, sum(losses) / len(losses))


def _fresh(network: str, *, channels_last: bool) -> PeersVae:
    torch.manual_seed(1)
    model = PeersVae(network)
    return model.to(memory_format=torch.channels_last) if channels_last else model  # type: ignore[call-overload]


def _since(before: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - before[0], processor_seconds() - before[1]


def contenders(
    images: Images, network: str, epochs: int, threads: int, peer: str | None, file: Path
) -> dict[str, Callable[[], Measured]]:
    """Who trains a network, by name."""
    deep = network != "mlp"
    found: dict[str, Callable[[], Measured]] = {}
    if peer is not None:
        found["pythae"] = lambda: train_peer(peer, file, network, epochs, threads)
        found["pythae, tuned"] = lambda: train_peer(peer, file, network, epochs, threads, "--tuned")
        if threads > 1:
            found["pythae, tuned, 1 loader process"] = lambda: train_peer(
                peer, file, network, epochs, threads, "--tuned", "--workers", "1"
            )
    found["plain loop"] = lambda: train_plainly(images, network, epochs, channels_last=deep)
    if deep:
        found["ours, channels first"] = lambda: train_ours(images, network, epochs, channels_last=False)
    found["ours"] = lambda: train_ours(images, network, epochs, channels_last=deep)
    found["ours, averaged weights"] = lambda: train_ours(images, network, epochs, channels_last=deep, average=0.999)
    return found


def measure(images: Images, network: str, *, epochs: int, repeats: int, threads: int, peer: str | None) -> None:
    """Print the table and the claim of one network."""
    images = images.select(np.arange(SIZES[network]))
    count = len(images)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        np.savez(file, x=np.ascontiguousarray(images.pixels))
        who = contenders(images, network, epochs, threads, peer, file)
        taken: dict[str, list[Measured]] = {name: [] for name in who}
        for _ in range(repeats):
            for name, train in who.items():
                taken[name].append(train())
    wall = {name: median([epoch[0] for one in found for epoch in one.epochs]) for name, found in taken.items()}
    processor = {name: min(epoch[1] for one in found for epoch in one.epochs) for name, found in taken.items()}
    whole = {name: min(one.whole[1] for one in found) for name, found in taken.items()}
    losses = {name: found[-1].loss for name, found in taken.items()}
    rows = [
        [
            name, f"{count / wall[name]:,.0f}", f"{count / processor[name]:,.0f}",
            f"{epochs * count / whole[name]:,.0f}", f"{losses[name]:.2f}",
        ]
        for name in who
    ]  # fmt: skip
    print_table(
        f"{network}: {epochs} epochs of {count:,} images, batches of {BATCH}, {threads} thread(s), {repeats} repeats",
        ["", "images/s, epoch", "per processor second", "in all", "loss"],
        rows,
    )
    if peer is None:
        return
    best = min((name for name in who if name.startswith("pythae")), key=processor.__getitem__)
    print_claim(
        f"VAE training images per processor second, {network} network",
        peer="pythae 0.1.2",
        ratio=processor["pythae"] / processor["ours"],
        quality={"loss": round(losses["ours"], 2), "peer's loss": round(losses["pythae"], 2)},
        summary=f"fp32; {processor[best] / processor['ours']:.2f} against {best}; target {TARGETS[network]}",
        wall=round(wall["pythae"] / wall["ours"], 2),
        plain_loop=round(processor["pythae"] / processor["plain loop"], 2),
        threads=threads,
    )


def measure_formats(repeats: int, threads: int, *, batch: int) -> None:
    """What channels last and bf16 do to a step of the house's convolutional networks: processor seconds."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for kind in ("convolutional", "residual", "resnet18"):
        taken: dict[tuple[bool, bool], list[float]] = {}
        for _ in range(repeats):
            for channels_last, bf16 in ((False, False), (True, False), (False, True), (True, True)):
                torch.manual_seed(1)
                network: Any = make_backbone(BackboneConfig(kind=kind), (3, 32, 32))
                if channels_last:
                    network.to(memory_format=torch.channels_last)
                pixels = torch.rand(batch, 3, 32, 32, generator=generator)
                taken.setdefault((channels_last, bf16), []).append(_step_seconds(network, pixels, bf16=bf16))
        base = min(taken[False, False])
        ratios = [base / min(taken[which]) for which in ((True, False), (False, True), (True, True))]
        rows.append([kind, f"{batch / base:,.0f}", *(f"{ratio:.2f}" for ratio in ratios)])
    print_table(
        f"Networks of the house, 32 x 32 in colour, forward and backward, batches of {batch}, {threads} thread(s)",
        ["", "images per processor second, fp32", "channels last", "bf16", "both"],
        rows,
    )


def _step_seconds(network: nn.Module, pixels: Tensor, *, bf16: bool) -> float:
    """Processor seconds of the faster of two steps, after one that warms up."""
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network(pixels).float().square().mean()
        loss.backward()
        seconds.append(time.process_time() - begun)
    return min(seconds[1:])


def load_images() -> Images:
    """MNIST's, or as many drawn at random."""
    from vision.images.reading import read_images

    file = SHARED / "mnist_train.npz"
    if file.is_file():
        with tempfile.TemporaryDirectory() as folder:
            images = read_images(file, cache=folder)
            return images.select(np.arange(max(SIZES.values())))
    generator = np.random.default_rng(1)
    return Images(generator.integers(0, 256, (max(SIZES.values()), 1, 28, 28), np.uint8))


def main() -> None:
    """Measure, and print tables and claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythae", help="the Python of an environment with pythae; without it, only ours is measured")
    parser.add_argument("--quick", action="store_true", help="fewer images and repeats")
    parser.add_argument("--threads", type=int, default=None, help="processor threads (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of every contender, in turn")
    parser.add_argument("--only", choices=(*SIZES, "formats"), help="one part")
    options = parser.parse_args()
    threads = resolve_threads(options.threads)
    print(f"{describe_machine()}, load {os.getloadavg()[0]:.0f}")
    images = load_images()
    repeats = 1 if options.quick else options.repeats
    with torch_threads(threads):
        for network, most in (("mlp", 4), ("convolutional", 2)):
            epochs = 2 if options.quick else most
            if options.only in (None, network):
                measure(images, network, epochs=epochs, repeats=repeats, threads=threads, peer=options.pythae)
        if options.only in (None, "formats"):
            measure_formats(repeats, threads, batch=32)


if __name__ == "__main__":
    main()
