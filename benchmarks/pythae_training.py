"""One measurement of pythae's trainer, run by the Python that has it: see `benchmarks.vision`, which calls this file.

    PYTHON benchmarks/pythae_training.py images.npz --network mlp --epochs 3 [--tuned] [--workers 0] [--threads 1]

Nothing but pythae, torch and NumPy is imported. ``--tuned`` is what somebody who knows it would add within its own
interface: a fused optimiser, convolutions with channels last, no progress bar. Its mixed precision is for CUDA alone.
The last line is JSON: for each epoch the seconds of wall clock and of processors from the trainer's first batch to its
last, the same for all of `train`, and the loss of the last epoch.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time

import numpy as np
import torch


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Train, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="x (n, 1, 28, 28) uint8")
    parser.add_argument("--network", choices=("mlp", "convolutional"), required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.base_trainer import base_trainer
    from pythae.trainers.training_callbacks import TrainingCallback

    # What it says of itself goes out of the way of the answer.
    logging.disable(logging.CRITICAL)

    class Clock(TrainingCallback):  # type: ignore[misc]
        """When each epoch's batches begin and end."""

        def __init__(self) -> None:
            self.begun: list[tuple[float, float]] = []
            self.ended: list[tuple[float, float]] = []
            self.losses: list[float] = []

        def on_train_step_begin(self, training_config: object, **_: object) -> None:  # noqa: ARG002
            self.begun.append((time.perf_counter(), processor_seconds()))

        def on_epoch_end(self, training_config: object, **_: object) -> None:  # noqa: ARG002
            self.ended.append((time.perf_counter(), processor_seconds()))

        def on_log(self, training_config: object, logs: dict[str, float], **_: object) -> None:  # noqa: ARG002
            self.losses.append(float(logs["train_epoch_loss"]))

    if options.tuned:
        # It adds one to every training, and has no setting for it.
        base_trainer.ProgressBarCallback = TrainingCallback
    pixels = torch.from_numpy(np.load(options.images)["x"]).float() / 255
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=options.latent)
    torch.manual_seed(1)
    if options.network == "mlp":
        model = VAE(config)
    else:
        model = VAE(config, encoder=Encoder_Conv_VAE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
        if options.tuned:
            model = model.to(memory_format=torch.channels_last)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=options.epochs,
            per_device_train_batch_size=options.batch,
            train_dataloader_num_workers=options.workers,
            optimizer_params={"fused": True} if options.tuned else None,
        )
        data = BaseDataset(pixels, torch.ones(len(pixels)))
        trainer = BaseTrainer(model, data, training_config=training, callbacks=[clock])
        before = time.perf_counter(), processor_seconds()
        trainer.train()
        after = time.perf_counter(), processor_seconds()
    epochs = [(ended[0] - begun[0], ended[1] - begun[1]) for begun, ended in zip(clock.begun, clock.ended, strict=True)]
    found = {
        "epochs": epochs,
        "all": (after[0] - before[0], after[1] - before[1]),
        "loss": clock.losses[-1],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
