from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.language_models.text import token_files
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.token_files import TokenFile, tokenize_documents
from nlprep.language_models.text.tokenizers import train_tokenizer

DOCUMENTS = [f"document number {i} says [SEP] {'word ' * (i % 7)}é{i}" for i in range(200)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(DOCUMENTS, TokenizerConfig(vocabulary_size=300))


def documents_of(tokens: TokenFile, tokenizer) -> list[str]:
    return [
        tokenizer.decode(tokens.ids[start : start + length].tolist())
        for start, length in zip(tokens.starts, tokens.lengths, strict=True)
    ]


def test_what_goes_in_comes_out(tokenizer, tmp_path) -> None:
    train, validation = tokenize_documents(iter(DOCUMENTS), tokenizer, tmp_path / "tokens")
    assert validation is None
    assert documents_of(train, tokenizer) == DOCUMENTS
    assert train.num_bytes == sum(len(text.encode()) for text in DOCUMENTS)
    assert train.num_documents == 200
    assert train.ids.dtype == np.uint16
    assert tokenizer.sep_token_id not in train.ids
    assert not train.ids.flags.writeable


def test_the_split_is_a_function_of_the_seed_alone(tokenizer, tmp_path, monkeypatch) -> None:
    train, validation = tokenize_documents(
        DOCUMENTS, tokenizer, tmp_path / "one", validation_fraction=0.2, seed=3, provenance={"from": "here"}
    )
    assert 20 <= validation.num_documents <= 60
    assert sorted(documents_of(train, tokenizer) + documents_of(validation, tokenizer)) == sorted(DOCUMENTS)
    assert train.num_bytes + validation.num_bytes == sum(len(text.encode()) for text in DOCUMENTS)
    assert train.provenance == {"from": "here"}
    # However the documents are batched.
    monkeypatch.setattr(token_files, "_BATCH_CHARACTERS", 100)
    _, again = tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "two", validation_fraction=0.2, seed=3)
    assert documents_of(again, tokenizer) == documents_of(validation, tokenizer)
    _, other = tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "three", validation_fraction=0.2, seed=4)
    assert documents_of(other, tokenizer) != documents_of(validation, tokenizer)


@pytest.mark.parametrize("fraction", [1e-9, 0.999999])
def test_neither_part_is_empty(tokenizer, tmp_path, fraction) -> None:
    train, validation = tokenize_documents(DOCUMENTS[:5], tokenizer, tmp_path / "t", validation_fraction=fraction)
    assert {train.num_documents, validation.num_documents} == {1, 4}


def test_a_single_document_is_cut_in_two(tokenizer, tmp_path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(1000))
    train, validation = tokenize_documents([text], tokenizer, tmp_path / "t", validation_fraction=0.1)
    assert documents_of(train, tokenizer) == [text[:900]]
    assert documents_of(validation, tokenizer) == [text[900:]]


def test_long_documents_are_tokenized_in_pieces(tokenizer, tmp_path, monkeypatch) -> None:
    text = "\n".join(DOCUMENTS)
    whole, _ = tokenize_documents([text], tokenizer, tmp_path / "whole")
    monkeypatch.setattr(token_files, "_PIECE_CHARACTERS", 100)
    cut, _ = tokenize_documents([text, "y" * 1000], tokenizer, tmp_path / "cut")
    assert documents_of(cut, tokenizer) == [text, "y" * 1000]
    assert abs(cut.lengths[0] - whole.lengths[0]) < len(text) / 50


def test_another_tokenizer_is_noticed(tokenizer, tmp_path) -> None:
    train, _ = tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "tokens")
    train.check_tokenizer(tokenizer)
    with pytest.raises(FileError, match="another tokenizer"):
        train.check_tokenizer(train_tokenizer(DOCUMENTS, TokenizerConfig(vocabulary_size=290)))


def test_bad_input(tokenizer, tmp_path) -> None:
    with pytest.raises(OptionError, match="validation_fraction"):
        tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "t", validation_fraction=1.0)
    with pytest.raises(NlprepError, match="no tokens"):
        tokenize_documents([], tokenizer, tmp_path / "t")
    assert not (tmp_path / "t").exists()
    tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "t")
    with pytest.raises(OptionError, match="split"):
        TokenFile.load(tmp_path / "t", "test")
    data = (tmp_path / "t" / "tensors.safetensors").read_bytes()
    (tmp_path / "t" / "tensors.safetensors").write_bytes(data[:-100])
    with pytest.raises(FileError, match="cut short"):
        TokenFile.load(tmp_path / "t")


def test_one_text_is_not_taken_for_as_many_documents_as_it_has_characters(tokenizer, tmp_path) -> None:
    with pytest.raises(NlprepError, match="one text was given where documents are meant"):
        tokenize_documents("a text", tokenizer, tmp_path / "tokens")


def test_a_failure_leaves_the_old_file(tokenizer, tmp_path) -> None:
    tokenize_documents(DOCUMENTS, tokenizer, tmp_path / "t")

    def failing():
        yield "one"
        raise NlprepError("no more")

    with pytest.raises(NlprepError, match="no more"):
        tokenize_documents(failing(), tokenizer, tmp_path / "t")
    assert TokenFile.load(tmp_path / "t").num_documents == 200
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
