"""ResNet-18 (He et al. 2016, "Deep residual learning"), for small images and in its standard form.

For images of 32 pixels the beginning is one convolution of 3 x 3 without stride or pooling, as in the paper's own
section on CIFAR-10; for those of 224 it is one of 7 x 7 with stride 2 and a maximum over 3 x 3. Weights are drawn as
there (He et al. 2015), and the last normalisation of a block begins at nothing (Goyal et al. 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from vision.backbones.backbone import Backbone
from vision.backbones.layers import centred, make_norm

if TYPE_CHECKING:
    from vision.images.collection import Shape

_BLOCKS = (2, 2, 2, 2)


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 and what passes beside them.

    Args:
        channels: Of the maps given.
        into: Of those made.
        stride: Of the first convolution; a convolution of 1 x 1 goes beside where it is not 1 or channels differ.
        norm: Of the maps.
    """

    def __init__(self, channels: int, into: int, *, stride: int, norm: str) -> None:
        super().__init__()
        bias = norm == "none"
        self.first = nn.Conv2d(channels, into, 3, stride=stride, padding=1, bias=bias)
        self.first_norm = make_norm(norm, into)
        self.second = nn.Conv2d(into, into, 3, padding=1, bias=bias)
        self.second_norm = make_norm(norm, into)
        beside: list[nn.Module] = []
        if stride != 1 or channels != into:
            beside = [nn.Conv2d(channels, into, 1, bias=bias), make_norm(norm, into)]
        self.beside = nn.Sequential(*beside)
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, their sides divided by the stride and rounded up."""
        inner = functional.relu(self.first_norm(self.first(maps)))
        # The places that a convolution of 1 x 1 with that stride would take. With under 8 channels, channels last, the
        # gradient of such a convolution writes where it must not in torch 2.13 on a processor.
        passed = maps[:, :, :: self.stride, :: self.stride]
        return functional.relu(self.second_norm(self.second(inner)) + self.beside(passed))


class ResNet18(Backbone):
    """ResNet-18 without its head; the features are means of the last maps over their places.

    Args:
        shape: Of the images.
        width: Channels of the first stage, 64 in the paper; the features have eight times as many.
        stem: ``small`` or ``standard``.
        norm: Of the maps; the paper's is ``batch``.
    """

    def __init__(self, shape: Shape, *, width: int, stem: str, norm: str) -> None:
        super().__init__()
        self.shape = shape
        bias = norm == "none"
        if stem == "small":
            layers = [nn.Conv2d(shape[0], width, 3, padding=1, bias=bias), make_norm(norm, width), nn.ReLU()]
        else:
            first = nn.Conv2d(shape[0], width, 7, stride=2, padding=3, bias=bias)
            layers = [first, make_norm(norm, width), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
        channels = width
        for stage, blocks in enumerate(_BLOCKS):
            for block in range(blocks):
                into = width * 2**stage
                layers.append(BasicBlock(channels, into, stride=2 if stage and not block else 1, norm=norm))
                channels = into
        self.layers = nn.Sequential(*layers)
        self.dimension = channels
        self._draw_weights()

    def _draw_weights(self) -> None:
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, BasicBlock):
                last = part.second_norm
                nn.init.zeros_(part.second.weight if isinstance(last, nn.Identity) else last.weight)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        return self.forward_maps(pixels).mean((2, 3))

    def forward_maps(self, pixels: Tensor) -> Tensor:
        """The last maps."""
        maps: Tensor = self.layers(centred(pixels))
        return maps
