"""Compare ways of aligning on words that no method was shown, and draw the best one's words."""

from pathlib import Path
from tempfile import TemporaryDirectory

from nlprep.corpus import encode_corpus, read_sentences
from nlprep.demonstration import write_demonstration
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.translation.align import align
from nlprep.translation.aligners.configuration import AlignmentConfig
from nlprep.translation.evaluation import evaluate_translation
from nlprep.translation.figures import draw_translations, pick_pairs
from nlprep.translation.index.bilingual import TranslationIndex
from nlprep.translation.lexicon import read_lexicon

METHODS = {
    "least squares": AlignmentConfig(method="least-squares", refine=0, spelling=False),
    "Procrustes": AlignmentConfig(method="procrustes", refine=0, spelling=False),
    "Procrustes, refined": AlignmentConfig(method="procrustes", spelling=False),
    "whitened, refined": AlignmentConfig(method="whitened", spelling=False),
}


def train(text: Path) -> WordVectors:
    """Word vectors of one text."""
    corpus = encode_corpus(read_sentences([text]), text.with_suffix(".corpus"))
    return train_skipgram(corpus, SkipGramConfig(dimension=60, epochs=10, subsample=1e-3)).vectors


def main() -> None:
    """Train once, align in every way, measure, draw."""
    with TemporaryDirectory() as scratch:
        files = write_demonstration(scratch, num_sentences=15_000)
        english, french = train(files.english), train(files.french)
        seed, test = read_lexicon(files.seed_dictionary), read_lexicon(files.test_dictionary)
        print("precision@1 in per cent    cosine   csls")
        found: list[tuple[float, TranslationIndex]] = []
        for name, config in METHODS.items():
            index = TranslationIndex.build(english, french, align(english, french, seed, config))
            result = evaluate_translation(index, test)
            cosine, csls = result["cosine"]["precision@1"], result["csls"]["precision@1"]
            print(f"{name:24} {cosine:8.1f} {csls:6.1f}")
            found.append((csls, index))
        _, best = max(found, key=lambda item: item[0])
        draw_translations(best, pick_pairs(best, lexicon=test), "words.png")
        print("words.png shows some of them")


if __name__ == "__main__":
    main()
