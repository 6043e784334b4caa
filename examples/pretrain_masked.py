"""Pretrain a small masked language model, fill in blanks, and open it with transformers alone.

The text is generated, so that this runs anywhere; give `pretrain_masked` files of your own instead.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoModelForMaskedLM, AutoTokenizer

from nlprep.core.progress import terminal_progress
from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from nlprep.demonstration import write_demonstration
from nlprep.language_models.generators.filling import fill
from nlprep.language_models.pretraining.configuration import MaskedPretrainingConfig, MaskingConfig
from nlprep.language_models.pretraining.training import pretrain_masked
from nlprep.language_models.text.configuration import TokenizerConfig


def main() -> None:
    """Pretrain, fill, reload."""
    # A model as small as this is fastest on one thread.
    with TemporaryDirectory() as scratch, torch_threads(1):
        text = write_demonstration(scratch, num_sentences=4_000).english
        run = pretrain_masked(
            [text],
            Path(scratch) / "bert",
            # Sizes go from tiny to large; this is smaller still.
            config=MaskedPretrainingConfig(size="tiny", width=64, block_length=64),
            training=TrainingConfig(steps=300, batch_size=32, learning_rate=4e-3, precision="fp32"),
            masking=MaskingConfig(masking_rate=0.3),
            tokenizer=TokenizerConfig(algorithm="wordpiece", vocabulary_size=1_000),
            progress=terminal_progress(),
        )
        print(f"validation loss {run.summary['validation']['loss']:.2f}, stopped and called again it would go on")

        for sentence in ("The cow [MASK] in the field.", "She drinks [MASK] in the kitchen."):
            (found,) = fill(run.model, run.tokenizer, sentence, top=4)
            print(sentence, "->", ", ".join(f"{one.text} {one.probability:.2f}" for one in found))

        model = AutoModelForMaskedLM.from_pretrained(run.directory / "model")
        tokenizer = AutoTokenizer.from_pretrained(run.directory / "model")
        print(f"transformers opened a {type(model).__name__} with {len(tokenizer):,} tokens")


if __name__ == "__main__":
    main()
