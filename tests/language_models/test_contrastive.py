"""Contrastive training: the loss, what it teaches, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from language_model_toys import sentences, toy_causal, toy_masked, toy_tokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.steps.dropout import raise_dropout
from nlprep.core.training.steps.step import Moment
from nlprep.language_models.encoders.configuration import ContrastiveConfig, EncoderConfig
from nlprep.language_models.encoders.paired_texts import contrast, contrast_step
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.encoders.training import (
    DropoutWarning,
    PairExamples,
    SentencePairs,
    _fit_batch,
    read_sentence_pairs,
    retrieval_accuracy,
    train_sentence_encoder,
)
from nlprep.language_models.models.files import save_language_model

SHORT = TrainingConfig(steps=2, batch_size=4, precision="fp32")


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("masked") / "model"
    save_language_model(toy_masked(context=64), toy_tokenizer(), directory)
    return directory


def toy_pairs(number: int, seed: int = 0) -> SentencePairs:
    """Two sentences belong together if they are about the same two things."""
    generator = np.random.default_rng(seed)
    words = ["dog", "cat", "bird", "cow", "car", "book", "lamp", "table", "house", "tree"]
    first, second = [], []
    for _ in range(number):
        one, other = generator.choice(words, 2, replace=False)
        first.append(f"the {one} is near the {other}")
        second.append(f"{other} {one}")
    return SentencePairs(first, second)


def cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(first, dim=1) @ torch.nn.functional.normalize(second, dim=1).T


def losses_of(step, batch):
    return step.losses("model", step.players, batch, moment=Moment(step=0, steps=1))


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0])
def test_the_loss_is_that_of_sentence_transformers(symmetric, temperature):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    library = MultipleNegativesRankingLoss(None, scale=1 / temperature)
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(9, 5, generator=generator).requires_grad_() for _ in range(2))
    expected = library.compute_loss_from_embeddings([first, second], None)
    if symmetric:
        expected = (expected + library.compute_loss_from_embeddings([second, first], None)) / 2
    ours = contrast(first, second, temperature=temperature, symmetric=symmetric)["loss"]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(*(torch.autograd.grad(loss, (first, second)) for loss in (ours, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_loss_is_what_its_equation_says(symmetric, temperature):
    encoder = TextEncoder(toy_masked(), toy_tokenizer())
    pairs = toy_pairs(5)
    batch = PairExamples(encoder, pairs).batch(np.arange(5), np.zeros(5, np.uint64))
    losses = losses_of(contrast_step(encoder, temperature=temperature, symmetric=symmetric), batch)
    one, other = encoder.encode(pairs.first, as_tensor=True), encoder.encode(pairs.second, as_tensor=True)
    scores = cosines(one, other) / temperature
    rows = [-torch.log(torch.exp(scores[i, i]) / torch.exp(scores[i]).sum()) for i in range(5)]
    columns = [-torch.log(torch.exp(scores[i, i]) / torch.exp(scores[:, i]).sum()) for i in range(5)]
    expected = sum(rows) / 5 if not symmetric else (sum(rows) + sum(columns)) / 10
    assert float(losses["loss"].detach()) == pytest.approx(float(expected), abs=1e-4)
    assert float(losses["accuracy"]) == pytest.approx(float((scores.argmax(1) == torch.arange(5)).float().mean()))


def test_a_sentence_meets_itself_through_other_dropout():
    encoder = TextEncoder(toy_masked(), toy_tokenizer())
    batch = PairExamples(encoder, SentencePairs(sentences()[:6])).batch(np.arange(6), np.zeros(6, np.uint64))
    assert set(batch) == {"first_input_ids", "first_attention_mask"}
    assert raise_dropout(encoder.module, 0.3)
    encoder.module.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = encoder.module(**{name.removeprefix("first_"): value for name, value in batch.items()})
        second = encoder.module(**{name.removeprefix("first_"): value for name, value in batch.items()})
        torch.manual_seed(1)
        loss = losses_of(contrast_step(encoder, temperature=1.0), batch)["loss"]
    assert not torch.equal(first, second)
    expected = torch.nn.functional.cross_entropy(cosines(first, second), torch.arange(6))
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["masked", "causal"])
@pytest.mark.slow
def test_training_makes_pairs_findable_and_sentence_transformers_opens_the_result(kind, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = toy_masked(context=64) if kind == "masked" else toy_causal(context=64)
    save_language_model(model, toy_tokenizer(), tmp_path / "model")
    held = toy_pairs(60, seed=1)
    before = retrieval_accuracy(TextEncoder.from_directory(tmp_path / "model"), held.without_repeats())
    training = TrainingConfig(steps=80, batch_size=32, learning_rate=5e-3, precision="fp32", evaluate_every=40)
    run = train_sentence_encoder(
        tmp_path / "model", toy_pairs(300), tmp_path / "run", training=training, validation=held
    )
    after = run.summary["validation"]["retrieval_accuracy"]
    assert after > before + 0.25
    # Of the weights that were kept, whichever evaluation came last.
    assert after == retrieval_accuracy(run.encoder, held.without_repeats())
    assert retrieval_accuracy(run.encoder, held.without_repeats()) >= before + 0.25
    opened = SentenceTransformer(str(tmp_path / "run" / "model"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(opened.encode(held.first), run.encoder.encode(held.first), atol=1e-5)
    again = TextEncoder.from_directory(tmp_path / "run")
    np.testing.assert_allclose(again.encode(held.first), run.encoder.encode(held.first), atol=1e-5)
    # And on, from the SentenceTransformer.
    more = train_sentence_encoder(tmp_path / "run", toy_pairs(20, seed=3), tmp_path / "more", training=SHORT)
    assert more.encoder.dimension == again.dimension


@pytest.mark.slow
def test_negatives_are_those_of_the_whole_batch_whatever_its_parts(masked, tmp_path):
    def trained(**parts):
        training = TrainingConfig(steps=3, batch_size=8, precision="fp32", log_every=1, learning_rate=1e-3, **parts)
        encoder = TextEncoder.from_directory(masked)
        assert not any(part.p for part in encoder.module.modules() if isinstance(part, torch.nn.Dropout))
        name = "-".join(map(str, parts.values()))
        return train_sentence_encoder(
            encoder, toy_pairs(40), tmp_path / name, training=training, validation=toy_pairs(13, seed=1)
        )

    whole = trained(micro_batch_size=8)
    for parts in ({"micro_batch_size": 3}, {"micro_batch_size": 1}):
        run = trained(**parts, halve_on_out_of_memory=True)
        for name in ("loss", "gradient_norm", "validation_loss", "validation_accuracy"):
            found = [record[name] for record in run.history.records if name in record]
            assert found == pytest.approx([r[name] for r in whole.history.records if name in r], rel=1e-4)
        np.testing.assert_allclose(
            run.encoder.encode(["the dog is near the cat"]),
            whole.encoder.encode(["the dog is near the cat"]),
            atol=1e-5,
        )


def test_a_batch_is_no_larger_than_the_pairs_and_can_be_shared(masked):
    assert _fit_batch(TrainingConfig(batch_size=64), 64, 4).batch_size == 64
    assert _fit_batch(TrainingConfig(batch_size=64), 31, 1).batch_size == 31
    assert _fit_batch(TrainingConfig(batch_size=64), 31, 4).batch_size == 28
    assert _fit_batch(TrainingConfig(batch_size=64), 3, 4).batch_size == 4


@pytest.mark.slow
def test_unsupervised_training(masked, tmp_path):
    run = train_sentence_encoder(masked, SentencePairs(sentences()[:40] * 2), tmp_path / "run", training=SHORT)
    assert run.summary["examples"] == len(set(sentences()[:40]))
    assert (tmp_path / "run" / "model" / "modules.json").is_file()


@pytest.mark.slow
def test_other_settings_or_another_model_are_not_resumed(masked, tmp_path):
    def train(model=masked, pairs=None, encoder_config=None, **loss):
        return train_sentence_encoder(
            model, pairs or toy_pairs(10), tmp_path / "run", config=ContrastiveConfig(**loss), training=SHORT,
            encoder_config=encoder_config,
        )  # fmt: skip

    train(temperature=0.05)
    before = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    other = TextEncoder(toy_masked(context=64, seed=9), toy_tokenizer())
    save_language_model(other.module.model, toy_tokenizer(), tmp_path / "other")
    # Its pooling is another, too, but nobody chose it.
    save_language_model(toy_causal(context=64), toy_tokenizer(), tmp_path / "causal")
    for arguments, message in (
        ({"temperature": 0.5}, r"made with temperature = 0\.05, now 0\.5"),
        ({"symmetric": True}, "made with symmetric = False, now True"),
        ({"encoder_config": EncoderConfig(pooling="first")}, "made with pooling = 'mean', now 'first'"),
        ({"model": tmp_path / "other"}, "began with another model, 'model', not with this 'other'"),
        ({"model": tmp_path / "causal"}, "began with another model, 'model', not with this 'causal'"),
        ({"pairs": SentencePairs(sentences()[:10])}, "made with pairs = True, now False"),
    ):
        with pytest.raises(OptionError, match=message):
            train(**{"temperature": 0.05} | arguments)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == before
    assert train(temperature=0.05).history.resumed_from == 2


@pytest.mark.slow
def test_a_model_without_dropout_is_warned_of(masked, tmp_path):
    with pytest.warns(DropoutWarning, match="no dropout"):
        train_sentence_encoder(
            masked,
            SentencePairs(sentences()[:9]),
            tmp_path / "run",
            config=ContrastiveConfig(dropout=0),
            training=SHORT,
        )


def test_retrieval_counts_the_right_ones():
    class Planted:
        def encode(self, texts, batch_size, *, progress):
            table = {"a": [1, 0], "b": [0, 1], "A": [2, 0.1], "B": [0.1, 3], "wrong": [-1, 0], "zero": [0, 0]}
            return np.array([table[text] for text in texts], np.float32)

    assert retrieval_accuracy(Planted(), SentencePairs(["a", "b"], ["A", "B"])) == 1
    assert retrieval_accuracy(Planted(), SentencePairs(["a", "b"], ["wrong", "B"])) == 0.5
    assert retrieval_accuracy(Planted(), SentencePairs(["a", "a", "b"], ["A", "A", "B"])) == 1
    with pytest.raises(NlprepError, match="no pairs"):
        retrieval_accuracy(Planted(), SentencePairs(["a"]))


def test_pairs_are_read(tmp_path):
    (tmp_path / "a.tsv").write_text("en\tfr\tother\na dog\tun chien\tx\na cat\tun chat\ty\n")
    pairs = read_sentence_pairs(tmp_path / "a.tsv")
    assert (pairs.first, pairs.second) == (["a dog", "a cat"], ["un chien", "un chat"])
    assert read_sentence_pairs(tmp_path / "a.tsv", second="other").second == ["x", "y"]
    (tmp_path / "a.jsonl").write_text('{"q": "why", "a": "because"}\n')
    assert read_sentence_pairs(tmp_path / "a.jsonl").first == ["why"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no pairs"),
        ("en\n", "holds no pairs"),
        ("en\na dog\n", ":2: has one column"),
        ("en\tfr\na dog\t \n", ":2: expected a text in 'fr', found ' '"),
        ("en\tfr\na dog\tun\tdeux\n", ":2: expected 2 fields"),
    ],
)
def test_files_without_pairs(tmp_path, content, problem):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(FileError, match=problem):
        read_sentence_pairs(tmp_path / "a.tsv")
    if "deux" in content:
        with pytest.raises(FileError):
            read_sentence_pairs(tmp_path / "a.tsv", first="de")


def test_what_cannot_be_trained(masked, tmp_path):
    pairs = toy_pairs(10)
    with pytest.raises(NlprepError, match=r"1 different pair"):
        train_sentence_encoder(masked, SentencePairs(["a", "a"], ["b", "b"]), tmp_path / "run")
    with pytest.raises(NlprepError, match="pair them"):
        SentencePairs(["a"], [])
    with pytest.raises(NlprepError, match="measure nothing"):
        train_sentence_encoder(masked, pairs, tmp_path / "run", validation=SentencePairs(["a", "b"]))
    with pytest.raises(OptionError, match="at least 2"):
        train_sentence_encoder(masked, pairs, tmp_path / "run", training=TrainingConfig(batch_size=1))
    assert not (tmp_path / "run").exists()
