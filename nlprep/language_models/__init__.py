"""Language models: tokenizers, text as packed blocks, masked and causal pretraining, and what they are for.

Models and tokenizers are written as transformers writes them, so that whatever opens those opens these.
"""
