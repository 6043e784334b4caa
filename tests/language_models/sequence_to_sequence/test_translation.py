from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
import torch
from language_model_toys import sentences, toy_causal, toy_masked, toy_tokenizer
from torch.nn import functional
from transformers import EncoderDecoderModel

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.models.architectures import build_language_model
from nlprep.language_models.models.files import save_language_model
from nlprep.language_models.sequence_to_sequence.configuration import DenoisingConfig, TranslationConfig
from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
from nlprep.language_models.sequence_to_sequence.model import (
    Translation,
    TranslationStep,
    join,
    load_translation_model,
    save_translation_model,
)
from nlprep.language_models.sequence_to_sequence.parallel_text import (
    ParallelText,
    SpecialIds,
    TranslationExamples,
    encode_sentences,
)
from nlprep.language_models.sequence_to_sequence.scores import score_translations
from nlprep.language_models.sequence_to_sequence.training import train_auto_encoder, train_translation_model
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.tokenizers import causal_form, train_tokenizer
from nlprep.objectives.labels import IGNORED


@pytest.fixture(scope="module")
def tokenizers():
    return toy_tokenizer(), causal_form(toy_tokenizer())


def batch_of(number: int = 4):
    texts = [text[: 40 - 7 * index] for index, text in enumerate(sentences()[:number])]
    encoded = encode_sentences(texts, toy_tokenizer(), 20)
    examples = TranslationExamples(encoded, encoded, SpecialIds.of(toy_tokenizer(), causal_form(toy_tokenizer())))
    return examples.batch(np.arange(number), np.zeros(number, np.uint64))


@pytest.mark.slow
def test_a_joined_decoder_begins_as_the_language_model_it_was() -> None:
    decoder = toy_causal().eval()
    joined = join(toy_masked(), decoder).eval()
    batch = batch_of()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    torch.testing.assert_close(joined(**inputs).logits, decoder(input_ids=batch["decoder_input_ids"]).logits)
    # And the source matters once the cross-attention has learned anything.
    with torch.no_grad():
        for name, parameter in joined.named_parameters():
            if "crossattention.c_proj.weight" in name:
                parameter.normal_()
    different = dict(inputs, input_ids=inputs["input_ids"].flip(0))
    assert not torch.allclose(joined(**different).logits, joined(**inputs).logits, atol=1e-3)
    # The originals are as they were.
    assert not any("cross" in name for name, _ in decoder.named_parameters())


def test_the_loss_is_cross_entropy_and_padding_counts_for_nothing() -> None:
    model = join(toy_masked(), toy_causal())
    objective = Translation(model, label_smoothing=0.1)
    batch = batch_of()
    assert (batch["labels"] == IGNORED).any()
    for training in (True, False):
        objective.train(training)
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        expected = functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), label_smoothing=0.1 if training else 0.0
        )
        torch.testing.assert_close(objective(**batch)["loss"], expected)
    wider = dict(batch, input_ids=functional.pad(batch["input_ids"], (0, 3), value=9),
                 attention_mask=functional.pad(batch["attention_mask"], (0, 3)))  # fmt: skip
    torch.testing.assert_close(objective(**wider)["loss"], objective(**batch)["loss"])


def halves(tokenizers):
    return (toy_masked(), tokenizers[0]), (toy_causal(), tokenizers[1])


@pytest.mark.slow
def test_only_the_cross_attention_learns_when_told(tokenizers, tmp_path) -> None:
    pairs = ParallelText(tuple(sentences()[:20]), tuple(sentences()[:20]))
    for train, learns in (("cross-attention", {"cross"}), ("all", {"cross", "rest"})):
        encoder, decoder = halves(tokenizers)
        before = dict(join(encoder[0], decoder[0]).named_parameters())
        run = train_translation_model(
            encoder, decoder, pairs, tmp_path / train, config=TranslationConfig(train=train, longest=20),
            training=TrainingConfig(steps=3, batch_size=4, precision="fp32", warmup=0),
        )  # fmt: skip
        changed = {
            "cross" if "cross" in name else "rest"
            for name, parameter in run.model.named_parameters()
            if not torch.equal(parameter, before[name])
        }
        assert changed == learns
        assert all(parameter.requires_grad for parameter in run.model.parameters())
        assert (run.summary["trained_parameters"] < run.summary["parameters"]) == (train == "cross-attention")
        # The halves are copied.
        embeddings = next(name for name in before if "embeddings" in name)
        assert torch.equal(encoder[0].base_model.get_parameter(embeddings.removeprefix("encoder.")), before[embeddings])


def test_the_pretrained_parts_can_learn_more_slowly() -> None:
    step = TranslationStep(Translation(join(toy_masked(), toy_causal())), pretrained_rate=0.1)
    optimizer = step.make_optimizer("model", TrainingConfig(learning_rate=1.0))
    names = {id(p): name for name, p in step.module.named_parameters()}
    seen = 0
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["lr"] == (1.0 if "cross" in names[id(parameter)] else 0.1)
            assert group["weight_decay"] == (0.1 if parameter.dim() >= 2 else 0.0)
            seen += 1
    assert seen == len(names)


@pytest.mark.slow
def test_a_toy_language_is_learned_saved_and_translated(tmp_path) -> None:
    """Each letter has its translation: the source must be read, whatever the decoder knows."""
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdef"), 4)) for _ in range(400)]
    pairs = ParallelText(tuple(words), tuple(word.translate(str.maketrans("abcdef", "uvwxyz")) for word in words))
    source = train_tokenizer(pairs.source, TokenizerConfig(algorithm="character"))
    target = causal_form(train_tokenizer(pairs.target, TokenizerConfig(algorithm="character")))
    shape = {"layers": 1, "width": 32, "heads": 2, "context": 16}
    run = train_translation_model(
        (build_language_model(source, "masked", **shape), source),
        (build_language_model(target, "causal", **shape), target),
        pairs.take(360), tmp_path / "run",
        config=TranslationConfig(longest=8, label_smoothing=0.0, pretrained_rate=1.0, dropout=0.0),
        training=TrainingConfig(steps=250, batch_size=32, learning_rate=1e-2, precision="fp32", evaluate_every=50),
        validation=ParallelText(pairs.source[360:], pairs.target[360:]),
    )  # fmt: skip
    measured = [record for record in run.history.records if "validation_chrf" in record]
    assert run.history.best_loss == -max(record["validation_chrf"] for record in measured) < -90
    assert run.summary["validation"]["chrf"] == -run.history.best_loss
    assert min(record["validation_loss"] for record in measured) < 0.1
    again, source, target = load_translation_model(tmp_path / "run")
    texts = list(pairs.source[360:])
    for beams in (1, 3):
        together = translate_sentences(again, source, target, texts, beams=beams, longest=8, batch_size=7)
        alone = [translate_sentences(again, source, target, [text], beams=beams, longest=8)[0] for text in texts[:5]]
        assert together[:5] == alone
        assert np.mean([one == other for one, other in zip(together, pairs.target[360:], strict=True)]) > 0.85
    EncoderDecoderModel.from_pretrained(tmp_path / "run" / "model")
    save_translation_model(again, source, target, tmp_path / "saved")
    same = load_translation_model(tmp_path / "saved")[0].state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in run.model.state_dict().items())


@pytest.mark.slow
def test_auto_encoders_resume(tmp_path) -> None:
    tokenizer = toy_tokenizer()
    states = []
    for stop in (None, 4):
        for steps in (stop, 8) if stop else (8,):
            run = train_auto_encoder(
                (toy_masked(), tokenizer), (toy_causal(), tokenizer), sentences()[:40], tmp_path / str(stop),
                config=DenoisingConfig(longest=20),
                training=TrainingConfig(
                    steps=steps, batch_size=4, precision="fp32", schedule="constant", warmup=0, checkpoint_every=2
                ),
            )  # fmt: skip
        assert run.history.resumed_from == stop
        states.append(run.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with pytest.raises(OptionError, match=r"made with drop = 0\.15, now 0\.5"):
        train_auto_encoder(
            (toy_masked(), tokenizer), (toy_causal(), tokenizer), sentences()[:40], tmp_path / "4",
            config=DenoisingConfig(longest=20, drop=0.5),
        )  # fmt: skip
    other = train_tokenizer(sentences()[:40], TokenizerConfig(algorithm="character"))
    with pytest.raises(OptionError, match="give both halves the same tokenizer"):
        train_auto_encoder(
            (toy_masked(), tokenizer), (toy_causal(), other), ["a"], tmp_path / "other",
            config=DenoisingConfig(longest=20),
        )  # fmt: skip


@pytest.mark.slow
def test_a_run_of_other_settings_or_another_half_is_refused(tmp_path) -> None:
    pairs = ParallelText(tuple(sentences()[:20]), tuple(sentences()[:20]))
    config = TranslationConfig(longest=20)
    training = TrainingConfig(steps=2, batch_size=4, precision="fp32")
    save_language_model(toy_masked(), toy_tokenizer(), tmp_path / "masked")
    save_language_model(toy_causal(), toy_tokenizer(), tmp_path / "causal")
    other = toy_causal()
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    save_language_model(other, toy_tokenizer(), tmp_path / "other")

    def train(decoder="causal", **settings):
        values = {"config": config, "training": training, **settings}
        return train_translation_model(tmp_path / "masked", tmp_path / decoder, pairs, tmp_path / "run", **values)

    train()
    with pytest.raises(OptionError, match=r"made with label_smoothing = 0\.1, now 0\.2"):
        train(config=TranslationConfig(longest=20, label_smoothing=0.2))
    with pytest.raises(OptionError, match="began with another decoder, 'causal', not with this 'other'"):
        train("other")
    more = TrainingConfig(steps=3, batch_size=4, precision="fp32", log_every=1)
    assert train(training=more).history.resumed_from == 2


def test_scores_are_sacrebleus() -> None:
    translations = ["the cat sat on the mat", "a dog"]
    references = ["the cat sat on a mat", "the dog barks"]
    found = score_translations(translations, references)
    assert found.bleu == pytest.approx(sacrebleu.corpus_bleu(translations, [references]).score)
    assert found.chrf == pytest.approx(sacrebleu.corpus_chrf(translations, [references]).score)
    assert "version" in found.bleu_signature
    assert found.to_dict()["sentences"] == 2


def test_bad_input(tokenizers, tmp_path) -> None:
    with pytest.raises(OptionError, match="llama decoder has no cross-attention"):
        join(toy_masked(), toy_causal("llama"))
    model = join(toy_masked(), toy_causal())
    pairs = ParallelText(("a",), ("b",))
    with pytest.raises(OptionError, match="longest = 31: the encoder's context holds 30"):
        train_translation_model(*halves(tokenizers), pairs, tmp_path / "run", config=TranslationConfig(longest=31))
    with pytest.raises(FileError, match="no such file"):
        train_translation_model(tmp_path / "gone", halves(tokenizers)[1], pairs, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(NlprepError, match="no sentences"):
        translate_sentences(model, *tokenizers, [])
    with pytest.raises(NlprepError, match="translate_sentences takes a list of texts, got one text"):
        translate_sentences(model, *tokenizers, "one sentence")
    with pytest.raises(NlprepError, match="2 translations and 1 references"):
        score_translations(["a", "b"], ["a"])
    save_language_model(toy_masked(), toy_tokenizer(), tmp_path / "masked")
    with pytest.raises(FileError, match="no translation model"):
        load_translation_model(tmp_path / "masked")
