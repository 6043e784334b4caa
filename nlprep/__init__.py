"""nlprep: learn representations of text from your own data, on your own machine, and use them.

The names below are loaded when first used, so that importing nlprep costs nothing. Everything else is found by its
module: `nlprep.corpus`, `nlprep.embeddings`, `nlprep.translation`, `nlprep.language_models`; and what it takes to train
models of one's own by `nlprep.core.training`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.lazy_names import hand_on

if TYPE_CHECKING:
    from nlprep.core.errors import NlprepError
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.loop import fit
    from nlprep.core.training.steps.step import PlainStep
    from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences, tokenize
    from nlprep.embeddings.averaged_vectors import AveragedWordVectors
    from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
    from nlprep.embeddings.vector_files import read_vectors, write_vectors
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.evaluation.encoder import Encoder
    from nlprep.language_models.encoders.text_encoder import TextEncoder
    from nlprep.language_models.encoders.tf_idf import TfIdfEncoder
    from nlprep.language_models.generators.configuration import GenerationConfig
    from nlprep.language_models.generators.filling import fill
    from nlprep.language_models.generators.generation import generate
    from nlprep.language_models.models.files import load_language_model
    from nlprep.language_models.pretraining.training import pretrain_causal, pretrain_masked
    from nlprep.language_models.text.configuration import TokenizerConfig
    from nlprep.language_models.text.tokenizers import train_tokenizer
    from nlprep.translation.align import align
    from nlprep.translation.aligners.configuration import AlignmentConfig
    from nlprep.translation.alignment import Alignment
    from nlprep.translation.evaluation import evaluate_translation
    from nlprep.translation.index.bilingual import TranslationIndex
    from nlprep.translation.index.multilingual import MultilingualIndex, open_translator
    from nlprep.translation.lexicon import Lexicon, read_lexicon
    from nlprep.translation.multilingual import MultilingualAlignment, align_languages

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "nlprep.translation.alignment",
    "AlignmentConfig": "nlprep.translation.aligners.configuration",
    "AveragedWordVectors": "nlprep.embeddings.averaged_vectors",
    "EncodedCorpus": "nlprep.corpus",
    "Encoder": "nlprep.evaluation.encoder",
    "GenerationConfig": "nlprep.language_models.generators.configuration",
    "Lexicon": "nlprep.translation.lexicon",
    "MultilingualAlignment": "nlprep.translation.multilingual",
    "MultilingualIndex": "nlprep.translation.index.multilingual",
    "NlprepError": "nlprep.core.errors",
    "PlainStep": "nlprep.core.training.steps.step",
    "SkipGramConfig": "nlprep.embeddings.configuration",
    "TextEncoder": "nlprep.language_models.encoders.text_encoder",
    "TfIdfEncoder": "nlprep.language_models.encoders.tf_idf",
    "TokenizerConfig": "nlprep.language_models.text.configuration",
    "TrainingConfig": "nlprep.core.training.configuration",
    "TranslationIndex": "nlprep.translation.index.bilingual",
    "WordVectors": "nlprep.embeddings.word_vectors",
    "align": "nlprep.translation.align",
    "align_languages": "nlprep.translation.multilingual",
    "encode_corpus": "nlprep.corpus",
    "evaluate_translation": "nlprep.translation.evaluation",
    "fill": "nlprep.language_models.generators.filling",
    "fit": "nlprep.core.training.loop",
    "generate": "nlprep.language_models.generators.generation",
    "load_language_model": "nlprep.language_models.models.files",
    "open_translator": "nlprep.translation.index.multilingual",
    "pretrain_causal": "nlprep.language_models.pretraining.training",
    "pretrain_masked": "nlprep.language_models.pretraining.training",
    "read_lexicon": "nlprep.translation.lexicon",
    "read_sentences": "nlprep.corpus",
    "read_vectors": "nlprep.embeddings.vector_files.formats",
    "tokenize": "nlprep.corpus",
    "train_skipgram": "nlprep.embeddings.skipgram.training",
    "train_tokenizer": "nlprep.language_models.text.tokenizers",
    "write_vectors": "nlprep.embeddings.vector_files.formats",
}

__all__ = [
    "Alignment",
    "AlignmentConfig",
    "AveragedWordVectors",
    "EncodedCorpus",
    "Encoder",
    "GenerationConfig",
    "Lexicon",
    "MultilingualAlignment",
    "MultilingualIndex",
    "NlprepError",
    "PlainStep",
    "SkipGramConfig",
    "TextEncoder",
    "TfIdfEncoder",
    "TokenizerConfig",
    "TrainingConfig",
    "TranslationIndex",
    "WordVectors",
    "align",
    "align_languages",
    "encode_corpus",
    "evaluate_translation",
    "fill",
    "fit",
    "generate",
    "load_language_model",
    "open_translator",
    "pretrain_causal",
    "pretrain_masked",
    "read_lexicon",
    "read_sentences",
    "read_vectors",
    "tokenize",
    "train_skipgram",
    "train_tokenizer",
    "write_vectors",
]


__getattr__, __dir__ = hand_on(__name__, _HOMES)
