"""Encode texts with a pretrained model, and measure what its vectors are worth by how few labels they need.

The question is whether a sentence names an animal. Words alone decide that, so counting them is hard to beat here, and
the model is trained for seconds: this shows how to measure, not how good pretraining is.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from nlprep.demonstration import generate_sentences, read_concepts, write_demonstration
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.figures.curves import draw_probe_curves
from nlprep.language_models.encoders.probing import probe
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig
from nlprep.language_models.pretraining.training import pretrain_causal
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.labelled_texts import LabelledTexts

ANIMALS = {word for concept in read_concepts() if concept.category == "animal" for word, _ in concept.pairs}


def labelled(number: int, seed: int) -> LabelledTexts:
    """Sentences, and whether an animal is named in each."""
    texts = list(generate_sentences("en", number, seed=seed))
    labels = ["animal" if ANIMALS & set(text.lower().strip(".").split()) else "other" for text in texts]
    return LabelledTexts(texts, labels)


def main() -> None:
    """Pretrain, encode, probe, draw."""
    # A model as small as this is fastest on one thread.
    with TemporaryDirectory() as scratch, torch_threads(1):
        text = write_demonstration(scratch, num_sentences=4_000).english
        run = pretrain_causal(
            [text],
            Path(scratch) / "gpt",
            config=CausalPretrainingConfig(size="tiny", width=64, block_length=64),
            training=TrainingConfig(steps=80, batch_size=32, learning_rate=3e-3, precision="fp32"),
            tokenizer=TokenizerConfig(vocabulary_size=1_000),
        )
        encoder = TextEncoder.from_directory(run.directory)
        print("vectors:", encoder.encode(["The cow sleeps.", "It rains."]).shape)

        result = probe({"pretrained": encoder}, labelled(500, 2), labelled(300, 3), ProbeConfig(repeats=2))
        for curve in result.curves:
            points = ", ".join(f"{point.accuracy:.0%} of {point.num_labels} labels" for point in curve.points)
            print(f"{curve.name}: {points}")
        draw_probe_curves(result.curves, "few_labels.png", majority=result.majority)
        print("few_labels.png shows them")


if __name__ == "__main__":
    main()
