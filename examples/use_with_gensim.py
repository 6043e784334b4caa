"""Hand vectors to gensim, and take them back; and train on sentences that are already in Python."""

from tempfile import TemporaryDirectory

from nlprep.corpus import encode_corpus, tokenize
from nlprep.demonstration import generate_sentences
from nlprep.embeddings.interchange import from_gensim, to_gensim
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram


def main() -> None:
    """Train on an iterable, go to gensim and back."""
    # Any iterable of lists of words will do; it is read once.
    sentences = (tokenize(sentence) for sentence in generate_sentences("fr", 10_000))
    with TemporaryDirectory() as scratch:
        corpus = encode_corpus(sentences, f"{scratch}/corpus", max_vocabulary=500)
        vectors = train_skipgram(corpus, SkipGramConfig(dimension=40, epochs=5, subsample=1e-3)).vectors

    keyed = to_gensim(vectors)
    print("gensim says:", keyed.most_similar("cheval", topn=3))
    print("we say:     ", vectors.neighbors("cheval", top=3))
    print("back again: ", from_gensim(keyed))


if __name__ == "__main__":
    main()
