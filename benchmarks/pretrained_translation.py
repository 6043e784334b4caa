"""What pretraining on text of one language is worth to a translator with few pairs, English to French.

Trains the same model four ways on 1,000 and on 29,000 pairs of image captions (Multi30k), and translates the test set
of 2016::

    python -m benchmarks.pretrained_translation --work DIR           real text beside the checkout, about two hours
    python -m benchmarks.pretrained_translation --work DIR --quick   a minute's version, of which no claim is made

The ways: from scratch; encoder and decoder pretrained as masked and causal language models, then trained whole; the
same, but the cross-attention alone is trained; and put together from a denoising auto-encoder of each language. The
text of one language is mostly novels, laws and debates; about one word in a hundred of it is of captions, of which
English has the first half and French the second, so that none is a translation of another. All ways have the same
number of updates on the pairs and keep the weights with the best chrF on validation pairs; decoding is greedy.
What was pretrained learns at a tenth of the cross-attention's rate, which is three times the rate that training from
scratch bears, and with less dropout where pairs are few: both settings were chosen on the validation pairs. The
auto-encoders take about as long as the language models do. What is finished in DIR is not done again.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import describe_machine, print_claim, print_table
from nlprep.core.files import atomic_file
from nlprep.core.progress import terminal_progress
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig, MaskedPretrainingConfig
from nlprep.language_models.pretraining.training import pretrain_causal, pretrain_masked
from nlprep.language_models.sequence_to_sequence.configuration import DenoisingConfig, TranslationConfig
from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
from nlprep.language_models.sequence_to_sequence.parallel_text import ParallelText, read_parallel_text
from nlprep.language_models.sequence_to_sequence.scores import score_translations
from nlprep.language_models.sequence_to_sequence.training import train_auto_encoder, train_translation_model
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.documents import read_documents

if TYPE_CHECKING:
    from transformers import EncoderDecoderModel, PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.language_models.sequence_to_sequence.training import Half

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
METHODS = ("from scratch", "language models", "language models, cross-attention", "auto-encoders")


@dataclass(frozen=True)
class Stage:
    """How so many pairs are used; the dropout is that of training from scratch."""

    pairs: int
    steps: int
    batch: int
    dropout: float


@dataclass(frozen=True)
class Rates:
    """How fast a model learns from pairs."""

    learning_rate: float
    pretrained_rate: float
    dropout: float


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    sentences: int
    masked_steps: int
    causal_steps: int
    auto_steps: int
    stages: tuple[Stage, ...]
    test: int
    longest: int = 46

    @property
    def shape(self) -> dict[str, Any]:
        """The numbers that a pretraining configuration takes."""
        return {"layers": self.layers, "width": self.width, "heads": self.heads, "block_length": self.longest + 2}


FULL = Plan(
    layers=3, width=256, heads=4, vocabulary=8000, sentences=500_000, masked_steps=3000, causal_steps=3000,
    auto_steps=700, test=1000,
    stages=(Stage(1000, steps=1000, batch=32, dropout=0.3), Stage(29_000, steps=700, batch=64, dropout=0.1)),
)  # fmt: skip
QUICK = Plan(
    layers=1, width=64, heads=2, vocabulary=1000, sentences=5000, masked_steps=60, causal_steps=60,
    auto_steps=60, test=20,
    stages=(Stage(200, steps=40, batch=32, dropout=0.3), Stage(1000, steps=60, batch=32, dropout=0.1)),
)  # fmt: skip


def main() -> None:
    """Run what is not done yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a directory for models and finished results")
    parser.add_argument("--quick", action="store_true", help="a minute's version")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        raise SystemExit(f"{SHARED} is not there: this benchmark needs its texts")
    arguments.work.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(arguments.work, QUICK if arguments.quick else FULL)
    results = {
        (method, stage.pairs): experiment.run(method, stage) for stage in experiment.plan.stages for method in METHODS
    }
    print(describe_machine())
    numbers = [stage.pairs for stage in experiment.plan.stages]
    rows = [
        [method, *(f"{results[method, number][score]:.1f}" for number in numbers for score in ("bleu", "chrf"))]
        for method in METHODS
    ]
    header = ["trained", *(f"{name}, {number:,} pairs" for number in numbers for name in ("BLEU", "chrF"))]
    print_table("Multi30k test 2016, English to French", header, rows)
    few = numbers[0]
    scratch, pretrained = results["from scratch", few]["bleu"], max(results[m, few]["bleu"] for m in METHODS[1:])
    print_claim(
        f"BLEU of a translator trained on {few:,} pairs",
        peer="the same model without pretraining",
        ratio=pretrained / max(scratch, 0.1),
        quality={f"{method}, {number} pairs": result for (method, number), result in results.items()},
        summary=f"{pretrained:.1f} with pretraining, {scratch:.1f} from scratch",
    )


class Experiment:
    """The stages of the experiment, each kept in a directory of its own."""

    def __init__(self, work: Path, plan: Plan) -> None:
        self.work, self.plan = work, plan
        self.progress = terminal_progress()
        self.train = self._pairs("train")
        self.validation = self._pairs("val").take(500)
        self.test = self._pairs("test_2016_flickr").take(plan.test)

    def _pairs(self, part: str) -> ParallelText:
        folder = SHARED / "multi30k"
        return read_parallel_text(folder / f"{part}.en.gz", folder / f"{part}.fr.gz")

    def run(self, method: str, stage: Stage) -> dict[str, float]:
        """Train one way on so many pairs, and score the translations of the test set."""
        name = f"{method.replace(', ', '-').replace(' ', '-')}-{stage.pairs}"
        path = self.work / f"{name}.json"
        if path.exists():
            result: dict[str, float] = json.loads(path.read_bytes())
            return result
        encoder, decoder = self._halves(method)
        fresh = method == "from scratch"
        rates = Rates(1e-3, 1.0, stage.dropout) if fresh else Rates(3e-3, 0.1, 0.1)
        crossing = method.endswith("cross-attention")
        made = train_translation_model(
            encoder, decoder, self.train.take(stage.pairs), self.work / name,
            config=TranslationConfig(
                train="cross-attention" if crossing else "all",
                pretrained_rate=rates.pretrained_rate,
                dropout=rates.dropout,
                longest=self.plan.longest,
            ),
            training=TrainingConfig(steps=stage.steps, batch_size=stage.batch, learning_rate=rates.learning_rate),
            validation=self.validation, progress=self.progress,
        )  # fmt: skip
        translations = translate_sentences(
            made.model, made.source, made.target, list(self.test.source), beams=1, longest=self.plan.longest,
            progress=self.progress,
        )  # fmt: skip
        scores = score_translations(translations, self.test.target)
        # The result is written last: translations without one are of a run that was stopped in between.
        (self.work / f"{name}.txt").unlink(missing_ok=True)
        with atomic_file(self.work / f"{name}.txt") as stream:
            stream.write("".join(f"{line}\n" for line in translations).encode())
        result = {"bleu": round(scores.bleu, 1), "chrf": round(scores.chrf, 1)}
        with atomic_file(path) as stream:
            stream.write(json.dumps(result | {"signatures": [scores.bleu_signature, scores.chrf_signature]}).encode())
        return json.loads(path.read_bytes())  # type: ignore[no-any-return]

    def _halves(self, method: str) -> tuple[Half, Half]:
        """The models that the pairs are to train together, with tokenizers that all ways share."""
        (encoder, source), (decoder, target) = self._masked("en"), self._causal("fr")
        if method == "from scratch":
            encoder, decoder = self._fresh(source, target)
        elif method == "auto-encoders":
            first, second = self._auto_encoder("en", source), self._auto_encoder("fr", target)
            encoder, decoder = first.encoder, second.decoder
        return (encoder, source), (decoder, target)

    def _fresh(
        self, source: PreTrainedTokenizerFast, target: PreTrainedTokenizerFast
    ) -> tuple[PreTrainedModel, PreTrainedModel]:
        from nlprep.language_models.models.architectures import build_language_model

        plan = self.plan
        shape = {"layers": plan.layers, "width": plan.width, "heads": plan.heads, "context": plan.longest + 2}
        encoder = build_language_model(source, "masked", family="bert", **shape)  # type: ignore[arg-type]
        return encoder, build_language_model(target, "causal", **shape)  # type: ignore[arg-type]

    def _text(self, language: str) -> Path:
        """A part of the large text, a sentence or paragraph a line."""
        path = self.work / f"{language}.txt"
        if not path.exists():
            lines = itertools.islice(read_documents(SHARED / f"{language}.txt.xz"), self.plan.sentences)
            with atomic_file(path) as stream:
                stream.writelines(f"{line}\n".encode() for line in lines)
        return path

    def _masked(self, language: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        run = pretrain_masked(
            [self._text(language)], self.work / f"masked-{language}",
            config=MaskedPretrainingConfig(family="bert", **self.plan.shape),
            training=TrainingConfig(steps=self.plan.masked_steps, batch_size=128, learning_rate=1e-3),
            tokenizer=TokenizerConfig(vocabulary_size=self.plan.vocabulary), progress=self.progress,
        )  # fmt: skip
        return run.model, run.tokenizer

    def _causal(self, language: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        run = pretrain_causal(
            [self._text(language)], self.work / f"causal-{language}",
            config=CausalPretrainingConfig(**self.plan.shape),
            training=TrainingConfig(steps=self.plan.causal_steps, batch_size=64, learning_rate=1e-3),
            tokenizer=TokenizerConfig(vocabulary_size=self.plan.vocabulary), progress=self.progress,
        )  # fmt: skip
        return run.model, run.tokenizer

    def _auto_encoder(self, language: str, tokenizer: PreTrainedTokenizerFast) -> EncoderDecoderModel:
        encoder, decoder = self._fresh(tokenizer, tokenizer)
        text = self._text(language).read_text(encoding="utf-8")
        made = train_auto_encoder(
            (encoder, tokenizer), (decoder, tokenizer), text.splitlines(), self.work / f"auto-{language}",
            config=DenoisingConfig(longest=self.plan.longest),
            training=TrainingConfig(steps=self.plan.auto_steps, batch_size=64, learning_rate=1e-3),
            progress=self.progress,
        )  # fmt: skip
        return made.model


if __name__ == "__main__":
    main()
