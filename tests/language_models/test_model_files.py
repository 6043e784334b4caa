from __future__ import annotations

import json
import shutil

import pytest
import torch
from language_model_toys import CAUSAL_FAMILIES, MASKED_FAMILIES, toy_causal, toy_masked, toy_tokenizer
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from nlprep.core.errors import FileError, OptionError
from nlprep.language_models.models.files import context_length, find_model, load_language_model, save_language_model
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.tokenizers import train_tokenizer


@pytest.fixture
def saved(tmp_path):
    save_language_model(toy_masked(), toy_tokenizer(), tmp_path / "run" / "model") if (
        tmp_path / "run"
    ).mkdir() is None else None
    return tmp_path / "run"


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_transformers_alone_opens_an_encoder(family, tmp_path) -> None:
    model = toy_masked(family).eval()
    save_language_model(model, toy_tokenizer(), tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    inputs = tokenizer("the River [MASK] long", "é", return_tensors="pt")
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)
    assert inputs["input_ids"].tolist() == [toy_tokenizer()("the River [MASK] long", "é")["input_ids"]]
    # A pair's second text is told apart where the model can.
    assert ("token_type_ids" in inputs) == (family == "bert")
    ours, _ = load_language_model(tmp_path / "model", "masked")
    assert not ours.training
    torch.testing.assert_close(ours(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("family", CAUSAL_FAMILIES)
def test_transformers_alone_opens_a_decoder(family, tmp_path) -> None:
    model = toy_causal(family).eval()
    save_language_model(model, toy_tokenizer(), tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = tokenizer("the River", return_tensors="pt")
    assert inputs["input_ids"][0, 0] != tokenizer.cls_token_id
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)
    assert again.generate(**inputs, max_new_tokens=4, do_sample=False).shape[1] <= inputs["input_ids"].shape[1] + 4


def test_the_body_alone_is_an_encoder(saved) -> None:
    model, _ = load_language_model(saved, "encoder")
    ids = torch.tensor([[2, 10, 3]])
    own = AutoModel.from_pretrained(saved / "model")
    torch.testing.assert_close(model(ids).last_hidden_state, own(ids).last_hidden_state)


def test_context() -> None:
    for family in MASKED_FAMILIES:
        assert context_length(toy_masked(family)) == 32
    for family in CAUSAL_FAMILIES:
        assert context_length(toy_causal(family)) == 32


def refuse(path, kind: str, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        load_language_model(path, kind)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_loaded_is_named(saved, tmp_path) -> None:
    refuse(tmp_path / "missing", "masked", "no such file")
    (tmp_path / "folder").mkdir()
    refuse(tmp_path / "folder", "masked", "holds no model")
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    refuse(tmp_path / "begun", "masked", "not published a model yet")
    refuse(saved, "causal", "holds a BertForMaskedLM, not a causal language model")
    with pytest.raises(OptionError, match="kind"):
        load_language_model(saved, "sequence")
    assert find_model(saved) == saved / "model"


def test_damage_is_named(saved) -> None:
    model = saved / "model"
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refuse(saved, "masked", "cannot be loaded")
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")
    refuse(saved, "masked", "holds no .safetensors")
    (model / "config.json").write_text("{")
    refuse(saved, "masked", "not valid JSON|holds no .safetensors")


def test_code_that_comes_with_a_model_is_not_run(saved, tmp_path) -> None:
    model = saved / "model"
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForMaskedLM": "own.Own"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    refuse(saved, "masked", "cannot be")
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_another_model_is_noticed(saved) -> None:
    other = train_tokenizer(["abc " * 5, *map(chr, range(300, 400))], TokenizerConfig(algorithm="character"))
    larger = train_tokenizer([chr(200 + i) for i in range(400)], TokenizerConfig(algorithm="character"))
    assert len(other) < 300 < len(larger)
    shutil.rmtree(saved / "model")
    save_language_model(toy_masked(), larger, saved / "model")
    refuse(saved, "masked", r"the tokenizer has 405 tokens and the model 300")


def test_an_older_model_stays_when_writing_fails(saved, monkeypatch) -> None:
    before = (saved / "model" / "model.safetensors").read_bytes()
    model = toy_masked(seed=2)
    monkeypatch.setattr(type(model), "save_pretrained", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(FileError, match="no space left"):
        save_language_model(model, toy_tokenizer(), saved / "model")
    assert (saved / "model" / "model.safetensors").read_bytes() == before
