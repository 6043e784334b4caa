"""From two texts and a small dictionary to a word translator.

The texts are generated and comparable, not parallel; the dictionary has some hundred pairs.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from nlprep.corpus import encode_corpus, read_sentences
from nlprep.demonstration import write_demonstration
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import read_lexicon


def train(text: Path) -> WordVectors:
    """Word vectors of one text."""
    corpus = encode_corpus(read_sentences([text]), text.with_suffix(".corpus"))
    return train_skipgram(corpus, SkipGramConfig(dimension=60, epochs=10, subsample=1e-3)).vectors


def main() -> None:
    """Train both sides, align, translate both ways."""
    with TemporaryDirectory() as scratch:
        files = write_demonstration(scratch, num_sentences=15_000)
        english, french = train(files.english), train(files.french)

        lexicon = read_lexicon(files.seed_dictionary)
        print("dictionary:", lexicon.coverage(english, french))
        alignment = align(english, french, lexicon)
        index = TranslationIndex.build(english, french, alignment, source_language="en", target_language="fr")

        words = ["elephant", "castle", "soup", "violin"]
        for word, candidates in zip(words, index.translate(words, top=3), strict=True):
            print(word, "->", ", ".join(f"{found.word} {found.score:.2f}" for found in candidates))
        (candidates,) = index.reversed().translate(["cheval"], top=3)
        print("cheval ->", ", ".join(found.word for found in candidates))

        index.save(Path(scratch) / "en-fr")


if __name__ == "__main__":
    main()
