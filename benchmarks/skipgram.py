"""Skip-gram side by side with gensim: words per second, and what the vectors are worth.

Speed: one epoch over the same tokenised text, the two engines in turn, same dimension, window, negatives,
sub-sampling and threads; the pass that counts words is timed apart. Quality: vectors of both languages from several
seeds, on word similarity, analogies and translation with a dictionary, as mean and range over the seeds.

    python -m benchmarks.skipgram                      the claim: real text beside the checkout, three seeds (an hour)
    python -m benchmarks.skipgram --speed              the ratio alone
    python -m benchmarks.skipgram --quick              a minute's version
    python -m benchmarks.skipgram --cache DIR          keep trained vectors, and use those kept
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import describe_machine, median, print_claim, print_table, time_call
from nlprep.core.progress import terminal_progress
from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences
from nlprep.embeddings.similarity import evaluate_analogies, evaluate_similarity
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import read_lexicon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LANGUAGES = ("en", "fr")
SIMILARITY_SETS = ("WS-353-ALL", "SIMLEX-999", "MEN-TR-3k", "RG-65", "RW-STANFORD", "SEMEVAL17")


def main() -> None:
    """Parse the command line and run what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true", help="measure speed alone")
    parser.add_argument("--quick", action="store_true", help="two million words, one repeat, no quality")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the quality runs (default 3)")
    parser.add_argument("--repeats", type=int, default=3, help="timed epochs of each engine (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both engines (default 2)")
    parser.add_argument("--dimension", type=int, default=300, help="numbers in a vector (default 300)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of the quality runs (default 5)")
    parser.add_argument("--cache", type=Path, help="a directory that keeps trained vectors")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = arguments.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        texts = {language: tokenised_text(language, cache, arguments.quick) for language in LANGUAGES}
        measure_both(arguments, texts, cache)


def measure_both(arguments: argparse.Namespace, texts: dict[str, Path], cache: Path) -> None:
    """Run both parts and print the claim."""
    quality: dict[str, Any] = {}
    real = (SHARED / "text").is_dir() and not arguments.quick
    if real and not arguments.speed:
        quality = measure_quality(arguments, texts, cache)
    ratio, more = measure_speed(arguments, texts["en"], cache)
    print_claim(
        "skip-gram, words/s", peer=gensim_name(), ratio=ratio, quality=quality, summary=summarize(quality), **more
    )


def summarize(quality: dict[str, dict[str, float]]) -> str:
    """Both engines' mean scores in a few words."""
    if not quality:
        return "speed alone was measured"
    ours, theirs = quality.values()
    similarity = [np.mean([scores[name] for name in SIMILARITY_SETS]) for scores in (ours, theirs)]
    parts = [f"word similarity {similarity[0]:.1f} against {similarity[1]:.1f}"]
    parts += [f"{name} {ours[name]:.1f} against {theirs[name]:.1f}" for name in ours if name not in SIMILARITY_SETS]
    return ", ".join(parts)


def gensim_name() -> str:
    """The peer with its version."""
    import gensim

    return f"gensim {gensim.__version__}"


def tokenised_text(language: str, cache: Path, quick: bool) -> Path:
    """One sentence a line, words split by blanks, as both engines read it: real text, or Zipf's law where it is not."""
    path = cache / f"{language}{'-quick' if quick else ''}.txt"
    if not path.exists():
        source = SHARED / "text" / f"{language}.txt.xz"
        lines = map(" ".join, read_sentences(source)) if source.exists() else made_up_lines(5_000_000)
        if quick:
            lines = first_words(lines, 2_000_000)
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    return path


def made_up_lines(num_words: int) -> Iterator[str]:
    """Lines of 20 words drawn by Zipf's law: as heavy to train on as text, though nothing is learned from it."""
    generator = np.random.default_rng(0)
    words = np.minimum(generator.zipf(1.2, num_words), 60_000).reshape(-1, 20)
    for row in words:
        yield " ".join(f"w{word}" for word in row)


def first_words(lines: Iterator[str], num_words: int) -> Iterator[str]:
    """The first lines that together have ``num_words`` words."""
    for line in lines:
        if num_words <= 0:
            return
        num_words -= line.count(" ") + 1
        yield line


def measure_speed(arguments: argparse.Namespace, text: Path, cache: Path) -> tuple[float, dict[str, Any]]:
    """Words per second of one epoch, the engines in turn; returns the median ratio and what it came from."""
    with text.open(encoding="utf-8") as stream:
        num_words = sum(line.count(" ") + 1 for line in stream)
    encode_seconds, corpus = time_call(lambda: encode_corpus(split_lines(text), cache / f"{text.stem}.corpus"))
    config = SkipGramConfig(dimension=arguments.dimension, epochs=1)
    ours, theirs, counting = [], [], []
    for _ in range(1 if arguments.quick else arguments.repeats):
        ours.append(time_call(lambda: train_skipgram(corpus, config, threads=arguments.threads))[0])
        seconds = time_gensim_epoch(arguments, text)
        counting.append(seconds[0])
        theirs.append(seconds[1])
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    print_table(
        f"Skip-gram, {num_words:,} words, {arguments.dimension} dimensions, {arguments.threads} threads: words/s of "
        f"one epoch ({describe_machine()})",
        ["repeat", "nlprep", gensim_name(), "ratio"],
        [
            [number, f"{num_words / our:,.0f}", f"{num_words / their:,.0f}", f"{ratio:.2f}"]
            for number, (our, their, ratio) in enumerate(zip(ours, theirs, ratios, strict=True), start=1)
        ],
    )
    whole = (median(theirs) * 5 + median(counting)) / (median(ours) * 5 + encode_seconds)
    print(
        f"Counting and numbering the words once: {encode_seconds:.1f} s, {gensim_name()} {median(counting):.1f} s; "
        f"five epochs and that, the ratio is {whole:.2f}.\n"
    )
    return median(ratios), {
        "words": num_words,
        "dimension": arguments.dimension,
        "threads": arguments.threads,
        "ratio_with_counting_five_epochs": round(whole, 2),
    }


def time_gensim_epoch(arguments: argparse.Namespace, text: Path) -> tuple[float, float]:
    """Seconds that gensim takes to count the words and to train one epoch."""
    from gensim.models import Word2Vec

    model = Word2Vec(**gensim_settings(arguments, seed=1, epochs=1))
    counting, _ = time_call(lambda: model.build_vocab(corpus_file=str(text)))
    sizes = {"total_words": model.corpus_total_words, "total_examples": model.corpus_count}
    training, _ = time_call(lambda: model.train(corpus_file=str(text), epochs=1, **sizes))
    return counting, training


def split_lines(text: Path) -> Iterator[list[str]]:
    """The sentences of a tokenised text."""
    with text.open(encoding="utf-8") as stream:
        yield from map(str.split, stream)


def gensim_settings(arguments: argparse.Namespace, *, seed: int, epochs: int) -> dict[str, Any]:
    """Gensim's arguments for the same model."""
    return {
        "sg": 1,
        "vector_size": arguments.dimension,
        "window": 5,
        "min_count": 5,
        "negative": 5,
        "sample": 1e-4,
        "epochs": epochs,
        "seed": seed,
        "workers": arguments.threads,
    }


def measure_quality(arguments: argparse.Namespace, texts: dict[str, Path], cache: Path) -> dict[str, Any]:
    """Scores of both engines over seeds, printed as mean and range, returned as means."""
    scores: dict[str, list[dict[str, float]]] = {"nlprep": [], gensim_name(): []}
    for seed, engine in itertools.product(range(1, arguments.seeds + 1), scores):
        vectors = [trained(engine, language, texts[language], seed, arguments, cache) for language in LANGUAGES]
        scores[engine].append(score(vectors))
    names = list(scores["nlprep"][0])
    rows = [[name, *(spread([run[name] for run in runs]) for runs in scores.values())] for name in names]
    print_table(
        f"Quality over {arguments.seeds} seeds, {arguments.epochs} epochs: mean (least to most), per cent",
        ["", *scores],
        rows,
    )
    return {
        engine: {name: round(float(np.mean([run[name] for run in runs])), 1) for name in names}
        for engine, runs in scores.items()
    }


def trained(
    engine: str, language: str, text: Path, seed: int, arguments: argparse.Namespace, cache: Path
) -> WordVectors:
    """Vectors of one engine, language and seed, from the cache if they are there."""
    kept = cache / f"{engine.split()[0]}-{language}-{arguments.dimension}-{arguments.epochs}-{seed}"
    if kept.exists():
        return WordVectors.load(kept)
    if engine == "nlprep":
        directory = cache / f"{text.stem}.corpus"
        corpus = EncodedCorpus.load(directory) if directory.exists() else encode_corpus(split_lines(text), directory)
        config = SkipGramConfig(dimension=arguments.dimension, epochs=arguments.epochs, seed=seed)
        vectors = train_skipgram(corpus, config, threads=arguments.threads, progress=terminal_progress()).vectors
    else:
        from gensim.models import Word2Vec

        model = Word2Vec(corpus_file=str(text), **gensim_settings(arguments, seed=seed, epochs=arguments.epochs))
        vectors = WordVectors(model.wv.index_to_key, model.wv.vectors)
    vectors.save(kept)
    return vectors


def score(vectors: Sequence[WordVectors]) -> dict[str, float]:
    """Every measure of English vectors and of their translation into French, in per cent."""
    source, target = vectors
    found: dict[str, float] = {}
    for name in SIMILARITY_SETS:
        spearman = evaluate_similarity(source, SHARED / "similarity" / "en" / f"EN_{name}.txt").spearman
        found[name] = 100 * (spearman or 0.0)
    accuracy = evaluate_analogies(source, SHARED / "similarity" / "en" / "questions-words.txt").accuracy
    found["analogies"] = 100 * (accuracy or 0.0)
    dictionaries = SHARED / "dictionaries"
    index = TranslationIndex.build(
        source, target, align(source, target, read_lexicon(dictionaries / "en-fr.0-5000.txt"))
    )
    for name, translator in (("en-fr", index), ("fr-en", index.reversed())):
        result = evaluate_translation(translator, read_lexicon(dictionaries / f"{name}.5000-6500.txt"))
        found[f"{name} CSLS P@1"] = result["csls"]["precision@1"]
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and range of a few values."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
