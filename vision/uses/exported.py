"""What an exported detector computes: codes, a score and a verdict."""

from __future__ import annotations

from torch import Tensor, nn


class ExportedDetector(nn.Module):
    """Codes, scores and whether these lie above a line, of images.

    Args:
        coder: Makes codes.
        scorer: Makes scores.
        line: Above which an image is odd.
    """

    def __init__(self, coder: nn.Module, scorer: nn.Module, line: float) -> None:
        super().__init__()
        self.coder, self.scorer, self.line = coder, scorer, line

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, d), (b,) and (b,) of images (b, channels, height, width) uint8."""
        score: Tensor = self.scorer(images)
        # The line is a score of an image, rounded nowhere: compared as it is.
        return self.coder(images), score, score.double() > self.line
