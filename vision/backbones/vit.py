"""A vision transformer (Dosovitskiy et al. 2021), small: patches of an image as tokens, with learned places.

Blocks normalise before they compute, and features are the mean of the last tokens, without a class token (Zhai et al.
2022 find no difference). An image whose sides the patch does not divide is continued by its border's pixels on the
right and below. The parts can be called apart, for what shows the network only some of the patches: `embed`, then
`transform` on any of the tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlprep.core.errors import OptionError
from vision.backbones.backbone import Backbone
from vision.backbones.layers import centred

if TYPE_CHECKING:
    from vision.images.collection import Shape

_EXPANSION = 4
_DEVIATION = 0.02


class TransformerBlock(nn.Module):
    """Attention, then two layers on each token, each added to what was given.

    Args:
        width: Numbers in a token.
        heads: Of the attention; they divide the width.
        causal: Whether a token sees itself and those before it alone.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, _EXPANSION * width), nn.GELU(), nn.Linear(_EXPANSION * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (b, n, width) of tokens of that shape."""
        queries, keys, values = self._parts(tokens)
        found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        return self._changed(tokens, found)

    def append(self, token: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `forward`, of the token (b, 1, width) that follows others.

        Args:
            token: The one that is new.
            memory: What this gave with the one before; None: there is none.

        Returns:
            The token, and the memory with it, (2, b, heads, n, width / heads).
        """
        query, key, value = self._parts(token)
        both = torch.stack([key, value])
        memory = both if memory is None else torch.cat([memory, both], 3)
        found = functional.scaled_dot_product_attention(query, memory[0], memory[1])
        return self._changed(token, found), memory

    def _parts(self, tokens: Tensor) -> list[Tensor]:
        """Queries, keys and values (b, heads, n, width / heads)."""
        batch, count, width = tokens.shape
        parts = self.attention_in(self.attention_norm(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        return list(parts.permute(2, 0, 3, 1, 4))

    def _changed(self, tokens: Tensor, found: Tensor) -> Tensor:
        tokens = tokens + self.attention_out(found.transpose(1, 2).flatten(2))
        changed: Tensor = tokens + self.layers(tokens)
        return changed


class VisionTransformer(Backbone):
    """A vision transformer.

    Args:
        shape: Of the images.
        patch: Side of a patch, in pixels.
        width: Numbers in a token and in the features.
        depth: Blocks.
        heads: Of the attention.

    Attributes:
        patch: As given.
        grid: Patches from top to bottom and from left to right.

    Raises:
        OptionError: A patch larger than the image.
    """

    def __init__(self, shape: Shape, *, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        channels, height, across = shape
        if patch > max(height, across):
            raise OptionError(f"patch = {patch}: the images have {height} x {across} pixels: choose a smaller one")
        self.shape, self.patch, self.dimension = shape, patch, width
        self.grid = (-(-height // patch), -(-across // patch))
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.places = nn.Parameter(
            _DEVIATION * nn.init.trunc_normal_(self.patches.weight.new_empty(1, self.tokens, width))
        )
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=_DEVIATION)
                nn.init.zeros_(part.bias)

    @property
    def tokens(self) -> int:
        """How many patches an image has."""
        return self.grid[0] * self.grid[1]

    def padded(self, pixels: Tensor) -> Tensor:
        """Pixels continued so that the patch divides their sides, (b, channels, grid * patch...)."""
        below, right = self.grid[0] * self.patch - self.shape[1], self.grid[1] * self.patch - self.shape[2]
        return functional.pad(pixels, (0, right, 0, below), mode="replicate") if below or right else pixels

    def embed(self, pixels: Tensor) -> Tensor:
        """Tokens (b, `tokens`, width) of patches, row by row, with what tells their places."""
        tokens: Tensor = self.patches(centred(self.padded(pixels))).flatten(2).transpose(1, 2)
        return tokens + self.places

    def transform(self, tokens: Tensor) -> Tensor:
        """Tokens after all blocks and the last normalisation, (b, n, width); n may be less than `tokens`."""
        changed: Tensor = self.norm(self.blocks(tokens))
        return changed

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self.transform(self.embed(pixels)).mean(1)

    def forward_maps(self, pixels: Tensor) -> Tensor:
        """Tokens at their places, (b, width, *grid)."""
        tokens = self.transform(self.embed(pixels))
        return tokens.transpose(1, 2).reshape(len(tokens), self.dimension, *self.grid)
