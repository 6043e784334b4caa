"""A small GPT by character on tiny Shakespeare: quality at a published recipe's size, and the processor time it takes.

nanoGPT's recipe for a processor (4 layers of 128, blocks of 64, 12 at once, 2,000 steps, no dropout; learning rate 1e-3
after 100 steps of warm-up, falling by a cosine to 1e-4; AdamW with 0.9, 0.99 and decay 0.1) has a published validation
loss of 1.88 nats per character::

    python -m benchmarks.tiny_shakespeare             some ten minutes
    python -m benchmarks.tiny_shakespeare --quick     a tenth of the steps, of which no claim is made

The peer is that recipe as plain PyTorch runs it: fp32, random windows of the text, the same transformers model. The
loop has the same model, blocks and steps, once with the recipe's learning rate and once with four times that, which
suits a model of this size. All see as many characters of the same first nine tenths of the text, and are measured on
all of the rest. Time is processor time of training, evaluation left out on all sides.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, print_claim, print_table, require_files
from nlprep.core.threads import torch_threads
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.language_models.generators.configuration import GenerationConfig
from nlprep.language_models.generators.generation import generate
from nlprep.language_models.models.architectures import build_language_model
from nlprep.language_models.models.attention import fast_attention
from nlprep.language_models.pretraining.causal import CausalBlocks, causal_step
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.documents import read_documents
from nlprep.language_models.text.packing import TokenBlocks
from nlprep.language_models.text.token_files import TokenFile, tokenize_documents
from nlprep.language_models.text.tokenizers import causal_form, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

TEXT = Path(__file__).resolve().parents[2] / "shared" / "data" / "text" / "tinyshakespeare.txt"
LENGTH, BATCH = 64, 12
RATE = 1e-3
PUBLISHED = 1.88
PEER = "plain PyTorch"


def main() -> None:
    """Train both ways, for some seeds, and print the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1, as both are fastest)")
    arguments = parser.parse_args()
    require_files(TEXT)
    steps, seeds = (200, (1,)) if arguments.quick else (2000, (1, 2, 3))
    print(describe_machine())
    rows: list[list[str]] = []
    contenders: dict[str, Callable[[PreTrainedModel, TokenFile, int, int], float]] = {
        PEER: train_plainly,
        "this loop": partial(train_here, rate=RATE),
        f"this loop, rate {4 * RATE:g}": partial(train_here, rate=4 * RATE),
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    with torch_threads(arguments.threads), tempfile.TemporaryDirectory() as folder:
        documents = list(read_documents(TEXT, unit="file"))
        tokenizer = train_tokenizer(documents, TokenizerConfig(algorithm="character"))
        train, held = tokenize_documents(documents, tokenizer, Path(folder) / "tokens", validation_fraction=0.1)
        if held is None:
            raise SystemExit("nothing was held back")
        for seed in seeds:
            for name, run in contenders.items():
                model = build_language_model(
                    tokenizer, "causal", layers=4, width=128, heads=4, context=LENGTH, seed=seed
                )
                seconds = run(model, train, steps, seed)
                loss = validation_loss(model, held)
                results[name].append((loss, seconds))
                rows.append([f"{name}, seed {seed}", f"{loss:.4f}", f"{loss / math.log(2):.3f}", f"{seconds:.0f} s"])
        sample = generate(model, causal_form(tokenizer), "ROMEO:", GenerationConfig(max_tokens=LENGTH - 8))[0]
    print_table(
        f"tiny Shakespeare by character, {steps} steps", ["", "validation loss", "bits", "processor time"], rows
    )
    print(f"ROMEO:{sample}\n")
    # The last contender, with its own rate, is the one to claim.
    ours, theirs = results[name], results[PEER]
    print_claim(
        "tiny Shakespeare by character, processor time of nanoGPT's recipe",
        peer="plain PyTorch, fp32",
        ratio=float(np.median([b / a for (_, a), (_, b) in zip(ours, theirs, strict=True)])),
        quality={name: [round(loss, 4) for loss, _ in runs] for name, runs in results.items()},
        summary=f"validation loss {np.mean([loss for loss, _ in ours]):.2f}; published {PUBLISHED}",
    )


def train_here(model: PreTrainedModel, train: TokenFile, steps: int, seed: int, *, rate: float) -> float:
    """This project's loop; returns seconds of processor time."""
    blocks = TokenBlocks(train, LENGTH, causal=True, layout="stream", separator=3, padding=3)
    config = TrainingConfig(
        steps=steps, batch_size=BATCH, learning_rate=rate, warmup=steps // 20, beta2=0.99, seed=seed, log_every=100
    )
    began = time.process_time()
    with fast_attention(model):
        fit(causal_step(model, block_length=LENGTH), CausalBlocks(blocks), config=config)
    return time.process_time() - began


def train_plainly(model: PreTrainedModel, train: TokenFile, steps: int, seed: int) -> float:
    """The recipe as a short script would have it; returns seconds of processor time."""
    import torch

    ids = torch.from_numpy(train.ids[: train.num_tokens].astype(np.int64))
    generator = torch.Generator().manual_seed(seed)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.99)
    )
    network: Any = model
    network.train()
    warmup = steps // 20
    began = time.process_time()
    for step in range(steps):
        done = (step - warmup) / max(1, steps - warmup)
        rate = (step + 1) / (warmup + 1) if step < warmup else 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate
        starts = torch.randint(len(ids) - LENGTH, (BATCH,), generator=generator)
        windows = torch.stack([ids[start : start + LENGTH + 1] for start in starts.tolist()])
        logits = network(input_ids=windows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.process_time() - began


def validation_loss(model: PreTrainedModel, held: TokenFile) -> float:
    """Mean nats per character of the text held back, in consecutive blocks, in fp32."""
    import torch

    blocks = TokenBlocks(held, LENGTH, causal=True, layout="stream", separator=3, padding=3)
    step = causal_step(model, block_length=LENGTH)
    nats = terms = 0.0
    step.module.eval()
    with torch.inference_mode():
        for start in range(0, len(blocks), 256):
            indices = np.arange(start, min(start + 256, len(blocks)))
            batch = CausalBlocks(blocks).batch(indices, indices.astype(np.uint64))
            weight = step.weight(batch)
            nats += step.module(**batch)["loss"].item() * weight
            terms += weight
    return nats / terms


if __name__ == "__main__":
    main()
