"""Train word vectors on text and look at them.

The text is generated, so that this runs anywhere; give `read_sentences` files of your own instead.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from nlprep.core.progress import terminal_progress
from nlprep.corpus import encode_corpus, read_sentences
from nlprep.demonstration import write_demonstration
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram


def main() -> None:
    """Train, list neighbours, answer an analogy, save."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = write_demonstration(folder, num_sentences=15_000).english

        # Word ids live in a memory-mapped file: the text may be larger than memory.
        corpus = encode_corpus(read_sentences([text]), folder / "corpus")
        config = SkipGramConfig(dimension=60, epochs=10, subsample=1e-3)
        result = train_skipgram(corpus, config, progress=terminal_progress())
        print(f"{result.vectors}, held-out loss {result.losses[0].loss:.2f} -> {result.losses[-1].loss:.2f}")

        for word in ("cow", "soup", "january"):
            near = ", ".join(f"{other} {cosine:.2f}" for other, cosine in result.vectors.neighbors(word, top=4))
            print(f"{word}: {near}")
        answers = result.vectors.analogy("italy", "italian", "japan", top=3)
        print("italy is to italian as japan is to", ", ".join(word for word, _ in answers))

        # A directory that opens memory-mapped; write_vectors makes word2vec files of it.
        result.vectors.save(folder / "vectors.en")


if __name__ == "__main__":
    main()
