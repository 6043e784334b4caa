"""The network of questions: a recurrent one over words, read where the question ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.answerers.words import PADDING

if TYPE_CHECKING:
    from multimodal.answerers.configuration import QuestionNetworkConfig


class QuestionNetwork(nn.Module):
    """A GRU (Cho et al. 2014) over the vectors of words; a question's features are its state at the last word.

    It reads from left to right, so that nothing behind the last word can change what is read there. Questions that
    occur several times are computed once.

    Args:
        num_words: Numbers of words, `multimodal.answerers.words.PADDING` and all others included.
        config: Its settings.

    Attributes:
        dimension: Numbers in a question's features.
    """

    def __init__(self, num_words: int, config: QuestionNetworkConfig) -> None:
        super().__init__()
        self.config, self.dimension = config, config.width
        self.vectors = nn.Embedding(num_words, config.dimension, padding_idx=PADDING)
        self.recurrent = nn.GRU(config.dimension, config.width, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        """Features (n, dimension) of questions (n, longest) of words."""
        different, which = torch.unique(words, dim=0, return_inverse=True)
        vectors = functional.dropout(self.vectors(different), self.config.dropout, self.training)
        states, _ = self.recurrent(vectors)
        last = (different != PADDING).sum(1) - 1
        read: Tensor = states[torch.arange(len(states), device=states.device), last]
        return read[which]
