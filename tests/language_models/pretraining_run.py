"""One pretraining run, for tests that do it here and for those that kill a process doing it.

``python pretraining_run.py RUNS.json`` imports torch once and forks a process for each run, which dies at its step; it
prints how each ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from nlprep.core.progress import SILENT
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig, MaskedPretrainingConfig
from nlprep.language_models.pretraining.training import pretrain_causal, pretrain_masked
from nlprep.language_models.text.configuration import TokenizerConfig

STEPS = 14
SHAPE = {"layers": 2, "width": 16, "heads": 2, "dropout": 0.1, "block_length": 24, "validation_fraction": 0.05}


class KillingProgress:
    """Kills the process, as nobody can defend against, once so many steps are done."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at

    @contextmanager
    def task(self, description, total=None):
        self.training = description == "training"
        self.done = 0
        yield self

    def advance(self, amount=1):
        self.done += amount
        if self.training and self.done >= self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def describe(self, message):
        pass


def pretrain(kind, text, directory, *, workers=0, precision="fp32", progress=SILENT, **settings):
    training = TrainingConfig(
        steps=STEPS, batch_size=8, micro_batch_size=4, learning_rate=1e-2, workers=workers, precision=precision,
        checkpoint_every=4, evaluate_every=5, log_every=3, seed=3, **settings,
    )  # fmt: skip
    tokenizer = TokenizerConfig(vocabulary_size=300)
    if kind == "masked":
        config = MaskedPretrainingConfig(**SHAPE)
        return pretrain_masked(
            [text], directory, config=config, training=training, tokenizer=tokenizer, progress=progress
        )
    config = CausalPretrainingConfig(**SHAPE)
    return pretrain_causal([text], directory, config=config, training=training, tokenizer=tokenizer, progress=progress)


def die_pretraining(run: dict) -> int:
    """Fork a process that makes a run until it kills itself; gives how it ended."""
    child = os.fork()
    if child == 0:
        try:
            pretrain(
                run["kind"], Path(run["text"]), Path(run["directory"]), workers=run["workers"],
                precision=run["precision"], progress=KillingProgress(run["kill_at"]),
            )  # fmt: skip
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    import accelerate  # noqa: F401
    import torch
    import torch._dynamo  # which optimisers load at their first step
    import transformers.models.auto.modeling_auto  # noqa: F401

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    sys.stdout.write(json.dumps([die_pretraining(run) for run in json.loads(Path(sys.argv[1]).read_text())]))
