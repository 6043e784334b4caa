from __future__ import annotations

import json
import random

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.language_models.text.configuration import ALGORITHMS, TokenizerConfig
from nlprep.language_models.text.tokenizers import (
    SPECIAL_TOKENS,
    causal_form,
    load_tokenizer,
    save_tokenizer,
    tokenizer_digest,
    train_tokenizer,
)

WORDS = [
    "The",
    "the",
    "river",
    "Fleuve",
    "été",
    "ÉTÉ",
    "naïve",
    "straße",
    "Ελλάδα",
    "Москва",
    "東京",
    "हिन्दी",
    "مرحبا",
    "🙂",
    "👩\u200d👩\u200d👧",
    "a1",
    "x_y",
    "don't",
    "3.14",
    "ß",
    "İ",
]
TEXTS = [" ".join(random.Random(seed).choices(WORDS, k=12)) for seed in range(300)]
AWKWARD = [
    *TEXTS[:3],
    "MiXeD CaSe, accents: àéîõü ÀÉÎÕÜ — and dashes",
    "two  spaces\tand a tab\nand a line",
    "unseen: ☃ Ω 漢字 Ҩ",
    "[SEP] spelled out",
    "",
    " ",
]


@pytest.fixture(scope="module", params=[(name, lower) for name in ALGORITHMS for lower in (False, True)], ids=str)
def trained(request):
    algorithm, lowercase = request.param
    return algorithm, lowercase, train_tokenizer(TEXTS, TokenizerConfig(algorithm=algorithm, lowercase=lowercase))


def test_a_reload_is_the_same_tokenizer(trained, tmp_path) -> None:
    _, _, tokenizer = trained
    save_tokenizer(tokenizer, tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer_digest(again) == tokenizer_digest(tokenizer)
    assert len(again) == len(tokenizer)
    for text in AWKWARD:
        expected = tokenizer(text)
        found = again(text)
        assert found["input_ids"] == expected["input_ids"], text
        assert found["attention_mask"] == expected["attention_mask"]
        ids = expected["input_ids"]
        assert again.decode(ids) == tokenizer.decode(ids)
        assert again.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids, skip_special_tokens=True)
    pair = tokenizer("one", "two", return_token_type_ids=True)
    assert dict(again("one", "two", return_token_type_ids=True)) == dict(pair)
    for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        assert getattr(again, f"{role}_token_id") == getattr(tokenizer, f"{role}_token_id") is not None


def test_version_4_can_open_it(trained, tmp_path) -> None:
    """The class names that version 4 knows end in Tokenizer or TokenizerFast."""
    save_tokenizer(trained[2], tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (tmp_path / "saved" / "tokenizer.json").is_file()


def test_special_tokens_come_first_and_wrap_a_text(trained) -> None:
    tokenizer = trained[2]
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4]
    ids = tokenizer("river")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_what_is_lossless_and_what_case_does(trained) -> None:
    algorithm, lowercase, tokenizer = trained
    seen = TEXTS[0]
    decoded = tokenizer.decode(tokenizer(seen)["input_ids"], skip_special_tokens=True)
    if algorithm in ("byte-bpe", "character"):
        assert decoded == (seen.lower() if lowercase else seen)
    same = tokenizer("The RIVER")["input_ids"] == tokenizer("the river")["input_ids"]
    assert same == lowercase
    # Accents are never taken away.
    assert tokenizer("été")["input_ids"] != tokenizer("ete")["input_ids"]


def test_a_mask_stands_for_the_space_before_it_where_words_carry_theirs(tmp_path) -> None:
    for algorithm in ALGORITHMS:
        tokenizer = train_tokenizer(TEXTS, TokenizerConfig(algorithm=algorithm))
        save_tokenizer(tokenizer, tmp_path / algorithm)
        for version in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / algorithm)):
            tokens = version.convert_ids_to_tokens(version("a1 [MASK] a1")["input_ids"])
            before = tokens[tokens.index("[MASK]") - 1]
            assert before == (" " if algorithm == "character" else "1" if algorithm == "byte-bpe" else before)
            assert before not in ("Ġ", "▁")


def test_bytes_lose_nothing_of_any_text() -> None:
    tokenizer = train_tokenizer(["abc"] * 3, TokenizerConfig())
    for text in AWKWARD:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.unk_token_id not in ids


def test_training_is_deterministic() -> None:
    for algorithm in ("byte-bpe", "bpe", "character"):
        config = TokenizerConfig(algorithm=algorithm)
        assert tokenizer_digest(train_tokenizer(TEXTS, config)) == tokenizer_digest(train_tokenizer(TEXTS, config))


def test_causal_form_adds_nothing_to_a_text(trained, tmp_path) -> None:
    tokenizer = trained[2]
    causal = causal_form(tokenizer)
    assert causal("river")["input_ids"] == tokenizer("river")["input_ids"][1:-1]
    assert causal.bos_token_id == causal.eos_token_id == tokenizer.sep_token_id
    assert tokenizer_digest(causal) == tokenizer_digest(tokenizer)
    # The original is as it was.
    assert tokenizer("river")["input_ids"][0] == tokenizer.cls_token_id
    save_tokenizer(causal, tmp_path / "causal")
    assert AutoTokenizer.from_pretrained(tmp_path / "causal")("river")["input_ids"] == causal("river")["input_ids"]


@pytest.mark.parametrize("algorithm", ["byte-bpe", "bpe", "wordpiece"])
def test_more_tokens_than_the_text_supports(algorithm) -> None:
    with pytest.raises(OptionError, match=r"vocabulary_size = 5,000: this text supports \d+ tokens") as caught:
        train_tokenizer(TEXTS, TokenizerConfig(algorithm=algorithm, vocabulary_size=5000))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("algorithm", "size"), [("byte-bpe", 100), ("bpe", 20), ("wordpiece", 20)])
def test_fewer_tokens_than_the_alphabet(algorithm, size) -> None:
    with pytest.raises(OptionError, match=f"vocabulary_size = {size}"):
        train_tokenizer(TEXTS, TokenizerConfig(algorithm=algorithm, vocabulary_size=size))


@pytest.mark.parametrize("algorithm", ["byte-bpe", "bpe", "wordpiece", "unigram"])
def test_a_size_that_is_supported_is_the_size(algorithm) -> None:
    size = {"byte-bpe": 280, "unigram": 64}.get(algorithm, 100)
    assert len(train_tokenizer(TEXTS, TokenizerConfig(algorithm=algorithm, vocabulary_size=size))) == size


def test_rare_characters_give_way() -> None:
    tokenizer = train_tokenizer(["aaabbc"], TokenizerConfig(algorithm="character", vocabulary_size=7))
    assert tokenizer.convert_ids_to_tokens([5, 6]) == ["a", "b"]
    assert tokenizer("c", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id]


def test_no_text_is_said() -> None:
    for algorithm in ("byte-bpe", "character"):
        with pytest.raises(NlprepError, match="no text"):
            train_tokenizer([], TokenizerConfig(algorithm=algorithm))
    with pytest.raises(NlprepError, match="one text was given where documents are meant"):
        train_tokenizer("a text by itself")


def test_what_cannot_be_loaded_is_named(tmp_path) -> None:
    with pytest.raises(FileError, match="no such file"):
        load_tokenizer(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"holds no tokenizer.json"):
        load_tokenizer(tmp_path / "empty")
    (tmp_path / "run").mkdir()
    save_tokenizer(train_tokenizer(TEXTS), tmp_path / "run" / "model")
    assert isinstance(load_tokenizer(tmp_path / "run"), PreTrainedTokenizerFast)
    (tmp_path / "run" / "model" / "tokenizer.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read") as caught:
        load_tokenizer(tmp_path / "run" / "model")
    assert "\n" not in str(caught.value)


def test_an_older_one_stays_when_writing_fails(tmp_path, monkeypatch) -> None:
    tokenizer = train_tokenizer(TEXTS)
    save_tokenizer(tokenizer, tmp_path / "saved")
    before = (tmp_path / "saved" / "tokenizer.json").read_bytes()
    other = train_tokenizer(TEXTS, TokenizerConfig(lowercase=True))
    monkeypatch.setattr(type(other), "save_pretrained", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(FileError, match="no space left"):
        save_tokenizer(other, tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").read_bytes() == before
