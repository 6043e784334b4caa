"""Bags of words against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from language_model_toys import sentences
from sklearn.feature_extraction.text import TfidfVectorizer

from nlprep.core.errors import NlprepError
from nlprep.corpus import tokenize
from nlprep.language_models.encoders.tf_idf import TfIdf


def test_the_features_are_scikit_learns():
    train, test = sentences()[:100], [*sentences()[100:130], "quux unknown", ""]
    ours = TfIdf.fit(train)
    reference = TfidfVectorizer(tokenizer=tokenize, lowercase=False, token_pattern=None, vocabulary=ours.vocabulary)
    reference.fit(train)
    np.testing.assert_allclose(ours.features(test).to_dense().numpy(), reference.transform(test).toarray(), atol=1e-12)
    assert ours.dimension == len({word for text in train for word in tokenize(text)})


def test_the_most_frequent_words_are_kept():
    counted = TfIdf.fit(["b a a", "b c", "b c d"], max_words=2)
    assert counted.vocabulary == {"b": 0, "c": 1}


def test_no_words():
    with pytest.raises(NlprepError, match="no words"):
        TfIdf.fit(["", "..."])
