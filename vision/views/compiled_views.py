"""Views of images in a processor's memory, made image after image by a compiled function, in as many threads as torch.

The same views as the operators of this package make of a batch on any device, to one part in a hundred thousand of the
range of pixels (`tests/vision/test_views.py`), without a pass over the batch for each thing that is done.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from vision.views.filters import blur_radius

if TYPE_CHECKING:
    from torch import Tensor

    from vision.views.draws import ViewDraws

# Numbers for which a thread more is worth its start, about a tenth of a millisecond.
_PER_THREAD = 1 << 18


def can_compile(images: Tensor) -> bool:
    """Whether `compiled_views` is there for images of this kind; not within what torch compiles, all tensors."""
    known = images.device.type == "cpu" and images.dtype in {torch.uint8, torch.float32} and images.shape[1] in {1, 3}
    return known and not torch.compiler.is_compiling()


def compiled_views(images: Tensor, draws: ViewDraws) -> Tensor:
    """Crops, mirrored, turned, with other colours and blurred, as draws say.

    Args:
        images: (b, channels, height, width) uint8, or float32 in [0, 1], on the processor, of one or three channels.
        draws: One for each. What comes after the blur is not looked at.

    Returns:
        Of the same shape, float32 in [0, 1].
    """
    from vision.views.view_kernel import make_some

    count, _, height, _ = images.shape
    made = torch.empty(images.shape, dtype=torch.float32)
    share = np.float32(1 if images.is_floating_point() else 1 / 255)
    kinds = (draws.boxes, draws.flips, draws.turns, draws.factors, draws.order, draws.grey, draws.widths)
    given = [one.contiguous().numpy() for one in kinds]
    pixels, views = images.detach().contiguous().numpy(), made.flatten(2).numpy()

    def work(first: int, last: int) -> None:
        make_some(pixels, share, *given, blur_radius(height), views, first, last)

    threads = max(1, min(torch.get_num_threads(), images.numel() // _PER_THREAD))
    ends = [count * thread // threads for thread in range(threads + 1)]
    if threads == 1:
        work(0, count)
    else:
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(work, *ends[thread : thread + 2]) for thread in range(1, threads)]
            work(*ends[:2])
        for other in others:
            other.result()
    return made
