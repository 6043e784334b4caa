"""Fine-tuned classifiers: what they learn, how they are measured, and that transformers alone opens them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from language_model_toys import toy_causal, toy_masked, toy_tokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.evaluation.classification import calibration_error
from nlprep.language_models.classifiers.classifier import Classification, LabelledExamples, TextClassifier
from nlprep.language_models.classifiers.configuration import ClassificationConfig
from nlprep.language_models.classifiers.training import evaluate_classifier, measure_classifier, train_classifier
from nlprep.language_models.encoders.text_encoder import TruncationWarning
from nlprep.language_models.models.files import save_language_model
from nlprep.language_models.text.labelled_texts import LabelledTexts

QUICK = TrainingConfig(steps=60, batch_size=16, learning_rate=1e-2, precision="fp32", warmup=0.1, schedule="linear")
ANIMALS, THINGS = ["dog", "cat", "bird", "cow"], ["car", "book", "lamp", "table"]


def topics(number: int, seed: int = 0) -> LabelledTexts:
    generator = np.random.default_rng(seed)
    texts, labels = [], []
    for label in generator.integers(0, 2, number):
        words = generator.choice(ANIMALS if label else THINGS, size=generator.integers(2, 6))
        texts.append("the " + " and the ".join(words))
        labels.append("animal" if label else "thing")
    return LabelledTexts(texts, labels)


def pairs(number: int, seed: int = 0) -> LabelledTexts:
    """Whether the second text names the first one's kind: neither text alone tells."""
    generator = np.random.default_rng(seed)
    kinds, same = generator.integers(0, 2, number), generator.integers(0, 2, number)
    first = [str(generator.choice(ANIMALS if kind else THINGS)) for kind in kinds]
    second = ["animal" if kind == agree else "thing" for kind, agree in zip(kinds, same, strict=True)]
    return LabelledTexts(first, [str(int(agree)) for agree in same], second)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("models")
    for family in ("bert", "roberta", "modernbert", "distilbert"):
        save_language_model(toy_masked(family, context=64), toy_tokenizer(), directory / family)
    for family in ("gpt2", "llama"):
        save_language_model(toy_causal(family, context=64), toy_tokenizer(), directory / family)
    return {path.name: path for path in directory.iterdir()}


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.slow
def test_a_classifier_learns_and_transformers_alone_opens_it(models, family, tmp_path):
    from transformers import pipeline

    train, test = topics(120), topics(60, seed=1)
    run = train_classifier(models[family], train, tmp_path / "run", training=QUICK, validation=test)
    assert run.report.accuracy > 0.95
    assert run.summary["validation"]["accuracy"] == run.report.accuracy
    assert "validation_accuracy" in run.history.records[-1]
    again = evaluate_classifier(tmp_path / "run", test, device="cpu")
    np.testing.assert_array_equal(again.confusion, run.report.confusion)
    classify = pipeline("text-classification", model=str(tmp_path / "run" / "model"), device="cpu")
    answers = [answer["label"] for answer in classify(list(test.texts))]
    assert answers == run.classifier.predict(test.texts)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_pairs_are_seen_alike_here_and_by_transformers_alone(models, family, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    data = pairs(40)
    run = train_classifier(
        models[family], data, tmp_path / "run", training=TrainingConfig(steps=2, batch_size=8, precision="fp32")
    )
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    encoded = tokenizer(list(data.texts), list(data.pairs), padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**encoded).logits.numpy()
    np.testing.assert_allclose(run.classifier.logits(data.texts, data.pairs), expected, atol=1e-5)
    assert model.config.id2label == {0: "0", 1: "1"}
    # Token types tell the texts of a pair apart where the model has them.
    assert ("token_type_ids" in encoded and encoded["token_type_ids"].max() == 1) == (family == "bert")
    one = tokenizer("dog", "cat")["input_ids"]
    assert tokenizer.sep_token_id in one[1:-1]


def test_classifying_wakes_no_part_that_is_kept_frozen(models):
    classifier = TextClassifier.from_pretrained(models["bert"], ["animal", "thing"])
    module = Classification(classifier, head_only=True).train()
    modes = [part.training for part in module.modules()]
    assert True in modes
    assert False in modes
    classifier.logits(["a dog"])
    assert [part.training for part in module.modules()] == modes


@pytest.mark.slow
def test_pairs_are_learnt(models, tmp_path):
    training = TrainingConfig(steps=140, batch_size=16, learning_rate=1e-2, precision="fp32")
    run = train_classifier(
        models["bert"], pairs(200), tmp_path / "run", training=training, validation=pairs(60, seed=1)
    )
    assert run.report.accuracy > 0.9


@pytest.mark.parametrize("family", ["bert", "modernbert", "distilbert", "gpt2"])
@pytest.mark.slow
def test_the_head_alone(models, family, tmp_path):
    before = TextClassifier.from_pretrained(models[family], ["animal", "thing"]).model.state_dict()
    config = ClassificationConfig(train="head")
    run = train_classifier(
        models[family], topics(80), tmp_path / "run", config=config, training=QUICK, validation=topics(40, seed=1)
    )
    after = run.classifier.model.state_dict()
    new = run.classifier.new_parameters
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    if family == "bert":
        # A masked language model has no pooler: its random weights must learn too.
        assert changed == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert new <= changed
    assert not any("embed" in name or "attn" in name or "attention" in name for name in changed)
    assert run.summary["trained_parameters"] == sum(after[name].numel() for name in changed)


def test_a_frozen_body_has_no_dropout(tmp_path):
    save_language_model(toy_masked(dropout=0.5), toy_tokenizer(), tmp_path / "model")
    classifier = TextClassifier.from_pretrained(tmp_path / "model", ["a", "b"])
    Classification(classifier, head_only=True).train()
    assert classifier.model.dropout.training
    inputs = classifier.pad(classifier.tokenize(["the dog"])[0])
    one, other = (classifier.model.base_model(**inputs).last_hidden_state for _ in range(2))
    assert torch.equal(one, other)
    assert Classification(classifier).train().model.base_model.training


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "gpt2", "llama"])
def test_padding_never_counts(models, family):
    classifier = TextClassifier.from_pretrained(models[family], ["a", "b"])
    texts = ["a dog", "the cat and the bird and the car and the cow", "x", ""]
    together = classifier.logits(texts, batch_size=4)
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_loss_is_the_mean_cross_entropy(models):
    data = topics(6)
    classifier = TextClassifier.from_pretrained(models["bert"], ["animal", "thing"])
    labels = data.label_indices(["animal", "thing"])
    examples = LabelledExamples(classifier, data.texts, None, labels)
    batch = examples.batch(np.array([4, 0, 5]), np.zeros(3, np.uint64))
    losses = Classification(classifier)(**batch)
    chances = classifier.probabilities([data.texts[i] for i in (4, 0, 5)])
    expected = -np.log([chances[row, labels[i]] for row, i in enumerate((4, 0, 5))]).mean()
    assert float(losses["loss"].detach()) == pytest.approx(expected, abs=1e-5)
    assert float(losses["accuracy"]) == pytest.approx((chances.argmax(1) == labels[[4, 0, 5]]).mean())


def test_an_evaluation_counts_every_answer(models):
    classifier = TextClassifier.from_pretrained(models["bert"], ["animal", "thing"])
    data = topics(33)
    report = measure_classifier(classifier, data, batch_size=5)
    right = sum(one == other for one, other in zip(classifier.predict(data.texts), data.labels, strict=True))
    assert report.accuracy == pytest.approx(right / 33)
    assert report.confusion.sum(1).tolist() == [data.labels.count("animal"), data.labels.count("thing")]
    truth = data.label_indices(classifier.labels)
    expected = calibration_error(classifier.probabilities(data.texts), truth)
    assert report.calibration_error == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_where_it_was(models, tmp_path):
    settings = {"training": TrainingConfig(steps=6, batch_size=8, precision="fp32", checkpoint_every=3)}
    whole = train_classifier(models["bert"], topics(30), tmp_path / "whole", **settings)
    train_classifier(models["bert"], topics(30), tmp_path / "parts", **settings)
    newest = tmp_path / "parts" / "checkpoints" / "step-000000006"
    newest.rename(tmp_path / "aside")
    parts = train_classifier(models["bert"], topics(30), tmp_path / "parts", **settings)
    assert parts.history.resumed_from == 3
    for name, tensor in whole.classifier.model.state_dict().items():
        assert torch.equal(tensor, parts.classifier.model.state_dict()[name]), name


@pytest.mark.slow
def test_another_run_is_not_gone_on_with(models, tmp_path):
    short = TrainingConfig(steps=1, batch_size=8, precision="fp32")

    def train(model="bert", data=None, config=None, training=short):
        return train_classifier(models[model], data or topics(20), tmp_path / "run", config=config, training=training)

    run = train()
    assert run.summary["settings"]["classification"] == {"train": "all", "max_length": None}
    renamed = LabelledTexts(topics(20).texts, ["creature" if one == "animal" else one for one in topics(20).labels])
    for arguments, message in (
        ({"config": ClassificationConfig(train="head")}, "made with train = 'all', now 'head'"),
        ({"config": ClassificationConfig(max_length=9)}, "made with max_length = None, now 9"),
        ({"training": replace(short, learning_rate=1e-3)}, r"made with learning_rate = 0\.0005, now 0\.001"),
        ({"model": "modernbert"}, "began with another model, 'bert', not with this 'modernbert'"),
        ({"data": renamed}, r"made with labels = \['animal', 'thing'\], now \['creature', 'thing'\]"),
    ):
        with pytest.raises(OptionError, match=message):
            train(**arguments)
    assert train(training=replace(short, steps=2, log_every=3)).history.resumed_from == 1


def test_a_classifier_can_be_tuned_again_for_other_labels(models, tmp_path):
    short = TrainingConfig(steps=1, batch_size=8, precision="fp32")
    train_classifier(models["bert"], topics(20), tmp_path / "one", training=short)
    three = LabelledTexts(["a", "b", "c"] * 3, ["x", "y", "z"] * 3)
    run = train_classifier(tmp_path / "one", three, tmp_path / "two", training=short)
    assert run.classifier.labels == ("x", "y", "z")
    assert run.classifier.new_parameters == {"classifier.weight", "classifier.bias"}


def test_cut_examples_are_counted(models):
    config = ClassificationConfig(max_length=5)
    classifier = TextClassifier.from_pretrained(models["bert"], ["a", "b"], max_length=config.max_length)
    with pytest.warns(TruncationWarning, match="1 of 2 examples are longer than 5 tokens"):
        assert classifier.logits(["the cat and the dog", "a"]).shape == (2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.logits(["a"])


def test_what_is_not_a_list_of_texts_is_refused(models):
    classifier = TextClassifier.from_pretrained(models["bert"], ["a", "b"])
    # Its characters would each get a label.
    with pytest.raises(NlprepError, match="a classifier takes a list of texts, got one text: put it in a list"):
        classifier.predict("the cat")
    with pytest.raises(NlprepError, match="got one text"):
        classifier.probabilities(["a"], "b")
    with pytest.raises(NlprepError, match=r"items\[1\] is None"):
        classifier.predict(["a", None])
    with pytest.raises(NlprepError, match="2 texts and 1 second ones: give one for each"):
        classifier.logits(["a", "b"], ["a"])


def test_what_cannot_be_trained_or_measured(models, tmp_path):
    data, short = topics(20), TrainingConfig(steps=1, precision="fp32")
    with pytest.raises(NlprepError, match="every label is 'x'"):
        train_classifier(models["bert"], LabelledTexts(["a", "b"], ["x", "x"]), tmp_path / "run")
    with pytest.raises(FileError, match="label 'plant' was not seen in training"):
        train_classifier(models["bert"], data, tmp_path / "run", validation=LabelledTexts(["a"], ["plant"]))
    with pytest.raises(NlprepError, match="one form"):
        train_classifier(models["bert"], data, tmp_path / "run", validation=pairs(3))
    with pytest.raises(OptionError, match="at most 64"):
        train_classifier(models["bert"], data, tmp_path / "run", config=ClassificationConfig(max_length=100))
    with pytest.raises(FileError, match="BertForMaskedLM, which is no classifier"):
        evaluate_classifier(models["bert"], data)
    with pytest.raises(FileError, match="no such file"):
        train_classifier(tmp_path / "gone", data, tmp_path / "run", training=short)
    assert not (tmp_path / "run").exists()
    train_classifier(models["bert"], data, tmp_path / "run", training=short)
    with pytest.raises(FileError, match="'plant' was not seen"):
        evaluate_classifier(tmp_path / "run", LabelledTexts(["a"], ["plant"]))
    with pytest.raises(NlprepError, match="no examples"):
        evaluate_classifier(tmp_path / "run", LabelledTexts([], []))
