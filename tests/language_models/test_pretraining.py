from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from language_model_toys import sentences
from pretraining_run import SHAPE, STEPS, pretrain
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.language_models.generators.perplexity import measure_perplexity
from nlprep.language_models.pretraining.configuration import CausalPretrainingConfig, MaskedPretrainingConfig
from nlprep.language_models.pretraining.training import pretrain_causal, pretrain_masked
from nlprep.language_models.text.configuration import TokenizerConfig

RUN = Path(__file__).with_name("pretraining_run.py")


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(sentences()) + "\n")
    return path


def weights(directory: Path) -> bytes:
    return (directory / "model" / "model.safetensors").read_bytes()


# At steps before the first checkpoint, at one, and between two.
KILLED = [("masked", 0, "bf16", 7), ("masked", 2, "fp32", 11), ("causal", 0, "fp32", 2), ("causal", 2, "bf16", 9)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory, warm_python) -> Path:
    """Runs that died, each in a directory of its number, and the text that they read."""
    folder = tmp_path_factory.mktemp("killed")
    text = folder / "text.txt"
    text.write_text("\n".join(sentences()) + "\n")
    names = ("kind", "workers", "precision", "kill_at")
    runs = [
        {**dict(zip(names, values, strict=True)), "text": str(text), "directory": str(folder / str(number))}
        for number, values in enumerate(KILLED)
    ]
    (folder / "runs.json").write_text(json.dumps(runs))
    environment = os.environ | {"PYTHONPATH": str(RUN.parents[2]), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = warm_python.run(RUN, folder / "runs.json", timeout=250, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * len(KILLED), done.stderr
    return folder


@pytest.mark.parametrize("number", range(len(KILLED)), ids=["-".join(map(str, run)) for run in KILLED])
@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(number, killed, tmp_path) -> None:
    kind, workers, precision, kill_at = KILLED[number]
    text, directory = killed / "text.txt", killed / str(number)
    assert not (directory / "model").exists()
    whole = pretrain(kind, text, tmp_path / "whole", workers=workers, precision=precision)
    resumed = pretrain(kind, text, directory, workers=workers, precision=precision)
    # The last checkpoint before the step at which it died; before the first one, from the beginning.
    assert resumed.history.resumed_from == ((kill_at - 1) // 4 * 4 or None)
    assert weights(directory) == weights(tmp_path / "whole")
    plain = [
        [{k: v for k, v in record.items() if k != "tokens_per_second"} for record in run.history.records]
        for run in (whole, resumed)
    ]
    assert plain[0] == plain[1]


@pytest.mark.slow
def test_a_masked_run_is_a_model_that_transformers_opens(text, tmp_path) -> None:
    run = pretrain("masked", text, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    inputs = tokenizer("the [MASK] is long", return_tensors="pt")
    torch.testing.assert_close(model(**inputs).logits, run.model.eval()(**inputs).logits)
    assert run.summary["steps"] == STEPS
    assert run.summary["train_tokens"] + run.summary["validation_tokens"] > 1000
    validation = run.summary["validation"]
    assert validation["perplexity"] == pytest.approx(math.exp(validation["loss"]))
    assert validation["loss"] == run.history.best_loss
    assert 0 <= validation["accuracy"] <= 1
    assert run.summary["settings"]["masking"]["masking_rate"] == 0.15
    # Again: nothing is left to do, and nothing changes.
    before = weights(tmp_path / "run")
    again = pretrain("masked", text, tmp_path / "run")
    assert again.history.resumed_from == STEPS
    assert weights(tmp_path / "run") == before


@pytest.mark.slow
def test_a_causal_runs_bits_per_byte_are_those_of_its_documents(text, tmp_path) -> None:
    run = pretrain("causal", text, tmp_path / "run")
    AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    held = run.validation
    documents = [
        run.tokenizer.decode(held.ids[start : start + length].tolist())
        for start, length in zip(held.starts, held.lengths, strict=True)
    ]
    # Packed blocks show a document the ones before it; alone, each begins with no context.
    found = measure_perplexity(run.model.eval(), run.tokenizer, documents)
    assert (found.tokens, found.bytes) == (held.num_tokens + held.num_documents, held.num_bytes + held.num_documents)
    expected = run.summary["validation"]["loss"] * found.tokens / math.log(2) / found.bytes
    assert run.summary["validation"]["bits_per_byte"] == pytest.approx(expected)
    assert found.bits_per_byte == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_training_learns(text, tmp_path) -> None:
    config = CausalPretrainingConfig(layers=1, width=32, heads=2, block_length=32)
    training = TrainingConfig(steps=60, batch_size=16, learning_rate=1e-2, precision="fp32", log_every=5)
    run = pretrain_causal(
        [text], tmp_path / "run", config=config, training=training, tokenizer=TokenizerConfig(vocabulary_size=300)
    )
    first = run.history.records[0]["loss"]
    assert first == pytest.approx(math.log(300), abs=0.5)
    assert run.summary["validation"]["loss"] < first - 2


@pytest.mark.slow
def test_another_text_or_model_is_not_resumed(text, tmp_path) -> None:
    pretrain("masked", text, tmp_path / "run")
    before = weights(tmp_path / "run")
    with pytest.raises(OptionError, match=r"made with vocabulary_size = 300, now None"):
        pretrain_masked([text], tmp_path / "run", config=MaskedPretrainingConfig(**SHAPE))
    with pytest.raises(OptionError, match=r"made with width = 16, now 32"):
        pretrain_masked(
            [text],
            tmp_path / "run",
            config=MaskedPretrainingConfig(**SHAPE | {"width": 32}),
            tokenizer=TokenizerConfig(vocabulary_size=300),
        )
    with pytest.raises(OptionError, match="learning_rate"):
        _pretrain_with_another_rate(text, tmp_path / "run")
    text.write_text("other " * 500)
    with pytest.raises(OptionError, match=r"another text: the content of 'text\.txt' has changed \("):
        pretrain("masked", text, tmp_path / "run")
    assert weights(tmp_path / "run") == before


def _pretrain_with_another_rate(text, directory) -> None:
    training = TrainingConfig(
        steps=STEPS, batch_size=8, micro_batch_size=4, learning_rate=1e-3, precision="fp32", checkpoint_every=4,
        evaluate_every=5, log_every=3, seed=3,
    )  # fmt: skip
    tokenizer = TokenizerConfig(vocabulary_size=300)
    config = MaskedPretrainingConfig(**SHAPE)
    pretrain_masked([text], directory, config=config, training=training, tokenizer=tokenizer)


@pytest.mark.slow
def test_bad_input_is_one_line(tmp_path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "short.txt").write_text("a few words\nand a few more\n")
    (tmp_path / "latin.txt").write_bytes(b"one\ncaf\xe9\n")
    cases = [
        ("empty.txt", {}, NlprepError, "no text in there"),
        ("short.txt", {}, NlprepError, "fewer than one block of 128"),
        ("latin.txt", {}, FileError, r"latin.txt:2: byte 0xe9"),
        ("short.txt", {"tokenizer": TokenizerConfig(vocabulary_size=5000)}, OptionError, "this text supports"),
        ("missing.txt", {}, FileError, "no such file"),
    ]
    for name, settings, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            pretrain_masked([tmp_path / name], tmp_path / f"run-{message[:5]}", **settings)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / f"run-{message[:5]}" / "model").exists()
