from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.corpus import EncodedCorpus, encode_corpus
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram, training
from nlprep.embeddings.skipgram.compiled_engine import CompiledEngine
from nlprep.embeddings.skipgram.model import example_loss, initial_parameters
from nlprep.embeddings.skipgram.sampling import AliasTable, as_thresholds, epoch_key, keep_probabilities, noise_weights
from nlprep.embeddings.skipgram.skipgram_kernel import keep_range, list_examples

SMALL = {"dimension": 20, "window": 3, "epochs": 2, "subsample": 1e-2, "held_out": 0.01}


@pytest.fixture
def corpus(tmp_path: Path, topic_sentences: list[list[str]]) -> EncodedCorpus:
    return encode_corpus(topic_sentences, tmp_path / "corpus", min_count=1)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_CHUNK_TOKENS", 1000)
    monkeypatch.setattr(training, "_CHUNKS_PER_ROUND", 4)


def _autograd_step(
    inputs: torch.Tensor, outputs: torch.Tensor, contexts: list[int], drawn: np.ndarray, rate: float
) -> None:
    """Descend the loss of one block of contexts, by automatic differentiation, in place."""
    inputs.requires_grad_(True)
    outputs.requires_grad_(True)
    loss = torch.zeros((), dtype=torch.float64)
    for context in contexts:
        for k, word in enumerate(drawn):
            if word >= 0:
                score = inputs[context] @ outputs[word]
                loss = loss - torch.nn.functional.logsigmoid(score if k == 0 else -score)
    loss.backward()
    with torch.no_grad():
        inputs -= rate * inputs.grad
        outputs -= rate * outputs.grad
    inputs.requires_grad_(False)
    outputs.requires_grad_(False)
    inputs.grad = outputs.grad = None


@pytest.mark.parametrize("negatives", [2, 5, 7])
@pytest.mark.slow
def test_training_is_gradient_descent_on_the_stated_loss(tmp_path: Path, negatives: int) -> None:
    # Many words, so that no centre draws a negative twice: then the second would see the first one's update.
    words = [[f"w{generated}" for generated in row] for row in np.arange(4000).reshape(200, 20)]
    corpus = encode_corpus(words, tmp_path / "c", min_count=1)
    config = SkipGramConfig(**SMALL | {"negatives": negatives, "held_out": 0.0, "seed": 5})
    start = initial_parameters(len(corpus.vocabulary), config)
    start.outputs[:] = np.random.default_rng(3).normal(size=start.outputs.shape) * 0.3
    start.inputs[:] *= 20
    engine = CompiledEngine(corpus, config, np.asarray(corpus.offsets), 1, start)
    inputs, outputs = (torch.tensor(m, dtype=torch.float64) for m in (start.inputs, start.outputs))
    key = epoch_key(config.seed, 0)
    num_trained = 2
    for s in range(num_trained):
        contexts = np.empty(1000, np.int32)
        drawn = np.empty((1000, negatives + 1), np.int32)
        first, last = int(corpus.offsets[s]), int(corpus.offsets[s + 1])
        count = list_examples(
            corpus.ids, first, last, config.window, negatives, key, engine._keep,
            engine._negatives.thresholds, engine._negatives.aliases, contexts, drawn,
        )  # fmt: skip
        # The kernel's blocks: contexts of one centre two at a time unless equal, outputs six at a time.
        e = 0
        while e < count:
            block = [int(contexts[e])]
            assert len(set(drawn[e])) == negatives + 1
            same_centre = e + 1 < count and (drawn[e] == drawn[e + 1]).all()
            if same_centre and contexts[e + 1] != contexts[e]:
                block.append(int(contexts[e + 1]))
            for tile in range(0, negatives + 1, 6):
                labels = np.full(negatives + 1, -1)
                labels[tile : tile + 6] = drawn[e][tile : tile + 6]
                _autograd_step(inputs, outputs, block, labels, 0.05)
            e += len(block)
    engine._train_chunk(0, int(corpus.offsets[num_trained]), 0, 0.05, 0.05)
    trained = engine.parameters()
    assert np.abs(trained.inputs - start.inputs).max() > 1e-2
    np.testing.assert_allclose(trained.inputs, inputs.numpy(), atol=2e-5)
    np.testing.assert_allclose(trained.outputs, outputs.numpy(), atol=2e-5)


def test_example_loss_is_its_closed_form() -> None:
    scores = np.array([[1, 1], [3, 0]], np.float32)
    loss = example_loss(scores, np.array([[0, 1], [1, -1]], np.int32))
    expected = np.log1p(np.exp(-1)) + np.log1p(np.exp(1)) + np.log1p(np.exp(-3))
    assert loss == pytest.approx(expected / 2, rel=1e-6)


def _survivors(ids: np.ndarray, start: int, end: int, first: int, last: int, window: int, keep: np.ndarray):
    words = np.empty(last - first + 2 * window, np.int32)
    positions = np.empty(last - first + 2 * window, np.int64)
    found = keep_range(ids, start, end, first, last, window, np.uint64(5), keep, words, positions)
    return positions[: found[0]].tolist(), found[1], found[2]


@pytest.mark.slow
def test_a_range_sees_across_its_edges_and_nothing_is_cut() -> None:
    ids = np.random.default_rng(0).integers(0, 50, 25_000).astype(np.int32)
    keep = as_thresholds(np.full(50, 0.4))
    whole, _, _ = _survivors(ids, 0, len(ids), 0, len(ids), 5, keep)
    assert abs(len(whole) - 10_000) < 300
    joined = []
    for first in range(0, len(ids), 3000):
        last = min(first + 3000, len(ids))
        positions, inside_first, inside_last = _survivors(ids, 0, len(ids), first, last, 5, keep)
        inside = positions[inside_first:inside_last]
        joined += inside
        at = whole.index(inside[0])
        assert positions == whole[max(0, at - 5) : at + len(inside) + 5]
    assert joined == whole


@pytest.mark.slow
def test_windows_survivors_and_negatives_follow_their_distributions() -> None:
    generator = np.random.default_rng(1)
    counts = np.array([8000, 4000, 2000, 1000, 500], np.int64)
    ids = generator.permutation(np.repeat(np.arange(5, dtype=np.int32), counts))
    table = AliasTable.build(noise_weights(counts, 0.75))
    keep = as_thresholds(keep_probabilities(counts, 0.05))
    window = 4
    contexts = np.empty(2 * window * len(ids), np.int32)
    outputs = np.empty((len(contexts), 4), np.int32)
    count = list_examples(
        ids, 0, len(ids), window, 3, np.uint64(9), keep, table.thresholds, table.aliases, contexts, outputs
    )
    outputs = outputs[:count]
    # Two contexts for each step of a width that averages (1 + window) / 2.
    expected_kept = (counts * keep_probabilities(counts, 0.05)).sum()
    assert count == pytest.approx(expected_kept * (window + 1), rel=0.02)
    # Each centre is followed by its own contexts: take one example of each.
    changed = np.any(outputs[1:] != outputs[:-1], axis=1)
    centres = outputs[1:][changed]
    shares = noise_weights(counts, 0.75) / noise_weights(counts, 0.75).sum()
    for word in range(5):
        others = centres[centres[:, 0] != word, 1:]
        assert (others == word).mean() == pytest.approx(shares[word], abs=0.02)
    assert not (centres[:, 1:] == centres[:, :1]).any()


def test_one_thread_repeats_itself_bit_for_bit(corpus: EncodedCorpus) -> None:
    one, two = (train_skipgram(corpus, SkipGramConfig(**SMALL), threads=1) for _ in range(2))
    other = train_skipgram(corpus, SkipGramConfig(**SMALL, seed=2), threads=1)
    assert (one.vectors.matrix == two.vectors.matrix).all()
    assert [report.loss for report in one.losses] == [report.loss for report in two.losses]
    assert (one.vectors.matrix != other.vectors.matrix).any()


def test_it_learns_and_threads_agree(corpus: EncodedCorpus) -> None:
    config = SkipGramConfig(**SMALL | {"epochs": 4})
    one, two = train_skipgram(corpus, config, threads=1), train_skipgram(corpus, config, threads=2)
    for result in (one, two):
        assert result.losses[0].loss == pytest.approx(6 * np.log(2), rel=0.1)
        assert result.losses[-1].loss < 0.8 * result.losses[0].loss
        neighbours = [word for word, _ in result.vectors.neighbors("a1", top=10)]
        assert all(word.startswith("a") for word in neighbours)
    assert two.losses[-1].loss == pytest.approx(one.losses[-1].loss, rel=0.03)


def test_held_out_text_is_not_trained_on_and_all_else_is(corpus: EncodedCorpus) -> None:
    plan = training._plan(corpus, SkipGramConfig(**SMALL))
    seen = np.zeros(corpus.num_tokens, int)
    for first, last in [*zip(plan.firsts, plan.lasts, strict=True), *plan.spans]:
        seen[first:last] += 1
    assert (seen == 1).all()
    assert sum(last - first for first, last in plan.spans) == pytest.approx(corpus.num_tokens * 0.01, rel=0.2)
    # No window reaches from trained text into a held-out span: its edges are edges of sentences.
    assert set(np.array(plan.spans).ravel().tolist()) <= set(plan.bounds.tolist())
    without = training._plan(corpus, SkipGramConfig(**SMALL | {"held_out": 0.0}))
    assert without.spans == []
    assert without.tokens_per_epoch == corpus.num_tokens


@pytest.mark.usefixtures("short_chunks")
def test_an_interrupted_run_goes_on_to_the_same_vectors(
    corpus: EncodedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SkipGramConfig(**SMALL)
    whole = train_skipgram(corpus, config, threads=1)
    state = tmp_path / "state"
    rounds = []
    advance = training._SkipGramRun.advance

    def press_ctrl_c(run: training._SkipGramRun, task: object) -> None:
        rounds.append(run.chunk)
        if len(rounds) in (3, 11):
            os.kill(os.getpid(), signal.SIGINT)
        advance(run, task)

    monkeypatch.setattr(training._SkipGramRun, "advance", press_ctrl_c)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_skipgram(corpus, config, threads=1, state=state)
        assert state.is_dir()
    resumed = train_skipgram(corpus, config, threads=1, state=state)
    assert (resumed.vectors.matrix == whole.vectors.matrix).all()
    assert resumed.losses == whole.losses
    assert resumed.tokens < whole.tokens
    assert not state.exists()


@pytest.mark.usefixtures("short_chunks")
def test_a_state_of_another_run_is_refused(corpus: EncodedCorpus, tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = training._SkipGramRun(
        corpus, SkipGramConfig(**SMALL), training._plan(corpus, SkipGramConfig(**SMALL)), 1, state
    )
    run.save()
    with pytest.raises(NlprepError, match=r"state: was saved with window = 3, not 4: train with the settings"):
        train_skipgram(corpus, SkipGramConfig(**SMALL | {"window": 4}), state=state)
    other = encode_corpus([["x", "y", "z"]] * 50, tmp_path / "other", min_count=1)
    with pytest.raises(NlprepError, match="another corpus"):
        train_skipgram(other, SkipGramConfig(**SMALL), state=state)
    assert state.is_dir()


def test_training_outside_the_main_thread(corpus: EncodedCorpus) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(train_skipgram(corpus, SkipGramConfig(**SMALL | {"epochs": 1}), threads=1))
    )
    thread.start()
    thread.join()
    assert len(results[0].vectors) == len(corpus.vocabulary)


def test_divergence_is_an_error_not_a_result(corpus: EncodedCorpus) -> None:
    config = SkipGramConfig(**SMALL | {"learning_rate": 10.0, "min_learning_rate": 10.0, "epochs": 8})
    with pytest.raises(NlprepError, match="lower the learning rate"):
        train_skipgram(corpus, config, threads=1)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(OptionError, match=r"dimension = 0: must be at least 1"):
        SkipGramConfig(dimension=0)
    with pytest.raises(OptionError, match=r"window = 'wide': expected int"):
        SkipGramConfig(window="wide")  # type: ignore[arg-type]
    with pytest.raises(NlprepError, match="min_learning_rate"):
        SkipGramConfig(learning_rate=0.01, min_learning_rate=0.02)


def test_a_vocabulary_of_one_word_is_refused(tmp_path: Path) -> None:
    corpus = encode_corpus([["same"] * 20], tmp_path / "c", min_count=1)
    with pytest.raises(NlprepError, match="training needs 2"):
        train_skipgram(corpus)


@pytest.mark.parametrize("harm", ["id above", "id below", "offset falls"])
def test_a_damaged_corpus_is_refused_before_compiled_code_looks_its_ids_up(corpus: EncodedCorpus, harm: str) -> None:
    ids, offsets = np.array(corpus.ids), np.array(corpus.offsets)
    if harm == "id above":
        ids[len(ids) // 2] = len(corpus.vocabulary)
    elif harm == "id below":
        ids[-1] = -1
    else:
        offsets[2] = offsets[1]
    with pytest.raises(FileError, match="encode the corpus again"):
        train_skipgram(replace(corpus, ids=ids, offsets=offsets), SkipGramConfig(**SMALL), threads=1)
