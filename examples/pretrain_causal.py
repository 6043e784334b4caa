"""Pretrain a small GPT, measure it on text it has not seen, and let it write.

The text is generated, so that this runs anywhere; give `pretrain_causal` files of your own instead.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from nlprep.core.progress import terminal_progress
from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from nlprep.demonstration import generate_sentences, write_demonstration
from nlprep.language_models.generators.configuration import GenerationConfig
from nlprep.language_models.generators.generation import generate
from nlprep.language_models.generators.perplexity import measure_perplexity
from nlprep.language_models.models.files import load_language_model
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig
from nlprep.language_models.pretraining.training import pretrain_causal
from nlprep.language_models.text.configuration import TokenizerConfig


def main() -> None:
    """Pretrain, measure, generate."""
    # A model as small as this is fastest on one thread.
    with TemporaryDirectory() as scratch, torch_threads(1):
        text = write_demonstration(scratch, num_sentences=4_000).english
        run = pretrain_causal(
            [text],
            Path(scratch) / "gpt",
            config=CausalPretrainingConfig(size="tiny", width=64, block_length=64),
            training=TrainingConfig(steps=200, batch_size=32, learning_rate=3e-3, precision="fp32"),
            tokenizer=TokenizerConfig(algorithm="byte-bpe", vocabulary_size=1_000),
            progress=terminal_progress(),
        )
        # A run's directory, or any causal model that transformers wrote.
        model, tokenizer = load_language_model(run.directory, "causal")

        unseen = measure_perplexity(model, tokenizer, generate_sentences("en", 200, seed=5))
        print(f"perplexity {unseen.perplexity:.1f}, bits per byte {unseen.bits_per_byte:.2f}")

        for prompt in ("The", "In winter"):
            for sample in generate(model, tokenizer, prompt, GenerationConfig(max_tokens=20, num_samples=2)):
                print(f"{prompt}|{sample}")


if __name__ == "__main__":
    main()
