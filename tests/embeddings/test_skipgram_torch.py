from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import nlprep.embeddings.skipgram.torch_engine as engine_module
from nlprep.core.errors import OptionError
from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram, training
from nlprep.embeddings.skipgram.compiled_engine import CompiledEngine
from nlprep.embeddings.skipgram.model import Chunk, Parameters, example_loss, initial_parameters
from nlprep.embeddings.skipgram.sampling import HELD_OUT_EPOCH
from nlprep.embeddings.skipgram.torch_engine import (
    Sampler,
    TorchEngine,
    default_num_centres,
    loss_and_gradients,
    score_residuals,
    step_factors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TEXT = (Path(__file__).parents[2] / "../shared/data/text/tinyshakespeare.txt").resolve()
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Batches this small gain nothing from threads, which on a busy machine wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_corpus(directory: Path, lengths: list[int], num_words: int, seed: int = 0) -> EncodedCorpus:
    """Random sentences whose words follow Zipf's law."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, num_words + 1)
    draws = rng.choice(num_words, sum(lengths), p=weights / weights.sum())
    sentences = np.split(draws, np.cumsum(lengths)[:-1])
    return encode_corpus([[f"w{i}" for i in sentence] for sentence in sentences], directory, min_count=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> EncodedCorpus:
    lengths = [1, 2, 3, 40, 5000, 7, 1, 300, 25]
    return make_corpus(tmp_path_factory.mktemp("corpora") / "corpus", lengths, 60)


def compiled_engine(corpus: EncodedCorpus, config: SkipGramConfig) -> CompiledEngine:
    start = initial_parameters(len(corpus.vocabulary), config)
    return CompiledEngine(corpus, config, np.asarray(corpus.offsets), 1, start)


def torch_engine(corpus: EncodedCorpus, config: SkipGramConfig, **options: Any) -> TorchEngine:
    start = initial_parameters(len(corpus.vocabulary), config)
    return TorchEngine(corpus, config, np.asarray(corpus.offsets), start, **options)


@pytest.mark.parametrize("subsample", [0.0, 1e-2, 1e-4])
@pytest.mark.parametrize(("window", "negatives", "seed"), [(1, 1, 0), (5, 5, 1), (3, 7, 2**40)])
def test_both_engines_draw_the_same_examples(
    corpus: EncodedCorpus, subsample: float, window: int, negatives: int, seed: int
) -> None:
    config = SkipGramConfig(dimension=4, window=window, negatives=negatives, subsample=subsample, seed=seed)
    expected_contexts, expected_outputs = compiled_engine(corpus, config).examples(0, corpus.num_tokens)
    contexts, outputs = torch_engine(corpus, config).examples(0, corpus.num_tokens)
    assert len(contexts) > 10
    assert contexts.dtype == outputs.dtype == np.int32
    np.testing.assert_array_equal(contexts, expected_contexts)
    np.testing.assert_array_equal(outputs, expected_outputs)


@pytest.mark.parametrize("subsample", [0.0, 1e-5])
def test_windows_do_not_depend_on_where_a_stretch_is_cut(corpus: EncodedCorpus, subsample: float) -> None:
    # At 1e-5 about one word in forty survives: context is found far outside the stretch.
    config = SkipGramConfig(dimension=4, subsample=subsample)
    sampler = Sampler(corpus, config, np.asarray(corpus.offsets), CPU)
    whole = sampler.windows(0, corpus.num_tokens, epoch=3)
    cuts = [0, 1, 4, 50, 51, 900, 4000, 5046, corpus.num_tokens]
    parts = [sampler.windows(first, last, epoch=3) for first, last in pairwise(cuts)]
    for name in ("positions", "contexts", "context_mask", "outputs", "output_mask"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name


def test_windows_stay_in_their_sentence_and_leave_out_the_centre(corpus: EncodedCorpus) -> None:
    config = SkipGramConfig(dimension=4, subsample=0, window=4)
    windows = Sampler(corpus, config, np.asarray(corpus.offsets), CPU).windows(0, corpus.num_tokens, epoch=0)
    assert windows.positions.tolist() == list(range(corpus.num_tokens))
    offsets = corpus.offsets.tolist()
    for position in (0, 1, 2, 3, 5, 6, 45, 46, 2000, 5045, 5046, corpus.num_tokens - 1):
        sentence = int(np.searchsorted(offsets, position, side="right")) - 1
        found = windows.contexts[position][windows.context_mask[position]].tolist()
        candidates = [
            np.concatenate(
                [
                    corpus.ids[max(offsets[sentence], position - width) : position],
                    corpus.ids[position + 1 : min(offsets[sentence + 1], position + width + 1)],
                ]
            ).tolist()
            for width in range(1, 5)
        ]
        assert found in candidates
        assert windows.outputs[position, 0] == corpus.ids[position]
        same = windows.outputs[position, 1:] == corpus.ids[position]
        assert torch.equal(windows.output_mask[position, 1:], ~same)


def slow_loss(x: NDArray[Any], w: NDArray[Any], weights: NDArray[Any]) -> float:
    total = 0.0
    for b in range(len(x)):
        for c in range(x.shape[1]):
            for r in range(w.shape[1]):
                score = float(x[b, c] @ w[b, r]) * (1 if r == 0 else -1)
                total -= weights[b, c, r] * np.log(1 / (1 + np.exp(-score)))
    return total


def random_batch(seed: int = 0, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    w = scale * torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    weights = torch.rand(3, 4, 6, generator=generator, dtype=torch.float64)
    weights *= torch.rand(3, 4, 6, generator=generator) < 0.7
    return x, w, weights


def test_loss_and_gradients_agree_with_a_slow_reference_and_autograd() -> None:
    x, w, weights = random_batch()
    loss_tensor, by_x, by_w = loss_and_gradients(x, w, weights)
    loss = float(loss_tensor)
    assert loss == pytest.approx(slow_loss(x.numpy(), w.numpy(), weights.numpy()), rel=1e-12)
    x.requires_grad_()
    w.requires_grad_()
    labels = torch.zeros(3, 4, 6, dtype=torch.float64)
    labels[:, :, 0] = 1
    scores = torch.einsum("bcd,brd->bcr", x, w)
    oracle = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels, weights, reduction="sum")
    assert loss == pytest.approx(oracle.item(), rel=1e-12)
    expected_x, expected_w = torch.autograd.grad(oracle, [x, w])
    torch.testing.assert_close(by_x, expected_x)
    torch.testing.assert_close(by_w, expected_w)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 4.0])
def test_the_parabola_touches_the_loss_and_lies_above_it(scale: float) -> None:
    x, w, _ = random_batch(1, scale)
    first, second = score_residuals(x, w, torch.ones(3, 4, 6, dtype=torch.float64))
    scores = torch.bmm(x, w.transpose(1, 2))

    def losses(at: torch.Tensor) -> torch.Tensor:
        signed = at.clone()
        signed[:, :, 0] *= -1
        return torch.nn.functional.softplus(signed)

    assert (second > 0).all()
    assert (second <= 0.25).all()
    for step in (-9.0, -1.0, -0.1, 0.1, 1.0, 9.0):
        parabola = losses(scores) + first * step + second * step**2 / 2
        # Near 0 the curvature is rounded up to its limit, 1/4.
        assert (parabola >= losses(scores + step) - 1e-9).all()
    assert (losses(scores) + first * -2 * scores + second * 2 * scores**2 - losses(-scores)).abs().max() < 1e-4


def test_example_loss_of_the_engine_is_the_loss_of_its_batches(corpus: EncodedCorpus) -> None:
    config = SkipGramConfig(dimension=6, subsample=1e-2)
    rng = np.random.default_rng(4)
    shape = (len(corpus.vocabulary), 6)
    parameters = Parameters(*(rng.normal(size=shape).astype(np.float32) for _ in range(2)))
    bounds = np.asarray(corpus.offsets)
    engines = [TorchEngine(corpus, config, bounds, parameters), CompiledEngine(corpus, config, bounds, 1, parameters)]
    windows = Sampler(corpus, config, np.asarray(corpus.offsets), CPU).windows(0, corpus.num_tokens, HELD_OUT_EPOCH)
    weights = (windows.context_mask[:, :, None] & windows.output_mask[:, None, :]).double()
    x = torch.from_numpy(parameters.inputs).double()[windows.contexts]
    w = torch.from_numpy(parameters.outputs).double()[windows.outputs]
    loss, _, _ = loss_and_gradients(x, w, weights)
    for engine in engines:
        contexts, outputs = engine.examples(0, corpus.num_tokens)
        assert len(contexts) == int(windows.context_mask.sum())
        scores = engine.scores(contexts, outputs)
        exact = np.einsum("ed,ekd->ek", parameters.inputs[contexts], parameters.outputs[outputs]) * (outputs >= 0)
        np.testing.assert_allclose(scores, exact, atol=1e-5)
        assert example_loss(scores, outputs) == pytest.approx(float(loss) / len(contexts), rel=1e-4)


def test_one_centre_at_a_time_is_plain_gradient_descent(tmp_path: Path) -> None:
    corpus = encode_corpus([[f"w{i}" for i in range(400)]], tmp_path / "corpus", min_count=1)
    config = SkipGramConfig(dimension=5, subsample=0, window=2, negatives=3, seed=3)
    engine = torch_engine(corpus, config, num_centres=1)
    rng = np.random.default_rng(5)
    shape = (len(corpus.vocabulary), 5)
    x, w = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    engine._inputs, engine._outputs = torch.tensor(x), torch.tensor(w)
    windows = Sampler(corpus, config, np.asarray(corpus.offsets), CPU).windows(0, 9, epoch=0)
    x, w = x.astype(np.float64), w.astype(np.float64)
    met_once = True
    for i in range(9):
        rate = 0.1 + (0.05 - 0.1) * i / 9
        contexts = windows.contexts[i][windows.context_mask[i]].tolist()
        outputs = windows.outputs[i][windows.output_mask[i]].tolist()
        met_once &= len(set(contexts)) == len(contexts) and len(set(outputs)) == len(outputs)
        old_x, old_w = x.copy(), w.copy()
        for context in contexts:
            for k, output in enumerate(outputs):
                pull = 1 / (1 + np.exp(-old_x[context] @ old_w[output])) - (k == 0)
                x[context] -= rate * pull * old_w[output]
                w[output] -= rate * pull * old_x[context]
    assert met_once
    engine.train([Chunk(0, 9, 0.1, 0.05)], epoch=0)
    np.testing.assert_allclose(engine.parameters().inputs, x, atol=1e-5)
    np.testing.assert_allclose(engine.parameters().outputs, w, atol=1e-5)


def test_steps_are_shortened_to_the_minimum_of_the_parabola() -> None:
    rows = torch.tensor([[0, 1, 2], [1, 3, 1]])
    curvature = torch.tensor([[0.9, 0.5, 4.0], [1.0, 0.0, 1.0]])
    # Row 1 is met three times, and only together its steps overshoot: 0.5 + 1 + 1.
    expected = torch.tensor([[1, 0.4, 0.25], [0.4, 1, 0.4]])
    torch.testing.assert_close(step_factors(rows, curvature, 5), expected)


def train_with(monkeypatch: pytest.MonkeyPatch, corpus: EncodedCorpus, config: SkipGramConfig, **options: Any) -> Any:
    def build(
        corpus: EncodedCorpus,
        config: SkipGramConfig,
        bounds: Any,
        threads: int,
        parameters: Parameters | None,
    ) -> TorchEngine:
        start = initial_parameters(len(corpus.vocabulary), config) if parameters is None else parameters
        return TorchEngine(corpus, config, bounds, start, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_build_engine", build)
        return train_skipgram(corpus, config, threads=1)


def topical_corpus(directory: Path) -> EncodedCorpus:
    """Sentences about one of ten topics, with words of its own and a few that every sentence has."""
    rng = np.random.default_rng(0)
    sentences = []
    for _ in range(3000):
        topic = rng.integers(10)
        own = [f"t{topic}_{i}" for i in rng.integers(0, 12, 8)]
        sentences.append([word for pair in zip(own, rng.choice(["the", "of", "and"], 8), strict=True) for word in pair])
    return encode_corpus(sentences, directory)


@pytest.mark.parametrize("num_centres", [None, 4096])
@pytest.mark.slow
def test_any_batch_learns_what_the_compiled_engine_learns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, num_centres: int | None
) -> None:
    # 123 words, no sub-sampling: a batch of 4096 holds each of three words over 600 times.
    corpus = topical_corpus(tmp_path / "corpus")
    config = SkipGramConfig(dimension=24, epochs=4, subsample=0, held_out=0.05)
    expected = train_skipgram(corpus, config, threads=1)
    result = train_with(monkeypatch, corpus, config, num_centres=num_centres)
    assert result.losses[0].loss == pytest.approx(expected.losses[0].loss, rel=1e-6)
    assert expected.losses[-1].loss < 0.7 * expected.losses[0].loss
    # Never much worse; better is no fault.
    assert result.losses[-1].loss < 1.03 * expected.losses[-1].loss
    inside = [result.vectors.similarity("t3_1", f"t3_{i}") for i in range(2, 12)]
    across = [result.vectors.similarity("t3_1", f"t{topic}_1") for topic in range(10) if topic != 3]
    assert min(inside) > max(across) + 0.2


@pytest.mark.skipif(not TEXT.is_file(), reason="needs the shared data beside the repository")
@pytest.mark.slow
def test_real_text_reaches_the_loss_of_the_compiled_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    corpus = encode_corpus(islice(read_sentences([TEXT]), 12_000), tmp_path / "corpus", min_count=3)
    config = SkipGramConfig(dimension=32, epochs=2, subsample=1e-3, held_out=0.02)
    expected = train_skipgram(corpus, config, threads=1).losses
    found = train_with(monkeypatch, corpus, config).losses
    assert expected[-1].loss < 0.75 * expected[0].loss
    assert found[-1].loss == pytest.approx(expected[-1].loss, rel=0.03)


def test_a_run_on_a_processor_repeats_itself(corpus: EncodedCorpus) -> None:
    config = SkipGramConfig(dimension=6)
    chunks = [
        Chunk(0, 700, 0.025, 0.02),
        Chunk(700, 3000, 0.02, 0.01),
        Chunk(3100, corpus.num_tokens, 0.01, 0.0),
    ]
    found = []
    for _ in range(2):
        engine = torch_engine(corpus, config)
        engine.train(chunks, epoch=1)
        found.append(engine.parameters())
    assert np.any(found[0].outputs)
    np.testing.assert_array_equal(found[0].inputs, found[1].inputs)
    np.testing.assert_array_equal(found[0].outputs, found[1].outputs)


def test_each_token_is_trained_on_once_at_its_rate(corpus: EncodedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = torch_engine(corpus, SkipGramConfig(dimension=4, subsample=0))
    monkeypatch.setattr(engine_module, "_STRETCH_TOKENS", 1000)
    seen = []
    monkeypatch.setattr(engine, "_update", lambda *batch: seen.append(batch))
    # The hole at 1000:1200 is held out.
    engine.train([Chunk(0, 600, 3, 2), Chunk(600, 1000, 2, 1), Chunk(1200, 1700, 1, 0.5), Chunk(1700, 2700, 0.5, 0)], 0)
    centres = torch.cat([batch[2][:, 0] for batch in seen])
    assert centres.tolist() == [*corpus.ids[:1000], *corpus.ids[1200:2700]]
    rates = torch.cat([batch[4] for batch in seen])
    expected = np.interp([*range(1000), *range(1200, 2700)], [0, 600, 1000, 1200, 1700, 2700], [3, 2, 1, 1, 0.5, 0])
    np.testing.assert_allclose(rates, expected, atol=1e-5)


def test_parameters_are_copies(corpus: EncodedCorpus) -> None:
    engine = torch_engine(corpus, SkipGramConfig(dimension=4))
    before = engine.parameters()
    kept = before.outputs.copy()
    engine.train([Chunk(0, 3000, 0.1, 0.1)], epoch=0)
    np.testing.assert_array_equal(before.outputs, kept)
    assert not np.array_equal(engine.parameters().outputs, kept)


def test_batches_grow_with_the_vocabulary() -> None:
    assert default_num_centres(np.full(4000, 5), 0) == 1000
    assert default_num_centres(np.full(20, 5), 0) == 256
    assert default_num_centres(np.full(10**6, 5), 0) == 4096
    skewed = np.array([10_000] + [10] * 4000)
    assert default_num_centres(skewed, 0) < default_num_centres(skewed, 1e-4)


def test_devices_that_are_not_there(corpus: EncodedCorpus) -> None:
    with pytest.raises(OptionError, match=r"device = 'toaster': torch cannot use it .*: choose cpu"):
        torch_engine(corpus, SkipGramConfig(device="toaster"))
    if not torch.cuda.is_available():
        with pytest.raises(OptionError, match=r"device = 'cuda'"):
            train_skipgram(corpus, SkipGramConfig(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_and_learns_the_same(tmp_path: Path) -> None:
    corpus = topical_corpus(tmp_path / "corpus")
    settings: dict[str, Any] = {"dimension": 24, "epochs": 4, "subsample": 0.01, "held_out": 0.05}
    on_cpu = torch_engine(corpus, SkipGramConfig(**settings)).examples(0, 5000)
    on_gpu = torch_engine(corpus, SkipGramConfig(**settings, device="cuda")).examples(0, 5000)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    expected = train_skipgram(corpus, SkipGramConfig(**settings), threads=1)
    found = train_skipgram(corpus, SkipGramConfig(**settings, device="cuda"), threads=1)
    assert found.losses[-1].loss == pytest.approx(expected.losses[-1].loss, rel=0.03)
