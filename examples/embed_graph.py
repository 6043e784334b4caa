"""Vectors of a graph's nodes: skip-gram over random walks (node2vec, Grover and Leskovec 2016).

A walk is a sentence whose words are nodes, so that whoever trains word vectors trains these. The graph is Zachary's
karate club, whose 34 members later split into two: whether those nearest to one took the same side is what is asked.
"""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import networkx as nx
import numpy as np
from gensim.models import Word2Vec

from nlprep.corpus import encode_corpus
from nlprep.embeddings.interchange import from_gensim
from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
from nlprep.embeddings.word_vectors import WordVectors

WALKS, LENGTH = 40, 20
BACK, AWAY = 1.0, 2.0
"""What going back, and going further away, is less likely by (p and q; with 1 and 1 it is DeepWalk)."""


def walk(graph: nx.Graph, seed: int) -> Iterator[list[str]]:
    """Walks from every node, as words."""
    random = np.random.default_rng(seed)
    for _ in range(WALKS):
        for node in random.permutation(list(graph)):
            path = [int(node)]
            while len(path) < LENGTH:
                near = list(graph[path[-1]])
                weights = np.array([graph[path[-1]][other]["weight"] for other in near], float)
                if len(path) > 1:
                    before = path[-2]
                    weights /= [BACK if n == before else 1 if graph.has_edge(n, before) else AWAY for n in near]
                path.append(near[random.choice(len(near), p=weights / weights.sum())])
            yield [str(member) for member in path]


def same_side(vectors: WordVectors, sides: dict[str, str]) -> float:
    """Share of members whose three nearest others, by majority, are on their side."""
    right = []
    for member, side in sides.items():
        near = [sides[other] == side for other, _ in vectors.neighbors(member, top=3)]
        right.append(sum(near) >= 2)
    return float(np.mean(right))


def main() -> None:
    """Walk, train here and with gensim on the same walks, compare."""
    graph = nx.karate_club_graph()
    sides = {str(member): club for member, club in graph.nodes(data="club")}
    walks = list(walk(graph, seed=1))
    with TemporaryDirectory() as scratch:
        corpus = encode_corpus(walks, f"{scratch}/walks", min_count=1)
        ours = train_skipgram(corpus, SkipGramConfig(dimension=16, epochs=10, subsample=0)).vectors
    peer = Word2Vec(walks, sg=1, vector_size=16, sample=0, min_count=1, epochs=10, workers=1, seed=1)
    for name, vectors in (("nlprep", ours), ("gensim", from_gensim(peer.wv))):
        near = ", ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.neighbors("0", top=3))
        print(f"{name}: same side {same_side(vectors, sides):.0%}; near the teacher: {near}")


if __name__ == "__main__":
    main()
