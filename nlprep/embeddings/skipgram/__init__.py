"""Skip-gram with negative sampling: word2vec, trained on an encoded corpus."""

from nlprep.embeddings.configuration import SkipGramConfig
from nlprep.embeddings.skipgram.training import HeldOutLoss, SkipGramResult, train_skipgram

__all__ = ["HeldOutLoss", "SkipGramConfig", "SkipGramResult", "train_skipgram"]
