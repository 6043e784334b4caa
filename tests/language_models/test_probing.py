"""Probes of text encoders: what is compared, and that the comparison is fair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from language_model_toys import toy_masked, toy_tokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.configuration import ProbeConfig
from nlprep.evaluation.label_curves import FROM_SCRATCH
from nlprep.evaluation.linear_probe import probe_features
from nlprep.language_models.encoders.probing import BAG_OF_WORDS, probe
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.models.files import save_language_model
from nlprep.language_models.text.labelled_texts import LabelledTexts


def topics(number: int, seed: int = 0, *, paired: bool = False) -> LabelledTexts:
    generator = np.random.default_rng(seed)
    kinds = (["dog", "cat", "bird", "cow"], ["car", "book", "lamp", "table"], ["one", "two", "three", "four"])
    labels = generator.integers(0, 3, number)
    texts = [" ".join(generator.choice(kinds[label], 3)) for label in labels]
    others = [" ".join(generator.choice(kinds[label], 2)) for label in generator.integers(0, 3, number)]
    return LabelledTexts(texts, [f"kind {label}" for label in labels], others if paired else None)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("masked") / "model"
    save_language_model(toy_masked(), toy_tokenizer(), directory)
    return directory


@pytest.mark.slow
def test_curves_of_the_encoder_and_of_what_it_must_beat(model):
    train, test = topics(200), topics(80, seed=1)
    config = ProbeConfig(labels="3%,100%", repeats=2)
    result = probe({"mine": model, "again": TextEncoder.from_directory(model)}, train, test, config)
    assert [curve.name for curve in result.curves] == ["mine", FROM_SCRATCH, "again", BAG_OF_WORDS]
    mine, scratch, again, bag = result.curves
    assert mine.points == again.points
    assert mine.points != scratch.points
    # Words tell the kinds apart without fail, given the labels to learn them.
    assert bag.points[-1].accuracy == 1
    assert bag.points[0].accuracy <= 1
    assert result.labels == ("kind 0", "kind 1", "kind 2")
    counts = np.bincount([int(label[-1]) for label in train.labels])
    assert result.majority == pytest.approx(np.mean([label == f"kind {counts.argmax()}" for label in test.labels]))
    written = json.loads(json.dumps(result.to_dict()))
    assert written["curves"][0]["points"][0]["num_labels"] == 6
    assert written["num_train"] == 200
    # The core, given the features, says the same.
    encoder = TextEncoder.from_directory(model)
    names = train.label_names()
    direct = probe_features(
        "mine",
        (encoder.encode(train.texts), train.label_indices(names)),
        (encoder.encode(test.texts), test.label_indices(names)),
        config,
    )
    assert direct == mine


@pytest.mark.slow
def test_features_of_pairs(model):
    config = ProbeConfig(labels="100%", repeats=1)
    result = probe({"mine": model}, topics(60, paired=True), topics(30, seed=1, paired=True), config)
    mine, _, bag = result.curves
    assert mine.dimension == 4 * 16
    assert bag.dimension == 4 * 12
    assert bag.points[0].accuracy > 0.9


def test_baselines_can_be_left_out(model):
    config = ProbeConfig(labels="100%", repeats=1)
    result = probe({"mine": model}, topics(40), topics(20), config, from_scratch=False, bag_of_words=False)
    assert [curve.name for curve in result.curves] == ["mine"]
    assert [c.name for c in probe({}, topics(40), topics(20), config).curves] == [BAG_OF_WORDS]


def test_what_cannot_be_probed(model):
    train, test = topics(40), topics(20)
    with pytest.raises(NlprepError, match=r"labels = '1%,10%,100%': 0 of 40 examples are fewer than the 3 classes"):
        probe({"mine": model}, train, test)
    with pytest.raises(OptionError, match="only 40"):
        probe({"mine": model}, train, test, ProbeConfig(labels="100"))
    with pytest.raises(FileError, match="'plant' was not seen"):
        probe({"mine": model}, train, LabelledTexts(["a"], ["plant"]))
    with pytest.raises(NlprepError, match="every label is"):
        probe({"mine": model}, LabelledTexts(["a", "b"], ["x", "x"]), test)
    with pytest.raises(NlprepError, match="one has pairs and the other has not"):
        probe({"mine": model}, train, topics(20, paired=True))
    with pytest.raises(NlprepError, match="no examples to measure on"):
        probe({"mine": model}, train, LabelledTexts([], []))
    with pytest.raises(NlprepError, match="no encoder"):
        probe({}, train, test, bag_of_words=False)
    with pytest.raises(FileError):
        probe({"mine": model / "gone"}, train, test, ProbeConfig(labels="100%"))
