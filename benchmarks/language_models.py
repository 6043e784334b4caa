"""Pretraining speed on a processor: this project's loop against the transformers Trainer.

The same model, blocks, batch and threads in one run, each contender a few steps at a time in turn::

    python -m benchmarks.language_models              some twenty minutes
    python -m benchmarks.language_models --quick      one

A masked language model (6 layers of 384, blocks of 128, 16 at once) and a causal one (blocks of 256, 8 at once), with
8,192 tokens. The Trainer has its defaults, which are fp32; the loop has its own, which are bf16 where the processor
computes it; compiled, too. Speed is tokens of the median step once everything is warm; what compiling takes is said
beside it. Both start from equal weights, without dropout. That bf16 costs nothing is measured too: the loss after equal
steps, against the same run in fp32 and against the spread over three seeds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, print_claim, print_table
from nlprep.core.threads import torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.demonstration import generate_sentences
from nlprep.language_models.models.architectures import build_language_model
from nlprep.language_models.models.attention import fast_attention
from nlprep.language_models.pretraining.causal import CausalBlocks, causal_step
from nlprep.language_models.pretraining.configuration import MaskingConfig
from nlprep.language_models.pretraining.masked import masked_step
from nlprep.language_models.pretraining.masking import MaskedBlocks, Masking
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.documents import read_documents
from nlprep.language_models.text.packing import TokenBlocks
from nlprep.language_models.text.token_files import TokenFile, tokenize_documents
from nlprep.language_models.text.tokenizers import train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.training.steps.step import PlainStep

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
VOCABULARY = 8192
SHAPES = {"masked": (128, 16), "causal": (256, 8)}
"""Block length and blocks at once."""
_WARM = 3


def main() -> None:
    """Measure both kinds of model and print tables and claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute's version: smaller and shorter")
    parser.add_argument("--threads", type=int, help="processor threads (default: all)")
    arguments = parser.parse_args()
    size = "mini" if arguments.quick else "small"
    repeats, steps, compared = (1, 6, 20) if arguments.quick else (3, 10, 200)
    print(describe_machine())
    with torch_threads(arguments.threads), tempfile.TemporaryDirectory() as folder:
        tokenizer, tokens = prepare(Path(folder))
        for kind in ("masked", "causal"):
            measure(kind, tokenizer, tokens, size, repeats, steps, compared)


def prepare(folder: Path) -> tuple[PreTrainedTokenizerFast, TokenFile]:
    """Text, as blocks will be made of it: real where it is there, generated where it is not."""
    if SHARED.is_dir():
        documents = [text for text, _ in zip(read_documents(SHARED / "en.txt.xz"), range(60_000), strict=False)]
        size = VOCABULARY
    else:
        documents, size = list(generate_sentences("en", 60_000, seed=1)), None
    tokenizer = train_tokenizer(documents, TokenizerConfig(vocabulary_size=size))
    return tokenizer, tokenize_documents(documents, tokenizer, folder / "tokens")[0]


def measure(
    kind: str, tokenizer: PreTrainedTokenizerFast, tokens: TokenFile, size: str, repeats: int, steps: int, compared: int
) -> None:
    """Print the table and the claim of one kind of model."""
    length, batch = SHAPES[kind]
    model, step_of, examples = make(kind, tokenizer, tokens, size)
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "transformers Trainer": lambda: time_trainer(kind, copy.deepcopy(model), tokenizer, tokens, steps),
        "this loop, fp32": lambda: time_loop(step_of(copy.deepcopy(model)), examples, batch, steps, precision="fp32"),
        "this loop": lambda: time_loop(step_of(copy.deepcopy(model)), examples, batch, steps),
        "this loop, compiled": lambda: time_loop(step_of(copy.deepcopy(model)), examples, batch, steps, compile=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    preparing: dict[str, float] = {}
    for _ in range(repeats):
        for name, run in contenders.items():
            per_step, before = run()
            seconds[name].append(per_step)
            preparing[name] = max(before, preparing.get(name, 0.0))
    peer = statistics.median(seconds["transformers Trainer"])
    rates = {name: batch * length / statistics.median(times) for name, times in seconds.items()}
    ratios = {name: peer / statistics.median(times) for name, times in seconds.items()}
    rows = [[name, f"{rates[name]:,.0f}", f"{ratios[name]:.2f}", f"{preparing[name]:.0f} s"] for name in contenders]
    print_table(
        f"{kind} model, {size}, blocks of {length}, {batch} at once",
        ["", "tokens/s", "ratio", "before the first step is done"],
        rows,
    )
    ours = "this loop"
    losses = {
        f"{precision}, seed {seed}": final_loss(
            step_of, kind, tokenizer, size, examples, batch, compared, precision, seed
        )
        for precision, seed in (("fp32", 1), ("bf16", 1), ("fp32", 2), ("fp32", 3))
    }
    spread = max(v for n, v in losses.items() if "fp32" in n) - min(v for n, v in losses.items() if "fp32" in n)
    difference = losses["bf16, seed 1"] - losses["fp32, seed 1"]
    rows = [[name, f"{loss:.4f}"] for name, loss in losses.items()]
    print_table(f"{kind} model: loss after {compared} steps", ["", "mean of the last ten"], rows)
    print_claim(
        f"{kind} LM training, tokens/s",
        peer="transformers Trainer at its defaults, which are fp32",
        ratio=ratios[ours],
        quality={
            "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
            "bf16 minus fp32 loss": round(difference, 4),
            "fp32 spread over seeds": round(spread, 4),
        },
        summary=f"loss {difference:+.4f} against fp32, whose seeds differ by {spread:.4f}",
    )


def make(
    kind: str, tokenizer: PreTrainedTokenizerFast, tokens: TokenFile, size: str, seed: int = 1
) -> tuple[PreTrainedModel, Callable[[PreTrainedModel], PlainStep], Any]:
    """A model, what makes a training step of it, and its examples."""
    length, _ = SHAPES[kind]
    ids: Any = tokenizer
    if kind == "masked":
        model = build_language_model(tokenizer, "masked", family="bert", size=size, context=length, seed=seed)
        blocks = TokenBlocks(
            tokens, length, causal=False, layout="stream",
            opening=ids.cls_token_id, separator=ids.sep_token_id, padding=ids.pad_token_id,
        )  # fmt: skip
        rate = MaskingConfig().masking_rate
        examples: Any = MaskedBlocks(blocks, Masking(tokenizer, MaskingConfig()))
        return model, lambda made: masked_step(made, block_length=length, masking_rate=rate), examples
    model = build_language_model(tokenizer, "causal", size=size, context=length, seed=seed)
    blocks = TokenBlocks(
        tokens, length, causal=True, layout="stream", separator=ids.sep_token_id, padding=ids.sep_token_id
    )
    return model, lambda made: causal_step(made, block_length=length), CausalBlocks(blocks)


class Clock:
    """Notes when steps end."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())

    def read(self) -> tuple[float, float]:
        """Seconds of the median step, the first ones left out; seconds before the first one was done."""
        return statistics.median(np.diff(self.ends[_WARM:])), self.ends[0] - self.started


def time_loop(step: PlainStep, examples: Any, batch: int, steps: int, **settings: Any) -> tuple[float, float]:
    """This project's loop."""
    clock = Clock()
    step.after_update = lambda player, *, moment: clock.tick()  # type: ignore[method-assign]  # noqa: ARG005
    with fast_attention(step.module.model):  # type: ignore[arg-type]
        fit(step, examples, config=TrainingConfig(steps=steps + _WARM, batch_size=batch, **settings))
    return clock.read()


def time_trainer(
    kind: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tokens: TokenFile, steps: int
) -> tuple[float, float]:
    """The transformers Trainer, as its documentation has one pretrain."""
    import torch
    from transformers import (
        DataCollatorForLanguageModeling,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    length, batch = SHAPES[kind]
    number = min(len(tokens.ids) // length, 4096)
    blocks = torch.from_numpy(tokens.ids[: number * length].astype(np.int64)).view(number, length)
    clock = Clock()

    class Ticker(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=batch, max_steps=steps + _WARM,
            report_to="none", save_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=[{"input_ids": block} for block in blocks],
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=kind == "masked"),
            callbacks=[Ticker()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.read()


def final_loss(
    step_of: Callable[[PreTrainedModel], PlainStep],
    kind: str,
    tokenizer: PreTrainedTokenizerFast,
    size: str,
    examples: Any,
    batch: int,
    steps: int,
    precision: str,
    seed: int,
) -> float:
    """The training loss at the end of a run, a mean over its last ten steps."""
    model, _, _ = make(kind, tokenizer, examples.blocks.tokens, "tiny" if steps < 100 else size, seed)
    config = TrainingConfig(steps=steps, batch_size=batch, precision=precision, seed=seed, learning_rate=1e-3)
    with fast_attention(model):
        loss = fit(step_of(model), examples, config=config).last("loss")
    return float("nan") if loss is None else loss


if __name__ == "__main__":
    main()
