"""Any vision model that the transformers library wrote to disk, with the preprocessing that it was trained with.

Nothing is fetched, no code that came with the model is run, nothing is unpickled. Sizes, means and deviations come
from the model's ``preprocessor_config.json``; resizing is done here, on the device, with antialiasing, since the
library's own processors either want torchvision or work image by image.

Features are the model's pooled output where its weights are on disk too. Where a checkpoint has no pooler, so that the
library would draw a random one, they are the class token, and the mean of the last tokens or maps where there is none.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from nlprep.core.errors import FileError, OptionError, os_errors_named
from vision.backbones.backbone import Backbone

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from torch import nn

    from vision.images.collection import Shape

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
_RESAMPLING = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
_POOLED = "has_trained_pooler"
_CROP_SHARE, _LARGE = 224 / 256, 384


class TransformersBackbone(Backbone):
    """A model of the transformers library.

    Args:
        path: Its directory, with ``config.json``, ``preprocessor_config.json`` and, if it is `pretrained`, weights in
            ``.safetensors``.
        shape: Of the images; grey ones are given as three equal channels to a model of colours.
        pretrained: Whether to load its weights; otherwise they are drawn from torch's generator.

    Attributes:
        description: The settings of the model and of its preprocessing, by the name of their file.

    Raises:
        FileError: Missing, damaged, without safetensors, no model of images, or silent on its preprocessing.
        OptionError: A model that draws at random which parts of an image it sees, or of other channels.
    """

    def __init__(self, path: str | os.PathLike[str], shape: Shape, *, pretrained: bool = True) -> None:
        super().__init__()
        directory = Path(path)
        self.shape = shape
        self.description = {CONFIG: _read(directory / CONFIG), PREPROCESSOR: _preprocessing(directory)}
        settings = self.description[PREPROCESSOR]
        whole, missing = _load(directory) if pretrained else (_build(directory), set())
        # Of models of images and text, the part for images.
        model: nn.Module = getattr(whole, "vision_model", whole)
        self.own: Any = model.config
        if getattr(self.own, "mask_ratio", 0):
            raise OptionError(f"path = {str(path)!r}: the model sees a random part of each image: it makes no features")
        self.channels = int(getattr(self.own, "num_channels", 3))
        if self.channels not in (shape[0], 3):
            raise OptionError(f"path = {str(path)!r}: the model takes {self.channels} channels, images have {shape[0]}")
        self.model = model
        lacking = sorted(name for name in missing if "pool" not in name)
        if lacking:
            raise FileError(directory, f"lacks weights, such as {lacking[0]!r}: save the model again")
        self.pooled = not missing and bool(settings.get(_POOLED, True))
        # For who builds it again without the weights that are lacking.
        settings[_POOLED] = self.pooled
        if not self.pooled and getattr(model, "pooler", None) is not None:
            self.model.pooler = None  # type: ignore[assignment]
        normal = settings.get("do_normalize", True)
        scale = 1.0 if settings.get("do_rescale", True) else 255.0
        means = settings.get("image_mean") if normal else None
        deviations = settings.get("image_std") if normal else None
        if normal and (means is None or deviations is None):
            raise FileError(directory, f"{PREPROCESSOR} has no image_mean and image_std: add what it was trained with")
        self.register_buffer("mean", torch.tensor(means or [0.0]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviations or [1 / scale]).view(1, -1, 1, 1), persistent=False)
        self.resampling = _RESAMPLING.get(settings.get("resample", 2), "bilinear")
        self.size, self.crop = _sizes(settings, shape)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            training = self.model.training
            self.model.eval()
            try:
                self.dimension = int(self.forward(torch.zeros(1, *shape)).shape[1])
            except (TypeError, AttributeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise FileError(directory, f"is no model that makes vectors of images ({reason})") from error
            self.model.train(training)

    mean: Tensor
    deviation: Tensor

    def preprocessed(self, pixels: Tensor) -> Tensor:
        """Pixels as the model wants them: resized, cropped, normalised."""
        if pixels.shape[1] != self.channels:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        if tuple(pixels.shape[2:]) != self.size:
            smooth = self.resampling != "nearest-exact"
            # Bicubic kernels overshoot.
            pixels = functional.interpolate(
                pixels, size=self.size, mode=self.resampling, antialias=smooth,
                align_corners=False if smooth else None,
            ).clamp(0, 1)  # fmt: skip
        top, left = ((side - part) // 2 for side, part in zip(self.size, self.crop, strict=True))
        pixels = pixels[:, :, top : top + self.crop[0], left : left + self.crop[1]]
        return (pixels - self.mean) / self.deviation

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (b, dimension)."""
        given = self.preprocessed(pixels)
        found = self.model(pixel_values=given)
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None and self.pooled:
            return pooled.flatten(1)
        last: Tensor = found.last_hidden_state
        if last.dim() == 4:
            return last.mean((2, 3))
        return last[:, 0] if last.shape[1] > self._places(given)[2] > 0 else last.mean(1)

    def forward_maps(self, pixels: Tensor) -> Tensor | None:
        """The last maps, or the last tokens at their places where they are those of patches."""
        given = self.preprocessed(pixels)
        last: Tensor = self.model(pixel_values=given).last_hidden_state
        if last.dim() == 4:
            return last
        rows, columns, places = self._places(given)
        if not 0 < places <= last.shape[1]:
            return None
        kept = last[:, last.shape[1] - places :].transpose(1, 2)
        return kept.reshape(len(kept), -1, rows, columns)

    def _places(self, given: Tensor) -> tuple[int, int, int]:
        """Patches from top to bottom, from left to right and in all; zeros where the model has none."""
        patch = getattr(self.own, "patch_size", None)
        if not isinstance(patch, int):
            return 0, 0, 0
        rows, columns = given.shape[2] // patch, given.shape[3] // patch
        return rows, columns, rows * columns


def wanted_size(directory: Path) -> tuple[int, int]:
    """Height and width of what a model sees in the end, of a square picture.

    Raises:
        FileError: It does not say.
    """
    _, kept = _sizes(_preprocessing(directory), (3, 0, 0))
    if not all(kept):
        raise FileError(directory, f"{PREPROCESSOR} asks for no size: give a preprocessing of one")
    return kept


def _read(path: Path) -> dict[str, Any]:
    with os_errors_named(path):
        raw = path.read_bytes()
    try:
        values = json.loads(raw)
    except (ValueError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid JSON ({error}): save the model again") from None
    if not isinstance(values, dict):
        raise FileError(path, "holds no settings: save the model again")
    return values


def _preprocessing(directory: Path) -> dict[str, Any]:
    if (directory / PREPROCESSOR).is_file():
        return _read(directory / PREPROCESSOR)
    if (directory / PROCESSOR).is_file():
        found = _read(directory / PROCESSOR).get("image_processor")
        if isinstance(found, dict):
            return found
    raise FileError(directory, f"holds no {PREPROCESSOR}, which says how the model wants its images: put it there")


def _sizes(settings: dict[str, Any], shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width that images of a shape are resized to, and those of the part in the middle that is kept."""
    size, crop = settings.get("size"), settings.get("crop_size")
    cropped = bool(settings.get("do_center_crop", False)) and crop is not None
    if isinstance(size, int):
        size = {"shortest_edge": size} if cropped else {"height": size, "width": size}
    resized = shape[1], shape[2]
    if settings.get("do_resize", True) and isinstance(size, dict):
        if "shortest_edge" in size:
            edge = int(size["shortest_edge"])
            if "crop_pct" in settings and not cropped:
                # ConvNeXt's: small ones are resized to a little more, and cut.
                if edge < _LARGE:
                    crop, cropped = edge, True
                    edge = int(edge / (settings["crop_pct"] or _CROP_SHARE))
                else:
                    return (edge, edge), (edge, edge)
            short = min(resized)
            resized = int(shape[1] * edge / short), int(shape[2] * edge / short)
        elif "height" in size:
            resized = int(size["height"]), int(size["width"])
    if not cropped:
        return resized, resized
    kept = (crop, crop) if isinstance(crop, int) else (int(crop["height"]), int(crop["width"]))  # type: ignore[index]
    return resized, (min(kept[0], resized[0]), min(kept[1], resized[1]))


def _build(directory: Path) -> Any:
    from transformers import AutoConfig, AutoModel

    with _named(directory), _quiet():
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        # Deep, because a model writes into its settings.
        make: Any = AutoModel.from_config
        return make(deepcopy(config), trust_remote_code=False)


def _load(directory: Path) -> tuple[Any, set[str]]:
    from transformers import AutoModel

    if not any(directory.glob("*.safetensors")):
        raise FileError(directory, "holds no .safetensors weights: save the model again in that format")
    # What the library draws before weights take their place would move the generator.
    with _named(directory), _quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model, told = AutoModel.from_pretrained(
            directory, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32",
            output_loading_info=True,
        )  # fmt: skip
    return model, set(told["missing_keys"])


@contextmanager
def _named(directory: Path) -> Iterator[None]:
    """Whatever the library makes of a damaged directory (a KeyError, a SafetensorError...) as an error of the file."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the model cannot be loaded ({reason}): save it again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and remarks, such as on a head that is left aside."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
