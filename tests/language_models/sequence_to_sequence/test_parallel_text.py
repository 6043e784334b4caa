from __future__ import annotations

import gzip

import numpy as np
import pytest
from language_model_toys import toy_tokenizer

from nlprep.core.errors import FileError, NlprepError
from nlprep.core.randomness import combine
from nlprep.language_models.sequence_to_sequence.parallel_text import (
    DenoisingExamples,
    SpecialIds,
    TranslationExamples,
    encode_sentences,
    read_parallel_text,
)
from nlprep.language_models.text.tokenizers import causal_form
from nlprep.objectives.labels import IGNORED

SENTENCES = ["the river is long", "a sea", "honest people sing and sing again", "yesterday [SEP] here"]


def test_two_files_or_one(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo \nthree\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"un\nx\ndeux\n \n"))
    found = read_parallel_text(tmp_path / "a.txt", tmp_path / "b.gz")
    assert (found.source, found.target, found.num_blank) == (("one", "two"), ("un", "deux"), 2)
    (tmp_path / "both.tsv").write_text("one\tun\n\ntwo\tdeux\n")
    both = read_parallel_text(tmp_path / "both.tsv")
    assert (both.source, both.target, both.num_blank) == (("one", "two"), ("un", "deux"), 1)
    assert both.take(1).source == ("one",)


def test_bad_files_are_named(tmp_path) -> None:
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("un\n")
    with pytest.raises(FileError, match=r"b: has 1 lines and .*a has 2"):
        read_parallel_text(tmp_path / "a", tmp_path / "b")
    (tmp_path / "tsv").write_text("one\tun\ntwo deux\n")
    with pytest.raises(FileError, match=r"tsv:2: expected a sentence, a tab"):
        read_parallel_text(tmp_path / "tsv")
    (tmp_path / "blank").write_text("\n\n")
    with pytest.raises(FileError, match="no pair"):
        read_parallel_text(tmp_path / "blank")


def examples():
    tokenizer = toy_tokenizer()
    return encode_sentences(SENTENCES, tokenizer, 100), SpecialIds.of(tokenizer, causal_form(tokenizer))


def test_pairs_are_padded_and_shifted() -> None:
    sentences, special = examples()
    batch = TranslationExamples(sentences, sentences, special).batch(np.array([1, 2]), np.zeros(2, np.uint64))
    ids = [toy_tokenizer()(text)["input_ids"] for text in SENTENCES[1:3]]
    for row, expected in enumerate(ids):
        length = len(expected)
        assert batch["input_ids"][row, :length].tolist() == expected
        assert batch["attention_mask"][row].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        inner = expected[1:-1]
        assert batch["decoder_input_ids"][row, : length - 1].tolist() == [special.separator, *inner]
        assert batch["labels"][row, : length - 1].tolist() == [*inner, special.separator]
        assert (batch["labels"][row, length - 1 :] == IGNORED).all()


def test_special_tokens_in_a_text_are_text() -> None:
    sentences, special = examples()
    assert special.separator not in sentences[3].tolist()


def test_long_sentences_are_cut_and_counted() -> None:
    cut = encode_sentences(SENTENCES, toy_tokenizer(), 3)
    assert cut.num_cut == sum(len(examples()[0][i]) > 3 for i in range(4)) > 0
    assert [len(cut[i]) for i in range(4)] == [min(3, len(examples()[0][i])) for i in range(4)]


def test_noise_is_a_function_of_the_seed_and_stays_in_bounds() -> None:
    _, special = examples()
    tokens = np.arange(5, 45, dtype=np.int32)
    sentences = encode_sentences(["x"], toy_tokenizer(), 9)
    long = type(sentences)(np.tile(tokens, 500), np.arange(501, dtype=np.int64) * 40, 0)
    made = DenoisingExamples(long, special, drop=0.2, distance=3)
    indices = np.arange(500)
    seeds = combine(7, indices)
    batch = made.batch(indices, seeds)
    again = made.batch(indices[::-1].copy(), seeds[::-1].copy())
    assert (batch["labels"][:, :40] == 5 + np.arange(40)).all()
    lengths = batch["attention_mask"].sum(1) - 2
    assert abs(lengths.float().mean() / 40 - 0.8) < 0.02
    moved = 0
    for row in range(500):
        kept = batch["input_ids"][row, 1 : 1 + lengths[row]].numpy()
        assert (again["input_ids"][499 - row, 1 : 1 + lengths[row]].numpy() == kept).all()
        assert len(set(kept.tolist())) == len(kept)
        # Nothing overtakes what is three places or more away among the tokens kept.
        ranks = np.argsort(np.argsort(kept))
        assert (np.abs(ranks - np.arange(len(kept))) < 3).all()
        moved += (ranks != np.arange(len(kept))).sum()
    assert moved > 1000


def test_something_is_always_left() -> None:
    sentences, special = examples()
    batch = DenoisingExamples(sentences, special, drop=1.0).batch(np.arange(4), np.arange(4, dtype=np.uint64))
    assert (batch["attention_mask"].sum(1) == 3).all()


def test_tokenizers_need_their_special_tokens() -> None:
    from copy import deepcopy

    bare = deepcopy(toy_tokenizer())
    bare.cls_token = None
    with pytest.raises(NlprepError, match="lack cls"):
        SpecialIds.of(bare, toy_tokenizer())
